"""Once a day per grant, and on connecting: ask for push notices, and for the addresses the mailbox may send as.

A grant has one watch, however many connections lean on it; at Microsoft it rests on subscriptions, each with an id and an
end. Without one, polling goes on by the minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import or_, select, update

from portal import queues
from portal.connections.mailbox import may_push, open_mailbox
from portal.connections.service import needs_attention
from portal.connections.watching import held_of, secret_of, store_held
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.http import Http
from portal.models import Connection, Grant
from portal.providers.errors import AuthorizationLost, OperatorFault, ProviderError
from portal.providers.types import Held, Watch

RENEW_EVERY = timedelta(days=1)
RENEW_BEFORE = timedelta(hours=48)  # an end: from then on a renewal that failed is tried again every hour
TRY_AGAIN = timedelta(minutes=50)  # after a renewal that failed; the schedule asks every hour
IN_FLIGHT = 20
MOST = 2_000


@dataclass(frozen=True)
class Due:
    """A grant whose watch is to be asked for."""

    grant_id: UUID
    provider: str
    mailbox_key: str
    held: tuple[Held, ...]


def renew_soon(grant_ids: Sequence[UUID], *, has_ended: bool = False) -> None:
    """Let the next free worker ask for these watches anew; in the caller's transaction.

    With `has_ended` polls go on by the minute until it stands again.
    """
    values = {"watch_tried_at": None} | ({"watch_expires_at": None} if has_ended else {})
    db.session.execute(
        update(Grant)
        .where(Grant.id.in_(grant_ids))
        .values(values)
        .execution_options(synchronize_session=False)
    )
    queues.enqueue("mail.renew_watches", once="renew-watches")


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
                & (Grant.watch_expires_at.is_(None) | (Grant.watch_expires_at < moment + RENEW_BEFORE)),
            ),
        )
        .limit(MOST)
    )
    found: dict[UUID, Due] = {}
    for grant, provider, mailbox_key in db.session.execute(query):
        grant.watch_tried_at = moment
        if grant.id not in found:
            found[grant.id] = Due(grant.id, provider, mailbox_key, held_of(grant.id))
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
            watch = await provider.watch(secret_of(due.grant_id), due.held) if may_push(due.provider) else None
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
            store_held(grant.id, watch)


def _note_failure(due: Due, error: ProviderError) -> None:
    """Polling backs it up; lost authorisation is the person's to know (G-18), a wrong topic the operator's."""
    if isinstance(error, OperatorFault):
        current_app.logger.error("operator: a watch is refused: %s", error)
        return
    if not isinstance(error, AuthorizationLost):
        current_app.logger.warning("a watch could not be renewed: %s", error)
        return
    with transaction():
        query = select(Connection).where(Connection.grant_id == due.grant_id, Connection.state == "connected")
        for connection in db.session.scalars(query.with_for_update(of=Connection)):
            needs_attention(connection, error.cause)
