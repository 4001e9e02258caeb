"""Take an individual mail: everything that must be true before it may leave (S-03, G-07, G-13, G-14).

What is written then (`recording.py`) is complete before the mail leaves: message, people, files, mentions, sealed
MIME. The outbox (`outbox.py`) only moves states, so a crash at any point loses nothing and sends nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import live_connection
from portal.contacts.colleagues import Likeness, colleagues_of
from portal.conversations.service import readable
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Contact, Message, MessageBody, OutboxMail, User
from portal.rules.addresses import match_key
from portal.rules.sending import MAX_FILE_BYTES, Path, decide_path, is_reachable
from portal.sending import drafts, queries
from portal.sending.letters import NewMail, SendRefused, without_repeats
from portal.sending.recording import write_mail

REFUSALS = {
    Path.NO_MAILBOX: "You have no connected mailbox. Connect one on My Profile, then send it.",
    Path.PAUSED: "Your mailbox is paused. My Profile says why.",
    Path.NEEDS_ATTENTION: "Your mailbox needs attention. Reconnect it on My Profile, then send it.",
}

COLLEAGUE = "{name} is also a CRM user here. Mail between colleagues is never logged, so it is not sent from the CRM."


@dataclass(frozen=True)
class Handed:
    """A mail in the outbox; `is_repeat` when an earlier press of the same form had put it there."""

    outbox: OutboxMail
    is_repeat: bool = False


def prepare(user: User, mail: NewMail) -> Handed:
    """Write the mail and hand it to the outbox; the same form token gives the same mail again (NET-4).

    Runs in the request's transaction; the job is enqueued after its commit. Raises SendRefused (no mailbox, cap
    reached, too large, colleague, conversation ended, store full) with nothing changed.
    """
    connection = _lock_mailbox(mail.contact.account_id, user.id)
    if earlier := _earlier(user, mail.token):
        return Handed(earlier, is_repeat=True)
    refuse_unsendable(mail)
    connection = _open_mailbox(connection)
    with db.session.begin_nested():  # refused half-way, it leaves no row behind
        outbox = write_mail(user, without_repeats(mail), connection)
    hand_over(outbox)
    return Handed(outbox)


def hand_over(outbox: OutboxMail) -> None:
    """Enqueue a mail's delivery after the commit."""
    queues.enqueue("sending.send_mail", outbox.id, on=queues.SENDING, once=f"send-{outbox.id}")


def refuse_unsendable(mail: NewMail) -> None:
    """Refuse what may never leave, whatever the mailbox says."""
    name = mail.contact.name
    if not is_reachable(match_key(mail.contact.email)):
        raise SendRefused(f"{name} has no address that mail can go to.", cause="no_address")
    if is_colleague(mail.contact):  # G-07
        raise SendRefused(COLLEAGUE.format(name=name), cause="crm_user")
    if mail.conversation is not None and mail.conversation.state != "open":
        raise SendRefused("This conversation has ended. Write a new mail instead.", cause="conversation_ended")
    if sum(len(file.data) for file in mail.files) > MAX_FILE_BYTES:  # G-13
        raise SendRefused("The files are over 25 MB together. Take one out and send again.", cause="too_large")


def is_colleague(contact: Contact) -> bool:
    """Whether the contact's address reaches a CRM user of its account, in any state and spelling (G-07)."""
    return colleagues_of(contact.account_id).likeness(contact.email_key) is Likeness.CRM_USER


def _lock_mailbox(account_id: UUID, user_id: UUID) -> Connection | None:
    """The person's connection; every connection of its mailbox is locked, so that a cap counts one send at a time."""
    connection = live_connection(account_id, user_id)
    if connection is not None:
        query = select(Connection.id).where(Connection.mailbox_key == connection.mailbox_key)
        db.session.execute(query.order_by(Connection.id).with_for_update())
        db.session.refresh(connection)
    return connection if connection is not None and connection.is_live else None


def _earlier(user: User, token: str) -> OutboxMail | None:
    return db.session.scalar(
        select(OutboxMail).where(OutboxMail.user_id == user.id, OutboxMail.form_token == token)
    )


def _open_mailbox(connection: Connection | None) -> Connection:
    """The connection, where its path is open and its cap is not reached (S-01, G-14). Raises SendRefused."""
    path = decide_path(connection.state if connection else None)
    if connection is None or not path.is_open:
        raise SendRefused(REFUSALS[path], cause=path.value)
    cap = queries.cap_of(connection)
    if cap.is_reached:
        raise SendRefused(
            f"This mailbox has sent {cap.used} of {cap.limit} individual mails in the last 24 hours.",
            cause="cap_reached",
            next_free_at=cap.next_free_at,
        )
    return connection


def keep_refused(user: User, account_id: UUID, purpose: str, texts: dict[str, Any], refusal: SendRefused) -> None:
    """Keep what was written as a draft and the refusal in the audit trail, in the request's transaction."""
    drafts.save(user.id, account_id, purpose, texts)
    record(events.MAIL_REFUSED, account_id=account_id, outcome="refused", cause=refusal.cause)


def write_again(outbox: OutboxMail) -> None:
    """Put the text of a mail that came back into the reply box of its conversation, as a draft."""
    message = db.session.get_one(Message, outbox.message_id)
    body = db.session.get_one(MessageBody, outbox.message_id)
    text = readable(body.text, "message_body.text", message.account_id, message.id)
    people = [row.email for row in message.participants if row.field == "cc"]
    purpose = drafts.purpose_of("reply", message.conversation_id)
    drafts.save(outbox.user_id, outbox.account_id, purpose, {"people": people, "text": text})


def try_again(outbox: OutboxMail) -> bool:
    """Hand a failed mail over once more; false when it is not failed (any more).

    Raises SendRefused where the mailbox or the cap forbids it now.

    A mail of which it is not certain that it stayed is looked for at the provider first.
    """
    connection = _lock_mailbox(outbox.account_id, outbox.user_id)
    db.session.refresh(outbox, attribute_names=["state", "raw"])
    if outbox.state != "failed" or outbox.raw is None or outbox.has_come_back:
        return False
    if connection is None or connection.id != outbox.connection_id:
        raise SendRefused(
            "The mailbox it was written for is no longer connected. Copy its text into a new mail.",
            cause="other_mailbox",
        )
    _open_mailbox(connection)
    outbox.state = "sending" if outbox.sending_since else "prepared"
    outbox.error, outbox.attempts, outbox.next_try_at, outbox.sent_at = "", 0, now(), now()
    db.session.get_one(Message, outbox.message_id).state = "sending"
    hand_over(outbox)
    return True
