"""Poll many mailboxes side by side in one event loop; one without news costs a request and no statement of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import or_, select, update

from portal import queues
from portal.connections.mailbox import has_push, open_mailbox
from portal.connections.tokens import ACCESS_TOKEN, REFRESH_BEFORE, owner_of
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.lib.http import Http
from portal.models import Connection, Grant
from portal.providers.errors import CursorExpired, ProviderError
from portal.sealing import open_text
from portal.sync.gate import permitted
from portal.sync.lease import take
from portal.sync.moved import is_due
from portal.sync.outcomes import settle, settle_unchanged
from portal.sync.service import sync_alone
from portal.sync.watches import renew_soon

SHARD = 200
LANES, LANE_WIDTH = 10, 5  # 50 in flight; a pool's cost grows with the square of its connections, so there are ten
SYNCS_AT_ONCE = 8  # mailboxes with news; each has several batches in flight
MOST_DUE = 20_000  # of one tick
SOON_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Target:
    """A mailbox to be polled, with everything that asking needs. Holds no row."""

    id: UUID
    provider: str
    grant_id: UUID
    mailbox_key: str
    cursor: str
    has_push: bool
    was_noticed: bool
    asks_threads: bool  # synced threads are to be looked for in every folder
    is_follow_up: bool  # the look right after a noticed change
    token: str | None = field(repr=False)


@dataclass
class Found:
    """What a shard's polls brought."""

    unchanged: list[Target] = field(default_factory=list)
    moved_on: dict[UUID, str] = field(default_factory=dict)  # nothing new, but the cursor is ahead
    news: list[Target] = field(default_factory=list)
    troubled: list[tuple[Target, ProviderError]] = field(default_factory=list)


def due_connection_ids() -> list[UUID]:
    """Mailboxes to be looked at now: due by time, noticed, or left behind by a worker whose lease has run out."""
    moment = now()
    query = (
        select(Connection.id)
        .where(
            Connection.state == "connected",
            or_(Connection.next_poll_at <= moment, Connection.change_noticed_at.is_not(None)),
            or_(Connection.lease.is_(None), Connection.lease_until < moment),
        )
        .order_by(Connection.next_poll_at)
        .limit(MOST_DUE)
    )
    return list(db.session.scalars(query))


def poll_tick() -> int:
    """Enqueue every due mailbox in shards; returns how many mailboxes."""
    with transaction():
        ids = due_connection_ids()
        for start in range(0, len(ids), SHARD):
            shard = ids[start : start + SHARD]
            queues.enqueue("mail.poll_shard", *shard, on=queues.POLL, once=f"poll-{shard[0]}")
    return len(ids)


def poll_shard(ids: Sequence[UUID]) -> int:
    """Poll these mailboxes and sync those with news; returns how many were synced. One trouble stalls no other mailbox."""
    polled_at = now()
    with transaction():
        targets, refused = _targets(ids)
    for connection_id in refused:
        take(connection_id)  # pauses it, with its cause, notice and audit event
    return asyncio.run(_poll(targets, polled_at)) if targets else 0


def _targets(ids: Sequence[UUID]) -> tuple[list[Target], list[UUID]]:
    """Those that are still due, and those that the gate refuses."""
    moment = now()
    query = select(Connection).where(
        Connection.id.in_(ids),
        Connection.state == "connected",
        or_(Connection.next_poll_at <= moment, Connection.change_noticed_at.is_not(None)),
        or_(Connection.lease.is_(None), Connection.lease_until < moment),
    )
    rows = list(db.session.scalars(query))
    allowed = permitted(rows)
    refused = [row.id for row in rows if row.id not in allowed]
    return [_target(row, moment) for row in rows if row.id in allowed], refused


def _target(row: Connection, moment: datetime) -> Target:
    grant = row.grant
    return Target(
        id=row.id,
        provider=row.provider,
        grant_id=row.grant_id,
        mailbox_key=row.mailbox_key,
        cursor=row.cursor,
        token=_token(grant, moment),
        has_push=has_push(grant, moment),
        was_noticed=row.change_noticed_at is not None or bool(row.fetch_attempts),
        asks_threads=is_due(row.provider, row.threads_asked_at, moment),
        is_follow_up=row.last_success_at is not None and moment - row.last_success_at < SOON_AFTER,
    )


