"""What the models share."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id

ADDRESS = String(320)  # RFC 5321: 64 + @ + 255
NAME = String(200)


class Row(db.Model):  # type: ignore[name-defined]
    """A row with a time-ordered id and the moment it was made."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, sort_order=-2)
    created_at: Mapped[datetime] = mapped_column(default=now, sort_order=-1)


class AccountRow(Row):
    """A row that belongs to one account (tenant)."""

    __abstract__ = True

    @declared_attr
    def account_id(cls) -> Mapped[UUID]:
        return mapped_column(ForeignKey("account.id"), index=True, sort_order=-1)
