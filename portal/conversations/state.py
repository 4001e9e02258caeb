"""Whether a conversation still grows by itself, and since when (G-16, G-17, G-18)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from portal.conversations import claims
from portal.database import db
from portal.models import Connection, Conversation
from portal.rules.connecting import PROVIDERS

STATUSES = {"connected": "in_sync", "paused": "paused"}


@dataclass(frozen=True)
class SyncState:
    """What stands on top of a thread. `status` is of the status vocabulary; `whose` is "your" or a colleague's."""

    status: str
    whose: str
    mailbox: str
    service: str  # what holds its mail: Gmail, Outlook; "" without a mailbox
    ended_cause: str
    ended_at: datetime | None
    continued_in: str  # the location where it goes on, to somebody who works there; else ""
    is_routed: bool  # answers to its own address come back (S-01)
    begun_by: str
    begun_at: datetime
    last_checked_at: datetime | None


def sync_state(conversation: Conversation, viewer_id: UUID) -> SyncState:
    """The state of a conversation's sync for the person who looks at it."""
    connection = (
        db.session.get(Connection, conversation.connection_id) if conversation.connection_id else None
    )
    is_mine = conversation.user_id == viewer_id
    return SyncState(
        status=_status(conversation, connection),
        whose="your" if is_mine else f"{conversation.user.name}’s",
        mailbox=connection.mailbox if connection else "",
        service=PROVIDERS[connection.provider].service if connection else "",
        ended_cause=conversation.ended_cause,
        ended_at=conversation.ended_at,
        continued_in=claims.place_for(conversation.continued_in_id, viewer_id) if conversation.continued_in_id else "",
        is_routed=conversation.reply_token is not None,
        begun_by=_begun_by(conversation, "you" if is_mine else conversation.user.name),
        begun_at=conversation.created_at,
        last_checked_at=connection.last_success_at if connection else None,
    )


def _begun_by(conversation: Conversation, writer: str) -> str:
    if conversation.started_by == "contact":
        return f"{conversation.contact.name} first wrote"
    return f"{writer} first wrote" + (" from the CRM" if conversation.started_by == "crm" else "")


def _status(conversation: Conversation, connection: Connection | None) -> str:
    if conversation.state == "ended":
        return "ended"
    if connection is None or not connection.is_live:
        return "not_connected" if conversation.reply_token is None else "routed"
    return STATUSES.get(connection.state, "needs_attention")
