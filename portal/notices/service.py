"""Lines for one person, shown in the portal until they are read or no longer true."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import update

from portal.database import db
from portal.lib.clock import now
from portal.models import Notice


def notify(user_id: UUID, account_id: UUID, kind: str, text: str, href: str = "", object_id: UUID | None = None) -> Notice:
    """Tell a person something in one account. `text` is a whole sentence without mail content; `href` a local path.

    The person's unread notice of the same kind about the same object is replaced: the newest is what counts.
    """
    if object_id is not None:
        withdraw(kind, object_id, user_id)
    row = Notice(user_id=user_id, account_id=account_id, kind=kind, text=text[:500], href=href, object_id=object_id)
    db.session.add(row)
    return row


def withdraw(kind: str, object_id: UUID, user_id: UUID | None = None) -> None:
    """What the notices said of this object is no longer true: count them as read, one person's or everybody's."""
    change = update(Notice).where(Notice.kind == kind, Notice.object_id == object_id, Notice.read_at.is_(None))
    if user_id is not None:
        change = change.where(Notice.user_id == user_id)
    db.session.execute(change.values(read_at=now()).execution_options(synchronize_session="fetch"))


def mark_read(notice: Notice) -> None:
    """The person has seen it."""
    notice.read_at = notice.read_at or now()
