"""Which deliveries a run takes, and what it must commit before each of them may leave (NET-4).

A claim that was not handed may be taken by anybody at any time: handing it over asks in the same statement whether it is
still the run's own and its campaign still runs. What was handed and has no result is uncertain, and a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, or_, select, update

from portal.contacts.colleagues import colleagues_of
from portal.database import db
from portal.lib.clock import now
from portal.models import Automation, Campaign, Contact, Delivery, Unsubscribe
from portal.rules.bulk import LeftOut, decide_skip
from portal.rules.workflows import NotSent, Trigger, why_not
from portal.sending.delivery_letters import Person

CLAIM_LEASE = timedelta(seconds=30)
HANDED_LEASE = timedelta(seconds=130)  # longer than the mail server may think about a whole mail (relay.FINAL_SECONDS)
UNSURE = "The connection to the mail server was lost before it answered, so this mail has perhaps been sent."
OWN = and_(Delivery.claimed_by == bindparam("run"), Delivery.state == "sending")
OWN_AFTER_ALL = or_(OWN, Delivery.state == "unknown")  # another run called it uncertain meanwhile


@dataclass(frozen=True)
class Claim:
    """One mail that this run now tries to send."""

    parent_id: UUID  # of its campaign or automation
    is_bulk: bool
    attempts: int  # before this one
    person: Person


def _handing(model: type[Campaign | Automation], runs: ColumnElement[bool]) -> Any:
    """Hands the mail "row" over, if it is still the run's own and what it belongs to still runs; the mail "before" is sent.

    One statement for both, so that both are committed in one trip to the database; handing touches no index, which is what
    an update costs at PostgreSQL. Returns the ids of what it changed.
    """
    parent = Delivery.campaign_id if model is Campaign else Delivery.automation_id
    allowed = select(model.id).where(model.id == parent, runs).exists()
    row, before = (bindparam(name, type_=Delivery.id.type) for name in ("row", "before"))
    moment = bindparam("moment", type_=Delivery.handed_at.type)
    is_next = Delivery.id == row
    may_change = or_(and_(is_next, OWN, allowed), and_(~is_next, OWN_AFTER_ALL))
    return update(Delivery).where(Delivery.id.in_((row, before)), may_change).values(
        state=case((is_next, "sending"), else_="sent"),
        claimed_by=case((is_next, Delivery.claimed_by), else_=None),
        handed_at=case((is_next, moment), else_=Delivery.handed_at),
        sent_at=case((is_next, Delivery.sent_at), else_=moment),
        error="", cause="",
    ).returning(Delivery.id)  # fmt: skip


HAND_BULK = _handing(Campaign, Campaign.state == "running")
HAND_WORKFLOW = _handing(Automation, Automation.is_on.is_(True))
SETTLE_SENT = (
    update(Delivery)
    .where(Delivery.id == bindparam("row"), OWN_AFTER_ALL)
    .values(state="sent", sent_at=bindparam("moment"), claimed_by=None, error="", cause="")
)


def take_back(account_id: UUID | None = None) -> int:
    """Free what dead runs had claimed; what they had handed becomes uncertain once its lease is over. How many.

    Without an account only what is over anyway; a run that starts takes all that was not handed, whosever it is.
    """
    mine = [Delivery.account_id == account_id] if account_id else [Delivery.next_try_at <= now()]
    claimed = [Delivery.state == "sending", Delivery.handed_at.is_(None), *mine]
    handed = [Delivery.state == "sending", Delivery.handed_at <= now() - HANDED_LEASE]
    if account_id:
        handed.append(Delivery.account_id == account_id)
    freed = _change(claimed, state="waiting", claimed_by=None, next_try_at=now())
    return freed + _change(handed, state="unknown", claimed_by=None, cause="unanswered", error=UNSURE)


def release(account_id: UUID, run_id: UUID) -> None:
    """Give back what the run had claimed and not handed."""
    claimed = [Delivery.account_id == account_id, Delivery.state == "sending"]  # what the index knows
    mine = [*claimed, Delivery.claimed_by == run_id, Delivery.handed_at.is_(None)]
    _change(mine, state="waiting", claimed_by=None, next_try_at=now())


def claim_next(
    run_id: UUID, parents: Sequence[Campaign | Automation], limit: int, counts: Counter[str]
) -> list[Claim]:
    """Take the next mails of the first parent that has some due. Who may not get it any more is skipped, and counted.

    In the caller's transaction.
    """
    for parent in parents:
        while found := list(db.session.execute(_due(parent, limit))):
            reasons = _reasons(parent, found)
            kept = [row for row, why in zip(found, reasons, strict=True) if not _skip(row, why)]
            counts["skipped"] += len(found) - len(kept)
            if kept:
                _mark(run_id, [row.id for row in kept])
                return [_claim(parent.id, isinstance(parent, Campaign), row) for row in kept]
    return []


def _due(parent: Campaign | Automation, limit: int) -> Any:
    column = Delivery.campaign_id if isinstance(parent, Campaign) else Delivery.automation_id
    return (
        select(
            Delivery.id, Delivery.email, Delivery.email_key, Delivery.token, Delivery.attempts,
            Contact.first_name, Contact.last_name, Contact.email_key.label("contact_key"),
        )
        .join(Contact, Contact.id == Delivery.contact_id)
        .where(column == parent.id, Delivery.state == "waiting", Delivery.next_try_at <= now())
        .order_by(Delivery.id)
        .limit(limit)
        .with_for_update(of=Delivery, skip_locked=True)
    )  # fmt: skip


def _unsubscribed(account_id: UUID, keys: Sequence[str]) -> frozenset[str]:
    query = select(Unsubscribe.email_key).where(Unsubscribe.account_id == account_id, Unsubscribe.email_key.in_(keys))
    return frozenset(db.session.scalars(query))


def _reasons(parent: Campaign | Automation, found: Sequence[Row[Any]]) -> Sequence[LeftOut | NotSent | None]:
    """For each, why the mail does not leave after all; None where it may.

    Workflow mail may have waited for months: it is judged as if it were decided now.
    """
    gone = _unsubscribed(parent.account_id, [row.email_key for row in found])
    if isinstance(parent, Campaign):
        return [decide_skip(row.email_key, row.contact_key, is_unsubscribed=row.email_key in gone) for row in found]
    trigger, colleagues = Trigger(parent.trigger), colleagues_of(parent.account_id).keys
    return [
        decide_skip(row.email_key, row.contact_key, is_unsubscribed=False)
        or why_not(row.email_key, trigger, colleagues=colleagues, unsubscribed=gone, taken=())
        for row in found
    ]


def _skip(row: Row[Any], why: LeftOut | NotSent | None) -> bool:
    """Whether the mail does not leave after all, for this reason; then it is settled as skipped here."""
    if why is not None:
        _change([Delivery.id == row.id], state="skipped", cause=why.value, error=why.sentence)
    return why is not None


def _mark(run_id: UUID, ids: Sequence[UUID]) -> None:
    if ids:
        mine = [Delivery.id.in_(ids)]
        _change(mine, state="sending", claimed_by=run_id, next_try_at=now() + CLAIM_LEASE, handed_at=None)


def _claim(parent_id: UUID, is_bulk: bool, row: Row[Any]) -> Claim:
    person = Person(row.id, row.email, row.email_key, row.token, row.first_name, row.last_name)
    return Claim(parent_id, is_bulk, row.attempts, person)


def open_ledger() -> Connection:
    """A connection for `hand` alone, to be closed. What is one statement needs no BEGIN and COMMIT at PostgreSQL."""
    ledger = db.engine.connect()
    return ledger.execution_options(isolation_level="AUTOCOMMIT") if ledger.dialect.name == "postgresql" else ledger


def hand(ledger: Connection, run_id: UUID, claim: Claim, taken: Claim | None) -> bool:
    """Commit that this mail may leave and that the one before has left; false when this one may not leave."""
    row, before = claim.person.delivery_id, taken and taken.person.delivery_id
    values = {"row": row, "before": before, "run": run_id, "moment": now()}
    with ledger.begin():
        changed = ledger.execute(HAND_BULK if claim.is_bulk else HAND_WORKFLOW, values).scalars().all()
    return row in changed


def settle_sent(run_id: UUID, claim: Claim) -> None:
    """The mail server has taken it, also where another run calls it uncertain meanwhile. In the caller's transaction."""
    values = {"row": claim.person.delivery_id, "run": run_id, "moment": now()}
    db.session.connection().execute(SETTLE_SENT, values)


def settle(run_id: UUID, claim: Claim, **values: Any) -> None:
    """What became of a mail that is not sent, unless it is no longer the run's own. In the caller's transaction."""
    mine = [Delivery.id == claim.person.delivery_id, Delivery.claimed_by == run_id, Delivery.state == "sending"]
    _change(mine, claimed_by=None, **values)


def _change(conditions: Iterable[ColumnElement[bool]], **values: Any) -> int:
    statement = update(Delivery).where(*conditions).values(**values)
    return int(db.session.connection().execute(statement).rowcount)
