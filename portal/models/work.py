"""Work of the portal itself: the schedule's heartbeat and notices to people."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import db
from portal.models.base import AccountRow


class ScheduleTick(db.Model):  # type: ignore[name-defined]
    """When each entry of the schedule last ran, and when it is due again."""

    __tablename__ = "schedule_tick"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    ran_at: Mapped[datetime]


class Notice(AccountRow):
    """A line for one person, shown in the portal until read. Never carries mail content."""

    __tablename__ = "notice"
    __table_args__ = (Index("ix_notice_unread", "user_id", "account_id", "read_at"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    kind: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[UUID | None]
    text: Mapped[str] = mapped_column(String(500))
    href: Mapped[str] = mapped_column(String(300), default="")
    read_at: Mapped[datetime | None]
