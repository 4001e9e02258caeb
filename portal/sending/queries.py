"""What sending needs to know: the person's mailbox, its cap, the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import defer, joinedload

from portal.access.permissions import Permission, role_may
from portal.connections.queries import live_connection
from portal.conversations.service import message_subject
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Conversation, ConversationThread, Membership, Message, OutboxMail, User
from portal.rules.sending import WINDOW, Cap, Path, decide_path, measure_cap

OUTBOX_ROWS = 100


@dataclass(frozen=True)
class Way:
    """How the individual mail of a person leaves, and how much is left of the cap."""

    path: Path
    connection: Connection | None
    cap: Cap | None


def way_of(account_id: UUID, user_id: UUID) -> Way:
    """The way of a person's individual mail in this account (S-01)."""
    connection = live_connection(account_id, user_id)
    path = decide_path(connection.state if connection else None)
    return Way(path, connection, cap_of(connection) if connection else None)


def cap_of(connection: Connection) -> Cap:
    """Use of the connection's mailbox in the rolling 24 hours, all its accounts together (G-14)."""
    return measure_cap(_counted(connection.mailbox_key, now() - WINDOW), connection.account.send_cap, now())


def _counted(mailbox_key: str, since: datetime) -> list[datetime]:
    """When mail of a mailbox left, or was handed over to leave: `sent_at` is set from the first step on."""
    query = select(OutboxMail.sent_at).where(
        OutboxMail.mailbox_key == mailbox_key, OutboxMail.sent_at > since
    )
    return [moment for moment in db.session.scalars(query) if moment is not None]


def may_still_send(mail: OutboxMail) -> bool:
    """Whether its writer still works in the account, in a role that writes mail (RBA-5, TEN-4)."""
    query = select(Membership.role).join(User, User.id == Membership.user_id)
    query = query.where(
        Membership.account_id == mail.account_id,
        Membership.user_id == mail.user_id,
        Membership.state == "active",
        User.deactivated_at.is_(None),
    )
    role = db.session.scalar(query)
    return role is not None and role_may(role, Permission.WRITE_MAIL)


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
class OutboxLine:
    """A mail of the outbox page."""

    mail: OutboxMail
    message: Message
    contact_name: str
    subject: str

    @property
    def state(self) -> str:
        """Of the status vocabulary. A mail that came back is failed although it left."""
        if self.message.state == "failed":
            return "not_sent"
        if self.message.state == "unknown":
            return "unsure"
        return "waiting" if self.mail.state == "prepared" and self.mail.attempts else str(self.message.state)


def outbox_of(account_id: UUID, user_id: UUID) -> list[OutboxLine]:
    """The person's own mail of the last seven days, newest first; older ones only while they have not left."""
    recent = now() - timedelta(days=7)
    query = (
        select(OutboxMail, Message)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(OutboxMail.account_id == account_id, OutboxMail.user_id == user_id)
        .where(or_(OutboxMail.created_at > recent, OutboxMail.state != "sent"))
        .options(
            defer(OutboxMail.raw),
            joinedload(Message.conversation).joinedload(Conversation.contact),
        )
        .order_by(OutboxMail.id.desc())
        .limit(OUTBOX_ROWS)
    )
    return [
        OutboxLine(mail, message, message.conversation.contact.name, message_subject(message))
        for mail, message in db.session.execute(query)
    ]


def outbox_states(message_ids: list[UUID]) -> dict[UUID, OutboxMail]:
    """The outbox rows of these messages, without their MIME."""
    if not message_ids:
        return {}
    query = select(OutboxMail).where(OutboxMail.message_id.in_(message_ids)).options(defer(OutboxMail.raw))
    return {row.message_id: row for row in db.session.scalars(query)}


def due_ids(limit: int = 200) -> list[UUID]:
    """Mail to be tried or looked for now: not picked up yet, unknown, or its worker vanished."""
    query = (
        select(OutboxMail.id)
        .where(OutboxMail.state.in_(("prepared", "sending", "unknown")), OutboxMail.next_try_at <= now())
        .order_by(OutboxMail.next_try_at)
        .limit(limit)
    )
    return list(db.session.scalars(query))
