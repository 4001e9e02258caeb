"""Individual mail through the account's own mail server: each perhaps sent at most once, and never silently (S-01, NET-4).

There is no looking up at a mail server. So the row is committed as handed right before the final dot: a worker that dies
earlier has certainly sent nothing and the mail is tried again; one that dies later leaves "perhaps sent", which only a
delivery report, an answer or the writer resolves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.lib.clock import now
from portal.models import MailRelay, OutboxMail, Participant
from portal.providers.errors import ProviderError
from portal.providers.smtp.relay import RelayServer, RelaySession
from portal.rules.addresses import Address, match_key
from portal.rules.sending import Path
from portal.sending import queries, relays
from portal.sending.mime import with_sender
from portal.sending.outcomes import settle_closed
from portal.sending.relay_outcomes import (
    settle_relay_away,
    settle_relay_trouble,
    settle_relayed,
    settle_unanswered,
    settle_untested,
)
from portal.sending.sealed import open_raw, seal_raw
from portal.sending.senders import bounce_address
from portal.sending.waiting import hindrance, may_leave

PICK_UP_AFTER = timedelta(seconds=100)  # a worker that vanished is noticed by then
SLOWEST = 100_000  # bytes a second: a large mail may take longer
ANSWER_WITHIN = timedelta(seconds=180)  # of the final dot; the session gives up before


class TakenOver(Exception):
    """Another worker, or a person, has settled the mail meanwhile: nothing may be sent."""


@dataclass(frozen=True)
class RelayClaim:
    """A mail that this worker now hands to the account's mail server, until `until`."""

    outbox_id: UUID
    relay_id: UUID
    server: RelayServer
    raw: bytes = field(repr=False)
    mail_from: str
    recipients: tuple[str, ...]
    since: datetime  # of this very try
    until: datetime


def claim_row(row: OutboxMail) -> RelayClaim | None:
    """Take a locked row that is due, in the caller's transaction; None where it is settled or put off instead."""
    if row.state == "unknown":
        return None
    if row.handed_at is not None:  # its worker vanished after the end of its data
        settle_unanswered(row)
        return None
    row.state = "prepared"  # certainly not sent
    relay = relays.settings_of(row.account_id) if queries.may_still_send(row) else None
    cause = hindrance(row) if relay is not None else Path.PROVIDER.value
    if relay is None or cause:
        settle_closed(row, cause)
        return None
    return _claimed_in_turn(row, relay)


def _claimed_in_turn(row: OutboxMail, relay: MailRelay) -> RelayClaim | None:
    """The claim of a mail that may leave; None where it waits for the server, or for its time."""
    if not relay.is_on:
        settle_untested(row)
        return None
    if relays.is_waiting(relay):
        settle_relay_away(row, relay)
        return None
    if row.waits_for and not may_leave(row, None):
        return None
    return _claimed(row, relay)


def _claimed(row: OutboxMail, relay: MailRelay) -> RelayClaim:
    _sign(row, relay)
    raw = open_raw(row)
    row.state, row.sending_since, row.attempts = "sending", now(), row.attempts + 1
    row.next_try_at = now() + PICK_UP_AFTER + timedelta(seconds=len(raw) // SLOWEST)
    return RelayClaim(
        outbox_id=row.id,
        relay_id=relay.id,
        server=relays.server_of(relay),
        raw=raw,
        mail_from=bounce_address(str(row.bounce_token)),
        recipients=_recipients(row),
        since=row.sending_since,
        until=row.next_try_at,
    )


def _sign(row: OutboxMail, relay: MailRelay) -> None:
    """A mail that waited leaves as the practice is called now: it has no right to its former From address any more."""
    query = select(Participant).where(Participant.message_id == row.message_id, Participant.field == "from")
    sender = db.session.scalars(query).one()
    if sender.email != relay.from_email:
        sender.email, sender.email_key = relay.from_email, match_key(relay.from_email)
        row.raw = seal_raw(row, with_sender(open_raw(row), Address(sender.email, sender.email_key, sender.name)))


def _recipients(row: OutboxMail) -> tuple[str, ...]:
    """Everybody in To, CC and BCC, each once."""
    query = select(Participant.email).where(Participant.message_id == row.message_id, Participant.field != "from")
    return tuple(dict.fromkeys(db.session.scalars(query.order_by(Participant.id))))


def hand_to_relay(claim: RelayClaim) -> str:
    """Hand a claimed mail over; returns the state it is left in, "" when somebody else has settled it."""
    try:
        with RelaySession(claim.server) as session:
            try:
                session.send(claim.raw, claim.mail_from, claim.recipients, before_end=lambda: _note_handed(claim))
            except ProviderError as error:
                return settle_relay_trouble(claim.outbox_id, claim.relay_id, error, since=claim.since)
            crash_point("mail-taken")
            return settle_relayed(claim.outbox_id, claim.relay_id)
    except TakenOver:
        return ""
    except ProviderError as error:  # no connection came about: the whole server is away, not this mail refused
        return settle_relay_trouble(claim.outbox_id, claim.relay_id, error, since=claim.since, is_away=True)


def _note_handed(claim: RelayClaim) -> None:
    """Commit that the mail may leave with the next byte. Raises TakenOver where it is no longer this worker's."""
    with transaction():
        row = db.session.scalar(select(OutboxMail).where(OutboxMail.id == claim.outbox_id).with_for_update())
        if row is None or row.state != "sending" or row.handed_at is not None or row.next_try_at != claim.until:
            raise TakenOver
        row.handed_at, row.next_try_at = now(), now() + ANSWER_WITHIN
    crash_point("mail-handed")
