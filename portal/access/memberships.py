"""Whether a person still works somewhere, asked where nobody is signed in: by jobs, before each step (RBA-5, TEN-4)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from portal.access.permissions import Permission, role_may
from portal.database import db
from portal.models import Membership, User


def working_role(account_id: UUID, user_id: UUID) -> str | None:
    """The role of a person who works in the account now and may sign in; None for everybody else."""
    query = select(Membership.role).join(User, User.id == Membership.user_id)
    query = query.where(
        Membership.account_id == account_id,
        Membership.user_id == user_id,
        Membership.state == "active",
        User.deactivated_at.is_(None),
    )
    return db.session.scalar(query)


def may_still(account_id: UUID, user_id: UUID, permission: Permission) -> bool:
    """Whether a person still works in the account, in a role that has this permission."""
    role = working_role(account_id, user_id)
    return role is not None and role_may(role, permission)
