"""What a trouble means for a mailbox: one table from error to outcome, and how a good run ends."""

from __future__ import annotations

import random
import traceback
from datetime import datetime, timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import ColumnElement, or_, select, update

from portal.connections.mailbox import has_push
from portal.connections.service import needs_attention
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Connection, Grant
from portal.providers.errors import AuthorizationLost, Limited, OperatorFault, ProviderError, Temporary
from portal.sync.lease import LeaseLost, Run, Stopped, hold, set_connection

LONGEST_LIMIT = timedelta(hours=24)
OPERATOR_PAUSE = timedelta(minutes=5)
# Providers drop notices above one a second and mailbox (providers' push guides), so the mail right behind a noticed one
# may bear no notice of its own: look once more, soon.
FOLLOW_UP = timedelta(seconds=2)


def finish(run: Run) -> bool:
    """End a whole run, or (false) keep the lease because a change was noticed while it ran."""
    with transaction():
        hold(run)
        noticed_at = db.session.scalar(select(Connection.change_noticed_at).where(Connection.id == run.connection_id))
        if noticed_at is not None and noticed_at != run.noticed_at:
            run.noticed_at = noticed_at
            return False
        set_connection(
            run, lease=None, lease_until=None, failures=0, last_error="", last_success_at=run.started_at,
            change_noticed_at=None, next_poll_at=now() + pause_after(run),
        )  # fmt: skip
    return True


def pause_after(run: Run) -> timedelta:
    """When to look again: soon for a mail that could not be read and after a notice, else at the next poll."""
    settings = current_app.extensions["settings"]
    if run.waiting:
        return timedelta(seconds=15 * 2 ** max(run.waiting.values()))
    if run.noticed_at is not None:
        return FOLLOW_UP
    grant = db.session.get_one(Grant, run.grant_id)
    return timedelta(seconds=settings.poll_seconds_with_push if has_push(grant, now()) else settings.poll_seconds)


def hand_on(run: Run) -> None:
    """Give the mailbox back with work left in it: another job goes on from the stored cursor."""
    with transaction():
        hold(run)
        set_connection(run, lease=None, lease_until=None, change_noticed_at=now(), next_poll_at=now())


def settle(connection_id: UUID, error: BaseException, lease: UUID | None = None) -> str:
    """One trouble, one outcome, in its own transaction; gives `lease` back. Returns the outcome's word.

    Nothing is written when another worker holds the mailbox by now.
    """
    if isinstance(error, LeaseLost):
        return "superseded"
    word, pause, seen = _judge(error)
    with transaction():
        row = db.session.scalar(
            select(Connection)
            .where(Connection.id == connection_id, *_still_ours(lease))
            .with_for_update(of=Connection)
            .execution_options(populate_existing=True)
        )
        if row is None:
            return "superseded"
        row.lease = row.lease_until = None
        if isinstance(error, Stopped) or not row.is_live:
            return "stopped"
        if isinstance(error, AuthorizationLost):  # G-18: never silent
            needs_attention(row, error.cause)
            return word
        if word in ("delayed", "failed"):
            row.failures += 1
            pause = backoff(row.failures)
        row.last_error, row.next_poll_at = seen, now() + pause
    return word


def _still_ours(lease: UUID | None) -> list[ColumnElement[bool]]:
    if lease is not None:
        return [Connection.lease == lease]
    return [or_(Connection.lease.is_(None), Connection.lease_until < now())]


def _judge(error: BaseException) -> tuple[str, timedelta, str]:
    """The outcome's word, how long to stay away, and what the page says. Never holds content: a type, or our own text."""
    if isinstance(error, (AuthorizationLost, Stopped)):
        return "needs_attention", timedelta(), ""
    if isinstance(error, Limited):
        seconds = error.seconds_left(now()) or 60.0
        return "limited", min(timedelta(seconds=seconds), LONGEST_LIMIT), "The provider asks to wait."
    if isinstance(error, OperatorFault):
        current_app.logger.error("the portal's set-up at the provider is wrong: %s", error)
        return "operator", OPERATOR_PAUSE, "The portal’s own set-up at the provider needs its operator."
    if isinstance(error, Temporary):
        return "delayed", timedelta(), "The provider could not be reached or gave no usable answer."
    kind = type(error).__name__
    text = f"{kind}: {error}" if isinstance(error, ProviderError) else f"{kind} at {_place(error)}"
    current_app.logger.error("a sync failed: %s", text)
    return "failed", timedelta(), f"An error inside the portal ({kind}). Its operator has been told."


def _place(error: BaseException) -> str:
    """Where it happened, without the error's own text, which may quote a mail."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames[-6:]))


def backoff(failures: int) -> timedelta:
    """The pause after so many failures in a row: doubling from 15 seconds to 15 minutes, with jitter."""
    seconds = min(900, 15 * 2 ** min(failures - 1, 8))
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))


def settle_unchanged(connection_ids: list[UUID], polled_at: datetime, pause: timedelta) -> None:
    """Mailboxes without news: one statement for all of them."""
    db.session.execute(
        update(Connection)
        .where(Connection.id.in_(connection_ids), Connection.state == "connected", *_still_ours(None))
        .values(last_success_at=polled_at, next_poll_at=now() + pause, failures=0, last_error="")
        .execution_options(synchronize_session=False)
    )
