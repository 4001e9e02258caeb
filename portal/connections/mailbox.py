"""The adapter of one mailbox, with its access token and its share of the provider's quota."""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from flask import current_app

from portal.connections.quota import Quota
from portal.connections.tokens import access_token
from portal.lib.http import Http
from portal.models import Grant
from portal.providers import registry
from portal.providers.base import MailProvider
from portal.queues import redis

SAME_TOKEN_SECONDS = 2.0  # how long a token is used without asking the grant's row again
CONNECTIONS = 12  # of one mailbox's run: batches in flight, files, a refresh


def open_mailbox(
    provider: str, grant_id: UUID, mailbox_key: str, http: Http, known_token: str | None = None
) -> MailProvider:
    """The adapter. `known_token` is an access token read beforehand, used until it is refused.

    Batches that leave together share one look at the grant's row; a token is good for minutes.
    """
    asked_at, answer, was_refused = 0.0, "", None

    async def token(refused: str | None) -> str:
        nonlocal asked_at, answer, was_refused
        if known_token is not None and refused is None:
            return known_token
        if not answer or refused != was_refused or time.monotonic() - asked_at > SAME_TOKEN_SECONDS:
            answer, was_refused = await access_token(grant_id, http, refused=refused), refused
            asked_at = time.monotonic()
        return answer

    async def spend(units: int) -> None:
        await _quota().spend(mailbox_key, units)

    # Graph counts no units but calls under way, which its adapter bounds for each mailbox.
    quota = spend if provider == registry.GOOGLE else None
    return registry.mail_provider(provider, token, http, current_app.extensions["settings"], quota)


def _quota() -> Quota:
    """The process's one quota: what it owes Redis is remembered between calls."""
    found: Quota | None = current_app.extensions.get("quota")
    if found is None:
        found = current_app.extensions["quota"] = Quota(redis(), current_app.extensions["settings"])
    return found


def has_push(grant: Grant, moment: datetime) -> bool:
    """Whether notices come, so that polling is only the net below them."""
    expires = grant.watch_expires_at
    return may_push(grant.provider) and expires is not None and expires > moment


def may_push(provider: str) -> bool:
    """Whether the operator wants this provider's notices."""
    settings = current_app.extensions["settings"]
    return bool(settings.push_enabled and (settings.ms_push or provider != "microsoft"))
