"""What a person has not read yet."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from portal.database import db
from portal.models import Notice

SHOWN = 5


def unread_notices(user_id: UUID, account_id: UUID, limit: int = SHOWN) -> list[Notice]:
    """The newest unread notices of a person in an account."""
    query = (
        select(Notice)
        .where(Notice.user_id == user_id, Notice.account_id == account_id, Notice.read_at.is_(None))
        .order_by(Notice.created_at.desc(), Notice.id.desc())
        .limit(limit)
    )
    return list(db.session.scalars(query))
