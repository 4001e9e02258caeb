"""Sign in, sign out, and move to another location; each in one transaction with its audit event."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import select

from portal.audit import events
from portal.audit.caller import current_caller, set_caller
from portal.audit.service import record
from portal.auth import sessions
from portal.auth.passwords import check_password, hash_password, needs_rehash
from portal.database import db
from portal.errors import NotFound
from portal.models import Account, Membership, User, UserSession
from portal.rules.addresses import match_key


def sign_in(email: str, password: str, *, ip: str, browser: str) -> UserSession | None:
    """A new session for the person with this address and password; None for anybody else, whatever the reason.

    The answer takes as long for an address that nobody has (SES-7). A failure is recorded with the person whose
    account it was, or with nobody; never with the address that was typed.
    """
    user = db.session.scalar(select(User).where(User.email_key == match_key(email)))
    is_right = check_password(user.password_hash if user else "", password)
    if user is None or not is_right or user.deactivated_at:
        _record_failure(user, is_right)
        return None
    if needs_rehash(user.password_hash):
        user.password_hash = hash_password(password)
    session = sessions.begin(user, ip=ip, browser=browser)
    db.session.flush()
    set_caller(replace(current_caller(), user_id=user.id, account_id=session.account_id, session_id=session.id))
    record(events.SIGNED_IN, session)
    return session


def _record_failure(user: User | None, is_right: bool) -> None:
    places = sessions.memberships(user.id) if user else []
    cause = "unknown_person" if user is None else "deactivated" if is_right else "wrong_password"
    record(events.SIGN_IN_FAILED, user, outcome="refused", account_id=places[0].account_id if places else None, cause=cause)


def sign_out(session: UserSession, cause: str = "pressed") -> None:
    """End the session; a copy of its cookie answers like a stranger's from now on (SES-2)."""
    sessions.end(session)
    sessions.leave()
    record(events.SIGNED_OUT, session, account_id=session.account_id, cause=cause)


def switch_account(session: UserSession, account_id: UUID) -> Account:
    """Work in another of one's own locations. Raises NotFound for a place where the person does not work now."""
    place = db.session.scalar(
        select(Membership).where(
            Membership.user_id == session.user_id, Membership.account_id == account_id, Membership.state == "active"
        )
    )
    if place is None:
        raise NotFound(cause="account_switch")
    session.account_id = account_id
    sessions.renew(session)
    record(events.ACCOUNT_SWITCHED, place.account, account_id=account_id)
    return place.account
