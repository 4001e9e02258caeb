"""Write one page: facts, decisions, rows, counters, audit and cursor in one transaction (SYN-2)."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError

from portal.audit import events
from portal.audit.service import record
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.lib.clock import now
from portal.models import Connection, Message
from portal.rules.reasons import Outcome, Reason
from portal.rules.sync import decide
from portal.sync.apply import Batch
from portal.sync.bounces import mark_failed
from portal.sync.facts import gather
from portal.sync.files import remove_stored
from portal.sync.lease import LEASE, Run, hold, set_connection
from portal.sync.met import Met, may_judge, standing_reasons
from portal.sync.rows import Prepared
from portal.sync.sets import reading

TRIES = 3  # of a mail that cannot be read, before it is set aside; of a transaction that meets another


class ContentMissing(Exception):
    """A mail was refused when its content could have been fetched, and is admitted now: fetch it, then write again."""

    def __init__(self, ids: frozenset[str]) -> None:
        super().__init__(f"{len(ids)} mails")
        self.ids = ids


def write_page(run: Run, met: Met, cursor: str | None, *, lenient: bool = False) -> int:
    """One transaction; one that lost against another is repeated whole, one that the database refuses is split."""
    for attempt in range(TRIES):
        try:
            return _write(run, met, cursor, lenient=lenient)
        except OperationalError:
            if attempt == TRIES - 1:
                raise
        except (DataError, IntegrityError, StatementError):
            break
    return _write_apart(run, met, cursor, lenient=lenient)


def _write_apart(run: Run, met: Met, cursor: str | None, *, lenient: bool) -> int:
    """Each mail by itself: the one that the database does not take becomes unreadable, the others flow."""
    newly_met = 0
    for mail in met.mails:
        provider_id = mail.provider_message_id
        content = {provider_id: met.content[provider_id]} if provider_id in met.content else {}
        alone = Met(mails=[mail], content=content, moved=met.moved)
        try:
            newly_met += _write(run, alone, None, lenient=lenient)
        except (DataError, IntegrityError, StatementError):
            met.unreadable.add(provider_id)
        if not alone.content:
            met.content.pop(provider_id, None)
    rest = Met(gone=met.gone, failed=met.failed, unreadable=met.unreadable, moved=met.moved, settled=met.settled)
    return newly_met + _write(run, rest, cursor, lenient=lenient)


def _write(run: Run, met: Met, cursor: str | None, *, lenient: bool) -> int:
    """The transaction of a page: facts, decisions, rows, counters, audit, cursor (SYN-2)."""
    with transaction():
        hold(run)
        batch, waiting = _judge(run, met, lenient=lenient)
        batch.write()
        mark_failed(run, batch.bounces)
        _tell_connection(run, batch, waiting, cursor)
        crash_point("page-written")
    run.waiting = waiting
    run.cursor = run.cursor if cursor is None else cursor
    _settle_files(met, batch)
    crash_point("page-committed")
    return batch.newly_met


def _judge(run: Run, met: Met, *, lenient: bool) -> tuple[Batch, dict[str, int]]:
    """Every mail's decision, oldest first, and which mails wait for another try."""
    ids = [m.provider_message_id for m in met.mails] + sorted(met.gone | met.failed | met.unreadable)
    standing = standing_reasons(run, ids)
    open_ids = {i for i in ids if may_judge(i, standing.get(i), met.moved, run)}
    batch = Batch(run, gather(run, met.mails, to_write=True), frozenset(standing))
    done = met.settled.union(ids)
    waiting = {key: tries for key, tries in run.waiting.items() if key not in done}
    missing: set[str] = set()
    for mail in met.mails:
        provider_id = mail.provider_message_id
        if provider_id not in open_ids or provider_id in met.gone | met.failed:
            continue
        content = met.content.get(provider_id)
        if content is not None:  # the whole mail may tell more than its headers: a forward's mark, a flood of fields
            mail = content.mail.facts
        verdict = decide(mail, batch.around.around(mail))
        if verdict.outcome is Outcome.LOGGED and verdict.message_id is None and content is None:
            missing.add(provider_id)
        else:
            batch.add(mail, verdict, content)
    if missing and not lenient:
        raise ContentMissing(frozenset(missing))
    for provider_id in sorted(met.gone & open_ids):
        batch.add_unmet(provider_id, Reason.DELETED)
    _set_aside(run, batch, waiting, (met.failed | missing) & open_ids, met.unreadable & open_ids)
    return batch, waiting


def _set_aside(run: Run, batch: Batch, waiting: dict[str, int], failed: set[str], unreadable: set[str]) -> None:
    """A mail that fails is asked for again, at most three times; then it is named as unreadable and others flow."""
    for provider_id in sorted(failed | unreadable):
        tries = run.waiting.get(provider_id, 0) + 1
        if provider_id in unreadable or tries >= TRIES:
            batch.add_unmet(provider_id, Reason.UNREADABLE_MAIL)
        else:
            waiting[provider_id] = tries


def _tell_connection(run: Run, batch: Batch, waiting: dict[str, int], cursor: str | None) -> None:
    values: dict[str, object] = {"lease_until": now() + LEASE}
    if batch.newly_met:
        values["seen"] = Connection.seen + batch.newly_met
    if batch.outcomes[Outcome.LOGGED.value]:
        values["last_logged_at"] = batch.at
    if waiting != run.waiting:
        values["fetch_attempts"] = waiting
    if cursor is not None and cursor != run.cursor:
        values["cursor"] = cursor
    set_connection(run, **values)
    if batch.decisions:
        count = batch.outcomes
        record(
            events.PAGE_SYNCED, db.session.get_one(Connection, run.connection_id), seen=batch.newly_met,
            logged=count["logged"], left_out=count["left_out"], unreadable=count["unreadable"],
        )  # fmt: skip


def _settle_files(met: Met, batch: Batch) -> None:
    """Files of written mails stay; those of mails that were refused in the end go at once.

    A message that stands although this batch did not write it was written by a commit whose answer was lost.
    """
    for provider_id in list(met.content):
        prepared = met.content.pop(provider_id)
        if provider_id not in batch.used and prepared.files and not _is_written(prepared):
            remove_stored(prepared.files)


def _is_written(prepared: Prepared) -> bool:
    with reading():
        return db.session.scalar(select(Message.id).where(Message.id == prepared.message_id)) is not None
