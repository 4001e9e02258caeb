"""One worker at a time per mailbox: a lease on the connection's row, checked again in every transaction that writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select, update

from portal.access.memberships import working_role
from portal.audit import events
from portal.audit.service import record
from portal.connections.acknowledgements import may_sync
from portal.connections.service import pause
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Connection, Membership, User
from portal.rules.addresses import own_keys
from portal.rules.reasons import Cause

LEASE = timedelta(seconds=75)  # a killed worker's mailbox is free again after this
RENEW_SECONDS = 20.0


class LeaseLost(Exception):
    """Another worker has taken over: nothing more may be written."""


class Stopped(Exception):
    """The connection was disconnected or paused, or the person's place ended, while the sync ran."""


@dataclass
class Run:
    """One worker's hold on one mailbox, and what it knows of it. Holds ids and moments only, no row."""

    connection_id: UUID
    account_id: UUID
    user_id: UUID
    grant_id: UUID
    provider: str
    mailbox_key: str
    connected_at: datetime
    cursor: str
    last_success_at: datetime | None
    own_keys: frozenset[str]  # canonical: the mailbox, what it may send as, the person's sign-in address
    lease: UUID
    started_at: datetime
    noticed_at: datetime | None = None
    threads_asked_at: datetime | None = None  # see sync.moved
    waiting: dict[str, int] = field(default_factory=dict)  # provider id → failed tries, to be asked for again


def take(connection_id: UUID) -> Run | str:
    """Take the lease, or say in a word why not: gone, paused, needs_attention, refused, busy."""
    with transaction():
        row = _locked(connection_id)
        if row is None or not row.is_live:
            return "gone"
        if row.state != "connected":
            return row.state
        if row.lease is not None and row.lease_until is not None and row.lease_until > now():
            return "busy"
        if cause := refusal(row):
            pause(row, cause)
            record(events.SYNC_REFUSED, row, outcome="refused", cause=cause)
            return "refused"
        lease = uuid4()
        row.lease, row.lease_until = lease, now() + LEASE
        row.next_poll_at = min(row.next_poll_at, now())  # stays due, should this worker vanish
        return _run_of(row, lease)


def _locked(connection_id: UUID) -> Connection | None:
    query = select(Connection).where(Connection.id == connection_id).with_for_update(of=Connection)
    return db.session.scalar(query.execution_options(populate_existing=True))


def refusal(connection: Connection) -> Cause | None:
    """Why this connection may not sync now (H-07, RBA-5); None when it may."""
    if working_role(connection.account_id, connection.user_id) is None:
        return Cause.MEMBERSHIP_ENDED
    return None if may_sync(connection) else Cause.ACKNOWLEDGEMENT_MISSING


def _run_of(row: Connection, lease: UUID) -> Run:
    return Run(
        connection_id=row.id,
        account_id=row.account_id,
        user_id=row.user_id,
        grant_id=row.grant_id,
        provider=row.provider,
        mailbox_key=row.mailbox_key,
        connected_at=row.connected_at,
        cursor=row.cursor,
        last_success_at=row.last_success_at,
        own_keys=own_keys(row.mailbox, *row.aliases, row.user.email),
        lease=lease,
        started_at=now(),
        noticed_at=row.change_noticed_at,
        threads_asked_at=row.threads_asked_at,
        waiting={str(key): int(tries) for key, tries in (row.fetch_attempts or {}).items()},
    )


def hold(run: Run) -> None:
    """Lock the connection's row for the transaction and make sure that this run may still write.

    Raises LeaseLost (another worker took over) and Stopped (disconnected, paused, place ended).
    """
    query = (
        select(Connection.lease, Connection.state, Connection.disconnected_at, Membership.state, User.deactivated_at)
        .outerjoin(
            Membership,
            (Membership.account_id == Connection.account_id) & (Membership.user_id == Connection.user_id),
        )
        .join(User, User.id == Connection.user_id)
        .where(Connection.id == run.connection_id)
        .with_for_update(of=Connection)
    )
    row = db.session.execute(query).one_or_none()
    if row is None:
        raise Stopped("gone")
    lease, state, disconnected_at, membership, deactivated_at = row
    if disconnected_at is not None or state != "connected" or membership != "active" or deactivated_at is not None:
        raise Stopped(state)
    if lease != run.lease:
        raise LeaseLost("another worker holds this mailbox")


def renew(run: Run) -> None:
    """Hold the lease for another while. Raises as `hold`."""
    with transaction():
        hold(run)
        set_connection(run, lease_until=now() + LEASE)


def set_connection(run: Run, **values: object) -> None:
    """Update the run's connection in the current transaction."""
    db.session.execute(
        update(Connection)
        .where(Connection.id == run.connection_id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
