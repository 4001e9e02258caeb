"""What the sync decided of every mail it met (E-01)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import AccountRow


class Decision(AccountRow):
    """One mail, one reason. Of mail left out nothing else is kept: no subject, text or third party's address."""

    __tablename__ = "decision"
    __table_args__ = (
        UniqueConstraint("connection_id", "provider_message_id"),
        Index("ix_decision_recent", "connection_id", "decided_at", "id"),
    )

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id"))
    provider_message_id: Mapped[str] = mapped_column(String(300))
    direction: Mapped[str] = mapped_column(String(8))  # inbound, outbound
    outcome: Mapped[str] = mapped_column(String(10))  # logged, left_out, held, unreadable
    reason: Mapped[str] = mapped_column(String(40))  # rules.reasons.Reason
    contact_id: Mapped[UUID | None] = mapped_column(ForeignKey("contact.id"))
    conversation_id: Mapped[UUID | None] = mapped_column(ForeignKey("conversation.id"))
    message_id: Mapped[UUID | None]
    received_at: Mapped[datetime]
    decided_at: Mapped[datetime]
