"""Tokens of a grant: opened, refreshed one at a time, forgotten, given back.

Nothing here leaves the process but to the provider itself: no token in a log, a queue, a page or an audit event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from config import Settings
from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import is_identity_in_use
from portal.connections.watching import held_of, store_held
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.lib.http import Http
from portal.lib.ids import new_id
from portal.models import Grant
from portal.providers.base import Authority
from portal.providers.errors import AuthorizationLost, OperatorFault, ProviderError, Temporary
from portal.providers.registry import authority, mail_provider
from portal.providers.types import Held, Tokens
from portal.sealing import open_text, seal_text

REFRESH_BEFORE = timedelta(minutes=5)
LEASE = timedelta(seconds=40)  # longer than the HTTP wrapper lets a refresh last
LOOK_EVERY = 0.1  # seconds, while another one refreshes
REVOKE_AGAIN = timedelta(minutes=10)
REVOKE_GIVEN_UP = timedelta(days=7)
REFRESH_TOKEN, ACCESS_TOKEN, REVOKE_TOKEN = "grant.refresh_token", "grant.access_token", "grant.revoke_token"


def owner_of(grant: Grant) -> str:
    """What a grant's sealed values are bound to in place of an account: accounts share it."""
    return f"{grant.provider}:{grant.subject}"


@dataclass(frozen=True)
class _Step:
    """What the grant's row says now: a usable token, a refresh that is ours to make, or neither (another one refreshes)."""

    provider: str = ""
    token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    lease: UUID | None = None


async def access_token(grant_id: UUID, http: Http, *, refused: str | None = None) -> str:
    """A token that is good for five minutes at least; told the one that was refused, another one.

    However many ask at once, one refreshes and the others wait for it. No transaction may be open. Raises
    AuthorizationLost, Temporary, OperatorFault.
    """
    has_waited = False
    while True:
        step = _look(grant_id, refused, may_refresh=not has_waited)
        if step.token:
            return step.token
        if step.lease is not None:
            return await _refresh(grant_id, http, step)
        has_waited = True
        await asyncio.sleep(LOOK_EVERY)


def _look(grant_id: UUID, refused: str | None, *, may_refresh: bool) -> _Step:
    with transaction():
        grant = _locked(grant_id)
        if grant is None or grant.refresh_token is None:
            raise AuthorizationLost("the grant holds no token")
        token = _usable(grant, refused)
        if token:
            return _Step(token=token)
        if grant.refresh_lease is not None and (grant.refresh_lease_until or now()) > now():
            return _Step()
        if not may_refresh and grant.refresh_lease is None:  # the one waited for has failed; its caller knows why
            raise Temporary("another refresh of this grant has just failed")
        grant.refresh_lease, grant.refresh_lease_until = new_id(), now() + LEASE
        known = _open(grant, REFRESH_TOKEN, grant.refresh_token)
        return _Step(provider=grant.provider, refresh_token=known, lease=grant.refresh_lease)


def _usable(grant: Grant, refused: str | None) -> str:
    if grant.access_token is None or grant.access_expires_at is None:
        return ""
    if grant.access_expires_at - REFRESH_BEFORE <= now():
        return ""
    token = _open(grant, ACCESS_TOKEN, grant.access_token)
    return "" if token == refused else token


def _open(grant: Grant, kind: str, sealed: bytes) -> str:
    try:
        return open_text(sealed, kind, owner_of(grant), grant.id)
    except SealError as error:  # a key is missing here: the user's consent is fine
        raise OperatorFault(f"a token does not open: {error}") from None


async def _refresh(grant_id: UUID, http: Http, step: _Step) -> str:
    try:
        tokens = await authority(step.provider).refresh(http, _settings(), step.refresh_token)
    except BaseException as error:
        _end_lease(grant_id, step.lease)
        if isinstance(error, OperatorFault):
            current_app.logger.error("operator: the provider refuses our client: %s", error)
        raise
    with transaction():
        grant = _locked(grant_id)
        # One that was disconnected or consented anew meanwhile is not overwritten.
        if grant is not None and grant.refresh_lease == step.lease and grant.refresh_token is not None:
            store_tokens(grant, tokens)
    return tokens.access_token


def _end_lease(grant_id: UUID, lease: UUID | None) -> None:
    with transaction():
        grant = _locked(grant_id)
        if grant is not None and grant.refresh_lease == lease:
            grant.refresh_lease = grant.refresh_lease_until = None


