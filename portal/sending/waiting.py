"""Mail that waits: for a place under the cap, in line, or for a time. Nothing of it has left (G-14, S-03)."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import format_datetime

from sqlalchemy import select

from portal import queues
from portal.contacts.colleagues import is_colleague
from portal.conversations import claims
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Message, OutboxMail, Participant
from portal.sending import caps
from portal.sending.sealed import open_raw, seal_raw

DATE_FIELD = re.compile(rb"^Date: [^\r\n]*", re.MULTILINE)
NOT_YET = timedelta(seconds=15)  # until a mail looks again whether those before it have left
AT_LATEST = timedelta(minutes=10)  # a place may free up early: a mail failed or was taken back, the cap was raised


def join_line(row: OutboxMail) -> None:
    """Let a mail wait for a place, behind all that wait already. The caller holds the mailbox's lock."""
    row.state, row.waits_for, row.send_at, row.sent_at = "prepared", "reset", now(), None
    db.session.flush()
    connection = db.session.get_one(Connection, row.connection_id)
    row.next_try_at = min(caps.places_of(connection)[row.id], now() + AT_LATEST)


def hindrance(row: OutboxMail) -> str:
    """Why a mail that is written may not leave any more, as a key of outcomes.WORDS; "" when it may.

    Between the press and the moment it leaves may lie weeks: what was checked at the press is checked again.
    """
    conversation = db.session.get_one(Message, row.message_id).conversation
    if conversation.state != "open":
        return "conversation_ended"
    to = select(Participant.email_key).where(Participant.message_id == row.message_id, Participant.field == "to")
    if conversation.contact.email_key not in db.session.scalars(to).all():
        return "address_changed"
    return "crm_user" if is_colleague(conversation.contact) else ""  # G-07


def may_leave(row: OutboxMail, connection: Connection | None) -> bool:
    """Whether a waiting mail that is due leaves now; it then has its place, and the next in line is told.

    Without `connection` it goes through the account's provider, which has no cap. In the caller's transaction.
    """
    if connection is not None:
        claims.lock_mailboxes({connection.mailbox_key})
        if not _is_its_turn(row, connection):
            return False
    begin(row)
    if connection is not None:
        row.sent_at = now()
        db.session.flush()
        _tell_next(connection)
    return True


def begin(row: OutboxMail) -> None:
    """The wait is over: the mail is dated as of now, as if it were written now."""
    moment = now()
    head, gap, body = open_raw(row).partition(b"\r\n\r\n")
    dated = DATE_FIELD.sub(b"Date: " + format_datetime(moment).encode("ascii"), head, count=1)
    row.raw = seal_raw(row, dated + gap + body)
    row.waits_for, row.next_try_at = "", moment
    message = db.session.get_one(Message, row.message_id)
    message.sent_at = moment
    message.conversation.last_message_at = max(message.conversation.last_message_at, moment)


def _is_its_turn(row: OutboxMail, connection: Connection) -> bool:
    if row.waits_for == "time":
        if not caps.cap_of(connection).must_wait:
            return True
        join_line(row)
        return False
    free_at = caps.places_of(connection)[row.id]
    if caps.line_of(connection)[0] == row.id and free_at <= now():
        return True
    row.next_try_at = min(max(free_at, now() + NOT_YET), now() + AT_LATEST)
    return False


def _tell_next(connection: Connection) -> None:
    """Let the next in line leave at once where a place is free for it too."""
    following = caps.free_first_in_line(connection)
    if following is None:
        return
    if caps.places_of(connection)[following.id] <= now():
        following.next_try_at = now()
        queues.enqueue("sending.send_mail", following.id, on=queues.SENDING, once=f"send-{following.id}")
