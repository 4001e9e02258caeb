"""Move individual mail out, each exactly once (NET-4, S-03).

prepared → sending (committed) → the provider takes it → sent (committed). Whatever is cut in between is looked
up at the provider by its `crm_ref` before anything is sent anew; no transaction is open while talking to it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from portal import queues
from portal.connections.mailbox import open_mailbox
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.lib.clock import now
from portal.lib.http import Http
from portal.models import Connection, OutboxMail
from portal.providers.base import MailProvider
from portal.providers.errors import ProviderError, Unanswered
from portal.providers.types import Sent
from portal.rules.sending import Path, decide_path, may_send_again
from portal.sending import queries, relayed
from portal.sending.outcomes import (
    settle_closed,
    settle_look_failed,
    settle_looked,
    settle_met,
    settle_sent,
    settle_trouble,
)
from portal.sending.sealed import open_raw
from portal.sending.waiting import hindrance, may_leave

PICK_UP_AFTER = timedelta(seconds=100)  # a worker that vanished is noticed by then
SEND_WITHIN = timedelta(seconds=240)  # waiting for quota and token included; certain trouble comes after it
CLOCK_SLACK = timedelta(hours=1)  # between our clock and the provider's


@dataclass(frozen=True)
class Claim:
    """A mail that this worker now tries to move. `look_first`: an earlier try may have succeeded."""

    outbox_id: UUID
    grant_id: UUID
    provider: str
    mailbox_key: str
    crm_ref: UUID
    raw: bytes = field(repr=False)
    thread_id: str | None
    look_first: bool
    answer_was_lost: bool
    since: datetime  # the moment of the uncertain try
    until: datetime  # after it another worker may claim the mail


def deliver(outbox_id: UUID) -> str:
    """Try to move one mail; returns the state it is left in, "" when it is not this worker's to move."""
    claim = claim_mail(outbox_id)
    if claim is None:
        return ""
    crash_point("mail-claimed")
    state = relayed.hand_to_relay(claim) if isinstance(claim, relayed.RelayClaim) else _deliver_by_mailbox(claim)
    crash_point("mail-settled")
    return state


def _deliver_by_mailbox(claim: Claim) -> str:
    if claim.look_first:
        try:
            found = asyncio.run(_look(claim))
        except ProviderError as error:
            return settle_look_failed(claim.outbox_id, error)
        if found:
            return settle_sent(claim.outbox_id, found)
        if not may_send_again(answer_was_lost=claim.answer_was_lost, since=claim.since, now=now()):
            return settle_looked(claim.outbox_id)
        if not _begin_anew(claim):
            return ""
    try:
        sent = asyncio.run(_send(claim))
    except ProviderError as error:
        return settle_trouble(claim.outbox_id, error)
    crash_point("mail-taken")
    return settle_sent(claim.outbox_id, sent)


def claim_mail(outbox_id: UUID) -> Claim | relayed.RelayClaim | None:
    """Take a mail that is due, or None. A mail whose way is closed to it is settled as failed here."""
    with transaction():
        row = db.session.scalar(select(OutboxMail).where(OutboxMail.id == outbox_id).with_for_update())
        if row is None or row.state not in ("prepared", "sending", "unknown") or row.next_try_at > now():
            return None
        if row.path == Path.PROVIDER.value:
            return relayed.claim_row(row)
        if settle_met(row):
            return None
        connection = db.session.get(Connection, row.connection_id) if row.connection_id else None
        is_open = connection is not None and connection.is_live and queries.may_still_send(row)
        path = decide_path(connection.state if connection and is_open else None)
        if connection is None or not path.is_open:
            settle_closed(row, path.value)
            return None
        if row.state == "prepared" and not _may_leave(row, connection):
            return None
        return _claimed(row, connection)


def _may_leave(row: OutboxMail, connection: Connection) -> bool:
    if cause := hindrance(row):
        settle_closed(row, cause)
        return False
    return not row.waits_for or may_leave(row, connection)


def _claimed(row: OutboxMail, connection: Connection) -> Claim:
    look_first = row.state != "prepared"
    row.next_try_at = now() + PICK_UP_AFTER
    claim = Claim(
        outbox_id=row.id,
        grant_id=connection.grant_id,
        provider=connection.provider,
        mailbox_key=connection.mailbox_key,
        crm_ref=row.crm_ref,
        raw=open_raw(row),
        thread_id=row.provider_thread_id,
        look_first=look_first,
        answer_was_lost=row.state == "unknown",
        since=row.sending_since or row.created_at,
        until=row.next_try_at,
    )
    if not look_first:
        row.state, row.sending_since, row.attempts = "sending", now(), row.attempts + 1
    return claim


async def _look(claim: Claim) -> Sent | None:
    """The sent mail that bears this reference, or None while the provider lists none."""
    async with Http(max_connections=4) as http:
        return await _provider(claim, http).find_sent(claim.crm_ref, claim.since - CLOCK_SLACK)


async def _send(claim: Claim) -> Sent:
    try:
        async with asyncio.timeout(SEND_WITHIN.total_seconds()), Http(max_connections=4) as http:
            return await _provider(claim, http).send(claim.raw, claim.thread_id)
    except TimeoutError:
        raise Unanswered("no answer in time") from None


def _begin_anew(claim: Claim) -> bool:
    """Commit that a new try begins; false when somebody settled or claimed the mail meanwhile."""
    with transaction():
        row = db.session.scalar(select(OutboxMail).where(OutboxMail.id == claim.outbox_id).with_for_update())
        if row is None or row.state not in ("sending", "unknown") or row.next_try_at != claim.until:
            return False
        row.state, row.sending_since, row.attempts = "sending", now(), row.attempts + 1
        row.next_try_at = now() + PICK_UP_AFTER
        return True


def _provider(claim: Claim, http: Http) -> MailProvider:
    return open_mailbox(claim.provider, claim.grant_id, claim.mailbox_key, http)


def sweep() -> int:
    """Enqueue every mail that is due and tell how many; what waits in the queue already is not doubled."""
    with transaction():
        ids = queries.due_ids()
        for outbox_id in ids:
            queues.enqueue("sending.send_mail", outbox_id, on=queues.SENDING, once=f"send-{outbox_id}")
    return len(ids)
