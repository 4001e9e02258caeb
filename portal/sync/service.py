"""Sync one mailbox: by push, by poll, by hand; exactly once, whatever is killed, repeated or delivered out of order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, update

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections.mailbox import CONNECTIONS, open_mailbox
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.lib.clock import now
from portal.lib.http import Http
from portal.lib.ids import new_id
from portal.models import Connection, Decision, SyncGap
from portal.providers.base import MailProvider
from portal.providers.errors import CursorExpired
from portal.providers.types import Change, ChangePage
from portal.rules.reasons import Outcome
from portal.sync.lease import RENEW_SECONDS, LeaseLost, Run, Stopped, hold, renew, take
from portal.sync.met import Met
from portal.sync.moved import take_moved
from portal.sync.outcomes import finish, hand_on, settle
from portal.sync.page import read_headers, store_page

OVERLAP = timedelta(hours=1)  # between the last good sync and where a catch-up begins
BUDGET_SECONDS = 300.0  # of one job; a large catch-up goes on in another
PAGE = 500


def sync_mailbox(connection_id: UUID) -> str:
    """Bring one mailbox up to date. Returns the outcome in a word: synced, more, or why not.

    Not now: gone, paused, needs_attention, refused, busy. Cut short: superseded, stopped, limited, delayed, operator,
    failed.
    """
    taken = take(connection_id)
    return taken if isinstance(taken, str) else asyncio.run(sync_alone(taken))


async def sync_alone(run: Run) -> str:
    """Sync a mailbox whose lease is taken, over connections of its own."""
    async with Http(max_connections=CONNECTIONS) as http:
        return await sync_taken(run, open_mailbox(run.provider, run.grant_id, run.mailbox_key, http))


async def sync_taken(run: Run, provider: MailProvider) -> str:
    """Sync a mailbox whose lease is taken; gives the lease back whatever happens."""
    try:
        async with _heartbeat(run):
            return await _until_quiet(run, provider)
    except Exception as error:
        return settle(run.connection_id, error, run.lease)


async def _until_quiet(run: Run, provider: MailProvider) -> str:
    """Sync again while changes are noticed during the run: a notice that came meanwhile enqueues no job."""
    ends_at = time.monotonic() + BUDGET_SECONDS
    while True:
        run.started_at = now()
        await _ask_again(run, provider)
        try:
            done = await _follow(run, provider, provider.changes(run.cursor), ends_at)
        except CursorExpired:
            done = await _catch_up(run, provider, ends_at)
        if not done:
            hand_on(run)
            return "more"
        await take_moved(run, provider)
        if finish(run):
            return "synced"


async def _ask_again(run: Run, provider: MailProvider) -> None:
    """Mails that could not be read before, or that a person wants fetched again."""
    for start in range(0, len(ids := list(run.waiting)), PAGE):
        page = ChangePage(tuple(Change(i) for i in ids[start : start + PAGE]), "", is_last=False)
        await store_page(run, provider, await read_headers(run, provider, page), cursor=None)


async def _follow(run: Run, provider: MailProvider, pages: AsyncIterator[ChangePage], ends_at: float) -> bool:
    """Store page after page with its cursor, which never goes back. False when time is up before the last."""
    async for page, met in _read_ahead(run, provider, pages):
        cursor = page.cursor if _is_ahead(page.cursor, run.cursor) else None
        if page.changes or cursor:
            await store_page(run, provider, met, cursor=cursor)
        if time.monotonic() > ends_at and not page.is_last:
            return False
    return True


def _is_ahead(cursor: str, stored: str) -> bool:
    if cursor.isdigit() and stored.isdigit():
        return int(cursor) > int(stored)
    return bool(cursor) and cursor != stored


async def _read_ahead(
    run: Run, provider: MailProvider, pages: AsyncIterator[ChangePage]
) -> AsyncIterator[tuple[ChangePage, Met]]:
    """Pages with their headers; the next one travels while the caller stores this one."""

    async def read_next() -> tuple[ChangePage, Met] | None:
        page = await anext(pages, None)
        return None if page is None else (page, await read_headers(run, provider, page))

    ahead = asyncio.create_task(read_next())
    try:
        while (found := await ahead) is not None:
            ahead = asyncio.create_task(read_next())
            yield found
    finally:
        ahead.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await ahead


async def _catch_up(run: Run, provider: MailProvider, ends_at: float) -> bool:
    """The provider has forgotten our cursor: list what came since, never what is older than the connection (G-03, SYN-3).

    The new cursor is read first and stored last, so that a run that is cut begins here again and misses nothing.
    """
    crash_point("catch-up-begun")
    cursor = (await provider.profile()).cursor
    since = max(run.connected_at, (run.last_success_at or run.connected_at) - OVERLAP)
    found = 0
    async for page, met in _read_ahead(run, provider, provider.listing(since, cursor)):
        found += await store_page(run, provider, met, cursor=None)
        if time.monotonic() > ends_at and not page.is_last:
            return False
    with transaction():
        hold(run)
        connection = db.session.get_one(Connection, run.connection_id)
        gap = SyncGap(
            id=new_id(), account_id=run.account_id, connection_id=run.connection_id, cause="cursor_expired",
            from_at=since, to_at=now(), found=found,
        )  # fmt: skip
        db.session.add(gap)
        connection.cursor = cursor
        record(events.GAP_RECORDED, connection, cause="cursor_expired", found=found)
    run.cursor = cursor
    return True


@asynccontextmanager
async def _heartbeat(run: Run) -> AsyncIterator[None]:
    """Renew the lease while waiting for the provider. Losing it is noticed where something is written."""

    async def beat() -> None:
        with suppress(LeaseLost, Stopped):
            while True:
                await asyncio.sleep(RENEW_SECONDS)
                renew(run)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def notice_change(mailbox_key: str) -> int:
    """A provider's notice about a mailbox: remember it on each of its connections and hand over a job. Returns how many.

    In the caller's transaction. Also while a job runs: that job looks again before it ends.
    """
    return _notice(Connection.mailbox_key == mailbox_key)


def notice_grant(grant_id: UUID) -> int:
    """The same for every connection that rests on a grant, where the provider names the subscription, not the mailbox."""
    return _notice(Connection.grant_id == grant_id)


def _notice(which: ColumnElement[bool]) -> int:
    ids = db.session.scalars(
        update(Connection)
        .where(which, Connection.disconnected_at.is_(None), Connection.state == "connected")
        .values(change_noticed_at=now())
        .returning(Connection.id)
        .execution_options(synchronize_session=False)
    ).all()
    for connection_id in ids:
        enqueue_sync(connection_id)
    return len(ids)


def request_check(connection: Connection) -> None:
    """ "Check for new mail now": as a notice, for one connection. In the caller's transaction."""
    connection.change_noticed_at = connection.next_poll_at = now()
    enqueue_sync(connection.id)


def enqueue_sync(connection_id: UUID, on: str = queues.PUSH) -> None:
    """Hand over a mailbox; one that waits or runs already is not doubled."""
    queues.enqueue("mail.sync_mailbox", connection_id, on=on, once=f"sync-{connection_id}")


def fetch_again(decision: Decision) -> bool:
    """Ask for an unreadable mail once more. False for a mail of another outcome. In the caller's transaction."""
    if decision.outcome != Outcome.UNREADABLE.value:
        return False
    connection = db.session.get_one(Connection, decision.connection_id, with_for_update={"of": Connection})
    if not connection.is_live:
        return False
    connection.fetch_attempts = {**(connection.fetch_attempts or {}), decision.provider_message_id: 0}
    request_check(connection)
    return True