def store_tokens(grant: Grant, tokens: Tokens) -> None:
    """Seal the tokens of an answer into their grant and end the lease; the scopes too, where they were said.

    A refresh token that came replaces the former one in the same transaction as the access token (OAU-9); where none came
    the former one stays (Google does not rotate).
    """
    if tokens.refresh_token:
        grant.refresh_token = seal_text(tokens.refresh_token, REFRESH_TOKEN, owner_of(grant), grant.id)
    grant.access_token = seal_text(tokens.access_token, ACCESS_TOKEN, owner_of(grant), grant.id)
    grant.access_expires_at = now() + timedelta(seconds=tokens.expires_in)
    grant.refresh_lease = grant.refresh_lease_until = None
    grant.scopes = tokens.scope[:1000] or grant.scopes


def store_consent(grant: Grant, tokens: Tokens) -> None:
    """Seal both tokens of a new consent; whatever was to be revoked before is alive again."""
    grant.revoke_pending_at = grant.watch_tried_at = None  # the watch may have ended with the former consent
    store_tokens(grant, tokens)


def forget(grant: Grant) -> None:
    """Delete the tokens here; at the provider nothing changes."""
    grant.refresh_token = grant.access_token = grant.access_expires_at = None
    grant.refresh_lease = grant.refresh_lease_until = None
    grant.revoke_pending_at = grant.watch_expires_at = grant.watch_tried_at = None


def revoke_later(grant: Grant) -> None:
    """Delete the tokens here at once, and give the consent back at the provider as soon as it answers (OAU-10).

    What is kept for that one call is sealed for that purpose alone: no code that reads mail can open it.
    """
    if grant.refresh_token is None:
        store_held(grant.id, None)
        return forget(grant)
    try:
        token = _open(grant, REFRESH_TOKEN, grant.refresh_token)
    except OperatorFault as error:  # a key is missing: nobody is kept from ending a connection by that
        current_app.logger.error("operator: a consent cannot be given back: %s", error)
        _settle(grant, "given_up")
        return None
    forget(grant)
    grant.access_token = seal_text(token, REVOKE_TOKEN, owner_of(grant), grant.id)
    grant.revoke_pending_at = now()
    queues.enqueue("mail.retry_revocations", on=queues.DEFAULT, once="retry-revocations")
    return None


def retry_revocations() -> int:
    """Give back what is pending; tells how many are settled. One that fails is tried again, for seven days."""
    with transaction():
        query = select(Grant.id).where(Grant.revoke_pending_at.is_not(None)).order_by(Grant.revoke_pending_at)
        ids = list(db.session.scalars(query.limit(100)))
    return sum(_revoke(grant_id) for grant_id in ids)


def _revoke(grant_id: UUID) -> bool:
    with transaction():
        grant = _locked(grant_id)
        if grant is None or grant.revoke_pending_at is None or grant.access_token is None:
            return False
        if grant.access_expires_at is not None and grant.access_expires_at > now():
            return False  # tried a moment ago
        pending_at, source, held = grant.revoke_pending_at, authority(grant.provider), held_of(grant.id)
        if source.can_revoke and is_identity_in_use(grant.provider, grant.subject):
            return _settle(grant, "in_use")
        grant.access_expires_at = now() + REVOKE_AGAIN
        try:
            token = _open(grant, REVOKE_TOKEN, grant.access_token)
        except OperatorFault as error:  # a key is missing here; the others are settled meanwhile
            current_app.logger.error("operator: a consent cannot be given back: %s", error)
            return now() - pending_at >= REVOKE_GIVEN_UP and _settle(grant, "given_up")
    try:
        result = asyncio.run(_give_back(source, token, held))
    except ProviderError:
        if now() - pending_at < REVOKE_GIVEN_UP:
            return False
        result = "given_up"
    with transaction():
        grant = _locked(grant_id)
        if grant is None or grant.revoke_pending_at != pending_at:
            return False  # consented anew meanwhile
        return _settle(grant, result)


def _settle(grant: Grant, result: str) -> bool:
    forget(grant)
    store_held(grant.id, None)
    record(events.GRANT_REVOKED, grant, provider=grant.provider, result=result)
    return True


async def _give_back(source: Authority, refresh_token: str, held: Sequence[Held]) -> str:
    """Stop the push notices as far as that goes, then give the consent back."""
    async with Http(max_connections=2) as http:
        with suppress(ProviderError):  # a watch that cannot be stopped ends by itself, and its notices hold no mail
            await _stop_watch(source, http, refresh_token, held)
        return await source.revoke(http, _settings(), refresh_token)


async def _stop_watch(source: Authority, http: Http, refresh_token: str, held: Sequence[Held]) -> None:
    tokens = await source.refresh(http, _settings(), refresh_token)

    async def token(_refused: str | None) -> str:
        return tokens.access_token

    await mail_provider(source.name, token, http, _settings()).stop_watch(held)


def _locked(grant_id: UUID) -> Grant | None:
    query = select(Grant).where(Grant.id == grant_id).with_for_update().execution_options(populate_existing=True)
    return db.session.scalar(query)


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found
