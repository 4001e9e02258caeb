"""The audit trail's rows. Appended only; the database refuses changes (triggers in the migration)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import Row


class AuditEvent(Row):
    """Who did what to which object, when, from where. Ids and words of the registry only, never mail content."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_account", "account_id", "created_at"),
        Index("ix_audit_event_object", "object_type", "object_id"),
    )

    account_id: Mapped[UUID | None]
    actor_id: Mapped[UUID | None]  # None: nobody signed in, or the portal itself
    name: Mapped[str] = mapped_column(String(80))  # subject:object:verb-past, from audit.events
    outcome: Mapped[str] = mapped_column(String(10), default="done")  # done, refused, failed
    object_type: Mapped[str] = mapped_column(String(40), default="")
    object_id: Mapped[UUID | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    ip: Mapped[str] = mapped_column(String(45), default="")
    request_id: Mapped[str] = mapped_column(String(40), default="")
