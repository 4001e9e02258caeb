"""Which of many connections may sync now: the gate of H-07 and RBA-5 for a whole shard, in a constant number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from portal.connections.acknowledgements import published_versions
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Acknowledgement, Connection, Membership, User
from portal.rules.acknowledgement import judge_standing

Who = tuple[UUID, UUID, str]  # account, user, provider


def permitted(connections: Sequence[Connection]) -> set[UUID]:
    """Ids of those whose person works there and whose signature carries a sync; the others are for `take` to refuse."""
    published, moment = published_versions(), now()
    signed, works = _signed(connections), _works(connections)
    return {
        row.id
        for row in connections
        if (days := works.get((row.account_id, row.user_id))) is not None
        and judge_standing(signed.get((row.account_id, row.user_id, row.provider)), published, days, moment).allows_sync
    }


def _signed(connections: Sequence[Connection]) -> dict[Who, int]:
    """The newest version that each person signed."""
    who = (Acknowledgement.account_id, Acknowledgement.user_id, Acknowledgement.provider)
    query = (
        select(*who, func.max(Acknowledgement.text_version))
        .where(Acknowledgement.user_id.in_({row.user_id for row in connections}))
        .group_by(*who)
    )
    return {(account, user, provider): version for account, user, provider, version in db.session.execute(query)}


def _works(connections: Sequence[Connection]) -> dict[tuple[UUID, UUID], int]:
    """Active memberships of these people, with the days of grace of each account."""
    query = (
        select(Membership.account_id, Membership.user_id, Account.acknowledgement_grace_days)
        .join(User, User.id == Membership.user_id)
        .join(Account, Account.id == Membership.account_id)
        .where(
            Membership.user_id.in_({row.user_id for row in connections}),
            Membership.state == "active",
            User.deactivated_at.is_(None),
        )
    )
    return {(account, user): days for account, user, days in db.session.execute(query)}