def _token(grant: Grant, moment: datetime) -> str | None:
    """The stored access token while it is good for long enough; None leaves it to `access_token`."""
    expires = grant.access_expires_at
    if grant.refresh_token is None or grant.access_token is None or expires is None or expires - REFRESH_BEFORE <= moment:
        return None
    try:
        return open_text(grant.access_token, ACCESS_TOKEN, owner_of(grant), grant.id)
    except SealError:
        return None


async def _poll(targets: Sequence[Target], polled_at: datetime) -> int:
    found, waiting = Found(), iter(targets)
    await asyncio.gather(*(_work_through(waiting, found) for _ in range(min(LANES, len(targets)))))
    _settle(found, polled_at)
    news = iter(found.news)
    outcomes = await asyncio.gather(*(_sync_through(news) for _ in range(min(SYNCS_AT_ONCE, len(found.news)))))
    return sum(outcomes)


async def _work_through(waiting: Iterator[Target], found: Found) -> None:
    """One lane: a small pool of connections, as many requests in flight as it has, until nobody waits."""
    async with Http(max_connections=LANE_WIDTH) as http:

        async def ask_on() -> None:
            for target in waiting:
                await _ask(target, http, found)

        await asyncio.gather(*(ask_on() for _ in range(LANE_WIDTH)))


async def _ask(target: Target, http: Http, found: Found) -> None:
    """One request: is there anything after the cursor?"""
    if target.was_noticed or target.asks_threads:
        found.news.append(target)
        return
    provider = open_mailbox(target.provider, target.grant_id, target.mailbox_key, http, target.token)
    try:
        page = await anext(provider.changes(target.cursor), None)
    except CursorExpired:
        found.news.append(target)
        return
    except ProviderError as error:
        found.troubled.append((target, error))
        return
    if page is not None and (page.changes or not page.is_last):
        found.news.append(target)
    else:
        found.unchanged.append(target)
        if page is not None and page.cursor != target.cursor:
            found.moved_on[target.id] = page.cursor


def _settle(found: Found, polled_at: datetime) -> None:
    """All mailboxes without news in two statements; cursors that went ahead in one more; each trouble by the table."""
    settings = current_app.extensions["settings"]
    pauses = ((True, settings.poll_seconds_with_push), (False, settings.poll_seconds))
    with transaction():
        for push, seconds in pauses:
            if same := [target.id for target in found.unchanged if target.has_push is push]:
                settle_unchanged(same, polled_at, timedelta(seconds=seconds))
        _move_on(found)
        if doubtful := [target.grant_id for target in found.news if _is_unnoticed(target)]:
            renew_soon(doubtful, has_ended=True)  # news that no notice told of: the watch may have ended silently
    for target, error in found.troubled:
        settle(target.id, error)


def _move_on(found: Found) -> None:
    """Store cursors that are ahead although nothing happened that concerns us: an old one would be forgotten one day.

    Only over the cursor that was asked with, so that a run which went further meanwhile is not set back.
    """
    before = {target.id: target.cursor for target in found.unchanged}
    for connection_id, cursor in sorted(found.moved_on.items()):
        db.session.execute(
            update(Connection)
            .where(Connection.id == connection_id, Connection.cursor == before[connection_id])
            .values(cursor=cursor)
            .execution_options(synchronize_session=False)
        )


def _is_unnoticed(target: Target) -> bool:
    """Whether a notice should have told of this mailbox's news; right after another one it may have been dropped."""
    is_expected = target.was_noticed or target.asks_threads or target.is_follow_up
    return target.has_push and not is_expected


async def _sync_through(news: Iterator[Target]) -> int:
    """Sync one mailbox with news after the other; how many came to a good end."""
    done = 0
    for target in news:
        taken = take(target.id)
        if not isinstance(taken, str):
            done += await sync_alone(taken) in ("synced", "more")
    return done
