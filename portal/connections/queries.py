"""Who has connected what, and who else leans on a grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from portal.database import db
from portal.models import Connection, Grant, Membership, Message
from portal.rules.reasons import Cause

REPORT_ROWS = 200
OFFICERS = ("owner", "compliance")


def live_connection(account_id: UUID, user_id: UUID, *, lock: bool = False) -> Connection | None:
    """The person's mailbox in this account, if one is connected (P-05: at most one)."""
    query = select(Connection).where(
        Connection.account_id == account_id,
        Connection.user_id == user_id,
        Connection.disconnected_at.is_(None),
    )
    return db.session.scalar(query.with_for_update(of=Connection) if lock else query)


def is_mailbox_taken(account_id: UUID, user_id: UUID, mailbox_key: str, provider: str, subject: str) -> bool:
    """Whether another user of the account has connected this mailbox, by address or by the provider's identity (P-05)."""
    query = (
        select(Connection.id)
        .join(Grant, Grant.id == Connection.grant_id)
        .where(
            Connection.account_id == account_id,
            Connection.user_id != user_id,
            Connection.disconnected_at.is_(None),
            (Connection.mailbox_key == mailbox_key) | ((Grant.provider == provider) & (Grant.subject == subject)),
        )
    )
    return db.session.scalar(query.limit(1)) is not None


def is_identity_in_use(provider: str, subject: str) -> bool:
    """Whether any live connection, of whichever user and account, rests on the consent of this provider identity.

    The provider knows one consent per person and app: revoking it ends them all.
    """
    query = (
        select(Connection.id)
        .join(Grant, Grant.id == Connection.grant_id)
        .where(Grant.provider == provider, Grant.subject == subject, Connection.disconnected_at.is_(None))
    )
    return db.session.scalar(query.limit(1)) is not None


def connections_of_grant(grant_id: UUID) -> list[Connection]:
    """The live connections that a grant carries."""
    query = select(Connection).where(Connection.grant_id == grant_id, Connection.disconnected_at.is_(None))
    return list(db.session.scalars(query))


def officers_of(account_id: UUID) -> list[UUID]:
    """Who in an account is told of colleagues' connections that stand: admins and compliance."""
    query = select(Membership.user_id).where(
        Membership.account_id == account_id, Membership.state == "active", Membership.role.in_(OFFICERS)
    )
    return list(db.session.scalars(query))


@dataclass(frozen=True)
class ReportRow:
    """One line of the connections report: facts and counts, no tokens and no content."""

    connection: Connection
    cause: str  # in words, "" when it works
    kept: int  # messages in the records, also after disconnecting


def connection_report(account_id: UUID) -> list[ReportRow]:
    """Who connected what in an account, live ones first, then the newest."""
    query = (
        select(Connection)
        .where(Connection.account_id == account_id)
        .options(joinedload(Connection.user))
        .order_by(Connection.disconnected_at.is_not(None), Connection.connected_at.desc(), Connection.id)
        .limit(REPORT_ROWS)
    )
    rows = list(db.session.scalars(query))
    kept = kept_messages([row.id for row in rows])
    return [ReportRow(row, cause_sentence(row), kept.get(row.id, 0)) for row in rows]


def kept_messages(connection_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many messages of each connection are in the records."""
    query = (
        select(Message.connection_id, func.count())
        .where(Message.connection_id.in_(connection_ids))
        .group_by(Message.connection_id)
    )
    return {row_id: count for row_id, count in db.session.execute(query) if row_id is not None}


def cause_sentence(connection: Connection) -> str:
    """Why a connection stands, in words; "" when it works."""
    return Cause(connection.cause).sentence_of(connection.provider) if connection.cause in set(Cause) else ""
