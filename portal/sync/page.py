"""One page of changes: headers of all, decide, bodies of the admitted only, then everything in one transaction.

What the rules refuse never arrives here beyond its headers (SYN-1). The decision is made again inside the transaction
(`writing.py`), on what the CRM knows then; the first one only chooses what to fetch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from portal.faultpoint import crash_point
from portal.lib.ids import new_id
from portal.providers.base import MailProvider
from portal.providers.types import ChangePage, RemoteMail
from portal.rules.facts import Direction, MailFacts
from portal.rules.reasons import Outcome
from portal.rules.sync import decide
from portal.sync.facts import gather
from portal.sync.files import remove_stored, take_files
from portal.sync.lease import Run
from portal.sync.met import Met, may_judge, standing_reasons
from portal.sync.rows import Prepared
from portal.sync.sets import reading
from portal.sync.writing import TRIES, ContentMissing, write_page

AT_ONCE = 100  # bodies asked for together: two batches in flight, beside two of the next page's headers
SLICE_BYTES = 24 * 1024 * 1024  # of text in hand; what is more is written in a transaction of its own


async def read_headers(run: Run, provider: MailProvider, page: ChangePage) -> Met:
    """The headers of those of a page's mails that are not decided yet, or are to be looked at again."""
    moved = frozenset(change.provider_message_id for change in page.changes if change.moved)
    named = dict.fromkeys(change.provider_message_id for change in page.changes)
    with reading():
        ids = _undecided(run, named, moved)
    met = Met(moved=moved, settled=frozenset(named) - frozenset(ids))
    if ids:
        found = await provider.headers(ids, run.own_keys)
        met.mails = sorted((mail for mail in found if isinstance(mail, MailFacts)), key=_order)
        met.note(found)
        crash_point("headers-read")
    return met


def _order(mail: MailFacts) -> tuple[datetime, bool]:
    """Oldest first; of one moment, which Graph tells in whole seconds, what was sent before what answers it."""
    return mail.received_at, mail.direction is Direction.INBOUND


def _undecided(run: Run, ids: Iterable[str], moved: frozenset[str]) -> list[str]:
    """Ids to be judged: new ones; moved ones whose reason a move may lift; unreadable ones asked for again."""
    wanted = list(ids)
    standing = standing_reasons(run, wanted)
    return [i for i in wanted if may_judge(i, standing.get(i), moved, run)]


async def store_page(run: Run, provider: MailProvider, met: Met, *, cursor: str | None) -> int:
    """Fetch what is admitted and write the page; `cursor` is stored with it. Returns how many mails were newly met.

    Raises LeaseLost and Stopped, and what concerns the whole mailbox; then nothing of the page's rest is written.
    """
    newly_met = 0
    try:
        mails, met.mails = met.mails, []
        wanted = _admitted(run, mails)
        for part in _parts(mails, wanted):
            await _fetch(run, provider, met, [m for m in part if m.provider_message_id in wanted])
            met.mails += part
            if met.size > SLICE_BYTES:
                newly_met += await _write_surely(run, provider, met, None)
                met.mails, met.content, met.gone, met.failed = [], {}, set(), set()
        crash_point("bodies-read")
        return newly_met + await _write_surely(run, provider, met, cursor)
    finally:
        remove_stored(file for prepared in met.content.values() for file in prepared.files)


def _admitted(run: Run, mails: Sequence[MailFacts]) -> set[str]:
    """Which mails the rules would log now. Reads only."""
    if not mails:
        return set()
    with reading():
        around = gather(run, mails)
        wanted = set()
        for mail in mails:
            verdict = decide(mail, around.around(mail))
            if verdict.outcome is Outcome.LOGGED and verdict.message_id is None:
                wanted.add(mail.provider_message_id)
                if verdict.contact_id is not None:
                    around.learn(mail, verdict.conversation_id or new_id(), verdict.contact_id)
    return wanted


def _parts(mails: Sequence[MailFacts], wanted: set[str]) -> Iterator[list[MailFacts]]:
    """The mails in order, cut so that no part holds more than AT_ONCE whose bodies are wanted."""
    part: list[MailFacts] = []
    bodies = 0
    for mail in mails:
        part.append(mail)
        bodies += mail.provider_message_id in wanted
        if bodies == AT_ONCE:
            yield part
            part, bodies = [], 0
    if part:
        yield part


async def _fetch(run: Run, provider: MailProvider, met: Met, mails: Sequence[MailFacts]) -> None:
    """Content and files of admitted mails into `met`; what could not be had is noted instead."""
    if not mails:
        return
    found = await provider.messages([mail.provider_message_id for mail in mails], run.own_keys)
    met.note(found)
    for mail in found:
        if isinstance(mail, RemoteMail):
            files = await take_files(provider, run, mail)
            met.content[mail.facts.provider_message_id] = Prepared(new_id(), mail, files)


async def _write_surely(run: Run, provider: MailProvider, met: Met, cursor: str | None) -> int:
    """Write, fetching what turned out to be admitted after all; a mail whose rows are refused is set aside alone."""
    for _try in range(TRIES):
        try:
            return write_page(run, met, cursor)
        except ContentMissing as missing:
            await _fetch(run, provider, met, [m for m in met.mails if m.provider_message_id in missing.ids])
    return write_page(run, met, cursor, lenient=True)
