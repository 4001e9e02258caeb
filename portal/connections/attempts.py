"""Trips to a provider's consent page: begun by the person themself, single use, ten minutes, bound (P-03, OAU-1, OAU-2)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from flask import current_app
from sqlalchemy import select, update

from portal.access.permissions import Permission, role_may
from portal.audit import events
from portal.audit.caller import current_caller
from portal.audit.service import record
from portal.connections import acknowledgements
from portal.connections.queries import live_connection
from portal.database import db, transaction
from portal.errors import Conflict, DomainError
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Account, Connection, Membership, OAuthAttempt, User
from portal.providers.registry import authority
from portal.rules.connecting import PROVIDERS, Purpose, may_role_connect
from portal.rules.reasons import Cause
from portal.sealing import open_text, seal_text

LIFE = timedelta(minutes=10)
VERIFIER = "oauth_attempt.verifier"
PROFILE = "/profile/email"


class MayNotConnect(DomainError):
    """The account's policy does not let this person connect a mailbox here (P-06)."""

    status: ClassVar[int] = 403
    title: ClassVar[str] = "Your practice does not allow this"

    def __init__(self, cause: str) -> None:
        text = "The rules of this location do not let your role connect a mailbox. Nothing was connected."
        super().__init__(text, cause=cause, href=PROFILE, press="Back to My Profile")


@dataclass(frozen=True)
class Attempt:
    """An attempt that has been used up just now, as it was begun."""

    account_id: UUID
    user_id: UUID
    session_id: UUID
    provider: str
    purpose: Purpose
    connection_id: UUID | None
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


def require_allowed(user_id: UUID, account_id: UUID, provider: str) -> None:
    """The gate of every connection: works here, by role, with the newest signature. Raises DomainError."""
    require_role(user_id, account_id)
    acknowledgements.require_current(user_id, account_id, provider)


def require_role(user_id: UUID, account_id: UUID) -> None:
    """Raises MayNotConnect unless the person works here in a role that the account lets connect (P-06)."""
    membership = db.session.scalar(
        select(Membership)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.user_id == user_id, Membership.account_id == account_id, Membership.state == "active",
            User.deactivated_at.is_(None),
        )
    )  # fmt: skip
    if membership is None:
        raise MayNotConnect("membership")
    policy = db.session.get_one(Account, account_id).connect_roles
    if not role_may(membership.role, Permission.CONNECT_OWN) or not may_role_connect(membership.role, policy):
        raise MayNotConnect("connect_roles")


def require_open(user_id: UUID, account_id: UUID, provider: str, purpose: Purpose) -> None:
    """What would refuse the trip whatever is signed; asked before a signature is taken for it. Raises DomainError."""
    require_role(user_id, account_id)
    _require_place(provider, purpose, live_connection(account_id, user_id))


def begin(provider: str, purpose: Purpose) -> str:
    """Begin the caller's own trip to a provider and return the consent page's address.

    Whose connection it will be is the session's: there is no parameter for it (P-03). Raises DomainError.
    """
    caller = current_caller()
    if caller.user_id is None or caller.account_id is None or caller.session_id is None:
        raise MayNotConnect("nobody")
    require_allowed(caller.user_id, caller.account_id, provider)
    connection = live_connection(caller.account_id, caller.user_id)
    _require_place(provider, purpose, connection)
    state, verifier, nonce = (secrets.token_urlsafe(size) for size in (32, 48, 32))
    row_id = new_id()
    row = OAuthAttempt(
        id=row_id,
        account_id=caller.account_id,
        user_id=caller.user_id,
        session_id=caller.session_id,
        provider=provider,
        purpose=purpose.value,
        connection_id=connection.id if connection else None,
        state_hash=_hash(state),
        nonce=nonce,
        verifier=seal_text(verifier, VERIFIER, caller.account_id, row_id),
        expires_at=now() + LIFE,
    )
    db.session.add(row)
    db.session.flush()
    record(events.CONNECT_STARTED, row, provider=provider, purpose=purpose.value)
    hint = connection.mailbox if connection and purpose is Purpose.RECONNECT else ""
    settings = current_app.extensions["settings"]
    consent_page = authority(provider).authorize_url
    return consent_page(settings, state=state, nonce=nonce, verifier=verifier, login_hint=hint)


def _require_place(provider: str, purpose: Purpose, connection: Connection | None) -> None:
    """One mailbox at a time (P-05): a first connection needs none there, the others need one; only Update changes the
    provider. What an admin has paused nobody gets round by another consent (P-06)."""
    if connection is not None and connection.cause == Cause.PAUSED_BY_ADMIN:
        text = f"An admin of your practice has paused {connection.mailbox}. Nothing was changed. Ask them to let it go on."
        raise Conflict(text, cause=Cause.PAUSED_BY_ADMIN.value, href=PROFILE, press="Back to My Profile")
    if purpose is Purpose.CONNECT and connection is not None:
        text = f"{connection.mailbox} is connected already. Use Update to connect another mailbox in its place."
        raise Conflict(text, cause="already_connected", href=PROFILE, press="Back to My Profile")
    if purpose is not Purpose.CONNECT and connection is None:
        text = "No mailbox of yours is connected here any more. Connect one anew; that sets a new beginning."
        raise Conflict(text, cause="nothing_there", href=PROFILE, press="Back to My Profile")
    if purpose is Purpose.RECONNECT and connection is not None and connection.provider != provider:
        text = f"{connection.mailbox} is not at {PROVIDERS[provider].company}. Use Update to connect another in its place."
        raise Conflict(text, cause="other_provider", href=PROFILE, press="Back to My Profile")


def take(state: str, provider: str) -> Attempt | None:
    """Use up the attempt of a state, in a transaction of its own: whatever comes next, the state is spent.

    None for a state that is unknown, spent, too old, or another provider's: a code brought to the wrong path goes to no
    token endpoint (OAU-3).
    """
    with transaction():
        row = db.session.scalar(
            update(OAuthAttempt)
            .where(
                OAuthAttempt.state_hash == _hash(state),
                OAuthAttempt.consumed_at.is_(None),
                OAuthAttempt.expires_at > now(),
            )
            .values(consumed_at=now())
            .returning(OAuthAttempt)
        )
        if row is None or row.provider != provider:
            return None
        return Attempt(
            account_id=row.account_id,
            user_id=row.user_id,
            session_id=row.session_id,
            provider=row.provider,
            purpose=Purpose(row.purpose),
            connection_id=row.connection_id,
            nonce=row.nonce,
            verifier=open_text(row.verifier, VERIFIER, row.account_id, row.id),
        )


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()
