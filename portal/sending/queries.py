"""What sending needs to know: who may still send, the thread of a reply, the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import defer, joinedload

from portal.access.memberships import may_still
from portal.access.permissions import Permission
from portal.conversations.service import message_subject
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Conversation, ConversationThread, Message, OutboxMail
from portal.sending import caps, waiting

OUTBOX_ROWS = 100


def may_still_send(mail: OutboxMail) -> bool:
    """Whether its writer still works in the account, in a role that writes mail (RBA-5, TEN-4)."""
    return may_still(mail.account_id, mail.user_id, Permission.WRITE_MAIL)


def thread_of(conversation: Conversation, connection: Connection) -> str | None:
    """The provider thread in this mailbox that a reply must stay in; None when the mailbox has none of it.

    It is the thread of the newest message that came or left there, else the last one linked.
    """
    newest = (
        select(Message.provider_thread_id)
        .where(
            Message.conversation_id == conversation.id,
            Message.connection_id == connection.id,
            Message.provider_thread_id.is_not(None),
        )
        .order_by(Message.sent_at.desc(), Message.id.desc())
    )
    linked = (
        select(ConversationThread.provider_thread_id)
        .where(
            ConversationThread.conversation_id == conversation.id,
            ConversationThread.connection_id == connection.id,
        )
        .order_by(ConversationThread.created_at.desc(), ConversationThread.id.desc())
    )
    return db.session.scalar(newest.limit(1)) or db.session.scalar(linked.limit(1))


def parent_of(conversation: Conversation) -> Message | None:
    """The newest message that a reply can name: one whose wire id is known, so none on its way or failed."""
    query = (
        select(Message)
        .where(
            Message.conversation_id == conversation.id,
            Message.state.in_(("logged", "sent")),
            Message.internet_message_id != "",
        )
        .order_by(Message.sent_at.desc(), Message.id.desc())
    )
    return db.session.scalar(query.limit(1))


@dataclass(frozen=True)
class OnItsWay:
    """How far a mail of ours is. `leaves_at`: about when a waiting one leaves; `must_wait`: its mailbox is at its cap.

    `is_final`: it failed and may never leave any more, whatever is pressed.
    """

    mail: OutboxMail
    message: Message
    leaves_at: datetime | None
    must_wait: bool
    is_final: bool

    @property
    def state(self) -> str:
        """Of the status vocabulary. A mail that came back is failed although it left."""
        if self.message.state == "failed":
            return "not_sent"
        if self.message.state == "unknown":
            return "unsure"
        if self.mail.state == "prepared" and self.mail.waits_for and not self.mail.error:
            return "queued" if self.mail.waits_for == "reset" else "scheduled"
        has_tried = self.mail.state == "prepared" and bool(self.mail.attempts or self.mail.error)
        return "waiting" if has_tried else str(self.message.state)

    @property
    def may_be_declared(self) -> bool:
        """Whether only its writer can say what became of it: at the mail server nothing can be looked up."""
        return self.mail.state == "unknown" and self.mail.path == "provider"

    @property
    def may_be_queued(self) -> bool:
        """Whether a failed mail can wait for the cap instead."""
        return self.must_wait and self.mail.state == "failed" and not self.mail.has_come_back


@dataclass(frozen=True)
class OutboxLine(OnItsWay):
    """A mail of the outbox page."""

    contact_name: str
    subject: str


def outbox_of(account_id: UUID, user_id: UUID) -> list[OutboxLine]:
    """The person's own mail of the last seven days, newest first; older ones only while they have not left."""
    recent = now() - timedelta(days=7)
    query = (
        select(OutboxMail, Message)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(OutboxMail.account_id == account_id, OutboxMail.user_id == user_id)
        .where(or_(OutboxMail.created_at > recent, OutboxMail.sent_at > recent, OutboxMail.state != "sent"))
        .options(
            defer(OutboxMail.raw),
            joinedload(Message.conversation).joinedload(Conversation.contact),
        )
        .order_by(OutboxMail.id.desc())
        .limit(OUTBOX_ROWS)
    )
    found = [(mail, message) for mail, message in db.session.execute(query)]
    ends = _ends_of_waiting([mail for mail, _ in found])
    return [
        OutboxLine(
            mail, message, *ends[mail.id], _is_final(mail), message.conversation.contact.name, message_subject(message)
        )
        for mail, message in found
    ]


def on_their_way(message_ids: list[UUID]) -> dict[UUID, OnItsWay]:
    """How far these messages are, by message id."""
    if not message_ids:
        return {}
    query = (
        select(OutboxMail, Message)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(OutboxMail.message_id.in_(message_ids))
        .options(defer(OutboxMail.raw))
    )
    found = [(mail, message) for mail, message in db.session.execute(query)]
    ends = _ends_of_waiting([mail for mail, _ in found])
    return {message.id: OnItsWay(mail, message, *ends[mail.id], _is_final(mail)) for mail, message in found}


def _is_final(mail: OutboxMail) -> bool:
    """Whether a failed mail may never leave: the conversation ended, the address changed, or it is a colleague's now."""
    return mail.state == "failed" and not mail.has_come_back and waiting.hindrance(mail) != ""


def _ends_of_waiting(mails: list[OutboxMail]) -> dict[UUID, tuple[datetime | None, bool]]:
    """Per mail about when it leaves, and whether its mailbox is at its cap; asked only where it matters."""
    ids = {mail.connection_id for mail in mails if mail.connection_id and (mail.waits_for or mail.state == "failed")}
    connections = [found for found in (db.session.get(Connection, key) for key in ids) if found is not None]
    places = {key: at for connection in connections for key, at in caps.places_of(connection).items()}
    full = {row.id for row in connections if row.state == "connected" and caps.cap_of(row).must_wait}
    return {
        mail.id: (mail.send_at if mail.waits_for == "time" else places.get(mail.id), mail.connection_id in full)
        for mail in mails
    }


def due_ids(limit: int = 200) -> list[UUID]:
    """Mail to be tried or looked for now: not picked up yet, unknown, or its worker vanished.

    At the account's provider nothing can be looked up: what is unknown there waits for a person.
    """
    query = (
        select(OutboxMail.id)
        .where(OutboxMail.state.in_(("prepared", "sending", "unknown")), OutboxMail.next_try_at <= now())
        .where(or_(OutboxMail.path == "mailbox", OutboxMail.state != "unknown"))
        .order_by(OutboxMail.next_try_at, OutboxMail.id)
        .limit(limit)
    )
    return list(db.session.scalars(query))
