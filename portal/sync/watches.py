"""Once a day per grant, and on connecting: ask for push notices, and for the addresses the mailbox may send as.

A grant has one watch, however many connections lean on it. Without one, polling goes on by the minute.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import or_, select

from portal.connections.mailbox import open_mailbox
from portal.connections.service import needs_attention
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.http import Http
from portal.models import Connection, Grant
from portal.providers.errors import AuthorizationLost, OperatorFault, ProviderError
from portal.providers.types import Watch

RENEW_EVERY = timedelta(days=1)
TRY_AGAIN = timedelta(minutes=50)  # after a renewal that failed; the schedule asks every hour
IN_FLIGHT = 20
MOST = 2_000


@dataclass(frozen=True)
class Due:
    """A grant whose watch is to be asked for."""

    grant_id: UUID
    provider: str
    mailbox_key: str


def renew_watches() -> int:
    """Ask for every watch that is missing, has ended or was last asked for a day ago; returns how many stand now."""
    with transaction():
        due = _due()
    return asyncio.run(_renew(due)) if due else 0


def _due() -> list[Due]:
    moment = now()
    query = (
        select(Grant, Connection.provider, Connection.mailbox_key)
        .join(Connection, Connection.grant_id == Grant.id)
        .where(
            Connection.state == "connected",
            or_(
                Grant.watch_tried_at.is_(None),
                Grant.watch_tried_at < moment - RENEW_EVERY,
                (Grant.watch_tried_at < moment - TRY_AGAIN)
                & (Grant.watch_expires_at.is_(None) | (Grant.watch_expires_at < moment)),
            ),
        )
        .limit(MOST)
    )
    found: dict[UUID, Due] = {}
    for grant, provider, mailbox_key in db.session.execute(query):
        grant.watch_tried_at = moment
        found.setdefault(grant.id, Due(grant.id, provider, mailbox_key))
    return list(found.values())


async def _renew(due: list[Due]) -> int:
    gate = asyncio.Semaphore(IN_FLIGHT)
    async with Http(max_connections=IN_FLIGHT) as http:
        results = await asyncio.gather(*(_renew_one(item, http, gate) for item in due))
    return sum(results)


async def _renew_one(due: Due, http: Http, gate: asyncio.Semaphore) -> bool:
    async with gate:
        provider = open_mailbox(due.provider, due.grant_id, due.mailbox_key, http)
        try:
            _note_aliases(due, await provider.aliases())
            watch = await provider.watch("") if current_app.extensions["settings"].push_enabled else None
        except ProviderError as error:
            _note_failure(due, error)
            return False
    _note(due, watch)
    return watch is not None


def _note_aliases(due: Due, aliases: tuple[str, ...]) -> None:
    """Addresses added or removed at the provider since connecting (G-04)."""
    with transaction():
        query = select(Connection).where(Connection.grant_id == due.grant_id, Connection.disconnected_at.is_(None))
        for connection in db.session.scalars(query):
            if aliases and set(aliases) != set(connection.aliases):
                connection.aliases = list(aliases)


def _note(due: Due, watch: Watch | None) -> None:
    with transaction():
        grant = db.session.get(Grant, due.grant_id)
        if grant is not None and grant.refresh_token is not None:
            grant.watch_expires_at = watch.expires_at if watch else None


def _note_failure(due: Due, error: ProviderError) -> None:
    """Polling backs it up; lost authorisation is the person's to know (G-18), a wrong topic the operator's."""
    if isinstance(error, OperatorFault) or not isinstance(error, AuthorizationLost):
        current_app.logger.warning("a watch could not be renewed: %s", error)
        return
    with transaction():
        query = select(Connection).where(Connection.grant_id == due.grant_id, Connection.state == "connected")
        for connection in db.session.scalars(query.with_for_update(of=Connection)):
            needs_attention(connection, error.cause)
