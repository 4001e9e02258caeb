"""Change conversations: end them; open what is sealed in them."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.models import Connection, Conversation, Message
from portal.sealing import open_text

NO_SUBJECT = "(no subject)"
UNREADABLE = "(could not be opened)"


def end_conversations(connection_id: UUID, cause: str) -> int:
    """End every open conversation of a mailbox; what was synced stays (G-16, G-17). Returns how many.

    `cause` is "disconnected" or "updated"; the conversations' pages say it from then on.
    """
    connection = db.session.get_one(Connection, connection_id)
    ended = db.session.execute(
        update(Conversation)
        .where(Conversation.connection_id == connection_id, Conversation.state == "open")
        .values(state="ended", ended_cause=cause, ended_at=now())
        .returning(Conversation.id)
        .execution_options(synchronize_session="fetch")
    ).all()
    record(events.CONVERSATION_ENDED, connection, cause=cause, count=len(ended))
    return len(ended)


def conversation_subject(conversation: Conversation) -> str:
    """The subject for showing, in words where there is none or it does not open."""
    return own_subject(conversation) or NO_SUBJECT


def own_subject(conversation: Conversation) -> str:
    """The subject in clear; empty where it has none."""
    return readable(conversation.subject, "conversation.subject", conversation.account_id, conversation.id)


def message_subject(message: Message) -> str:
    """A message's subject in clear; empty where it has none."""
    return readable(message.subject, "message.subject", message.account_id, message.id)


def readable(sealed: bytes | None, kind: str, account_id: UUID, row_id: UUID) -> str:
    """A sealed text for showing: one damaged value says so and does not take the page down."""
    try:
        return open_text(sealed, kind, account_id, row_id)
    except SealError:
        return UNREADABLE
