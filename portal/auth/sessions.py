"""Server-side sessions: the cookie holds a token, its hash stands in the database, ending the row ends the session."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from flask import session as cookie
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import Membership, User, UserSession

TOKEN = "token"  # noqa: S105  a key in the cookie, not a secret
ABSOLUTE = timedelta(hours=12)
TOUCH_EVERY = timedelta(minutes=1)


def token_hash(token: str) -> str:
    """What of a token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(user: User, *, ip: str, browser: str) -> UserSession:
    """Start a session for a person who has just proved who they are; the old cookie becomes worthless (SES-2)."""
    token = secrets.token_urlsafe(32)
    moment = now()
    row = UserSession(
        token_hash=token_hash(token),
        user_id=user.id,
        account_id=_place_to_begin(user.id),
        last_seen_at=moment,
        expires_at=moment + ABSOLUTE,
        ip=ip,
        browser=browser,
    )
    db.session.add(row)
    cookie.clear()
    cookie[TOKEN] = token
    return row


def renew(row: UserSession) -> None:
    """Give a session a new token after what its person may do has changed; the old cookie becomes worthless (SES-2)."""
    token = secrets.token_urlsafe(32)
    row.token_hash = token_hash(token)
    cookie[TOKEN] = token


def load() -> tuple[UserSession | None, Membership | None]:
    """The live session of the request's cookie and the membership in its account; (None, None) for a stranger."""
    token = cookie.get(TOKEN)
    if not isinstance(token, str):
        return None, None
    row = db.session.scalar(select(UserSession).where(UserSession.token_hash == token_hash(token)))
    moment = now()
    if row is None or row.ended_at or row.expires_at <= moment or row.user.deactivated_at:
        return None, None
    if moment - row.last_seen_at > TOUCH_EVERY:
        row.last_seen_at = moment
        db.session.commit()
    return row, _membership(row)


def _membership(row: UserSession) -> Membership | None:
    if row.account_id is None:
        return None
    return db.session.scalar(
        select(Membership).where(
            Membership.user_id == row.user_id, Membership.account_id == row.account_id, Membership.state == "active"
        )
    )


def memberships(user_id: UUID) -> list[Membership]:
    """Where a person works now, oldest first."""
    query = select(Membership).where(Membership.user_id == user_id, Membership.state == "active")
    return list(db.session.scalars(query.order_by(Membership.created_at, Membership.id)))


def _place_to_begin(user_id: UUID) -> UUID | None:
    """The account that the person worked in last, while they still work there; else their first one."""
    places = [membership.account_id for membership in memberships(user_id)]
    last = select(UserSession.account_id).where(UserSession.user_id == user_id)
    found = db.session.scalar(last.order_by(UserSession.last_seen_at.desc(), UserSession.id.desc()).limit(1))
    return found if found in places else next(iter(places), None)


def end(row: UserSession) -> None:
    """End a session; its cookie answers like a stranger's from now on."""
    row.ended_at = now()


def leave() -> None:
    """Forget the request's cookie."""
    cookie.clear()
