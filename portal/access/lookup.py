"""The one lookup: an object of the account being worked in, or nothing (TEN-1)."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from sqlalchemy import select

from portal.audit.caller import current_caller
from portal.database import db
from portal.errors import NotFound
from portal.models.base import AccountRow

Found = TypeVar("Found", bound=AccountRow)


def find(model: type[Found], row_id: UUID, *, own: bool = False, lock: bool = False) -> Found:
    """The row of the caller's account with this id. `own`: it must also be the caller's (its `user_id`).

    `lock` takes the row for the rest of the transaction. Raises NotFound alike for a missing, another account's,
    and (with `own`) another person's row.
    """
    caller = current_caller()
    if caller.account_id is None:
        raise NotFound()
    query = select(model).where(model.id == row_id, model.account_id == caller.account_id)
    if own:
        query = query.where(model.user_id == caller.user_id)  # type: ignore[attr-defined]
    row = db.session.scalar(query.with_for_update(of=model) if lock else query)
    if row is None:
        raise NotFound()
    return row
