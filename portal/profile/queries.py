"""What Settings > My Profile shows of the person's own connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from portal.access.permissions import ROLE_PERMISSIONS, Permission
from portal.connections import acknowledgements
from portal.connections.queries import cause_sentence, live_connection
from portal.database import db
from portal.models import Acknowledgement, Connection, Membership, SyncGap, User
from portal.rules.acknowledgement import Standing
from portal.rules.connecting import PROVIDERS, may_role_connect
from portal.rules.files import OUTLOOK_TYPES
from portal.rules.sending import Cap
from portal.sending.caps import cap_of
from portal.sending.relays import relay_of
from portal.sync.queries import DecisionView, decision_counts, last_decisions

LAST_DECISIONS = 10


@dataclass(frozen=True)
class EmailSync:
    """The person's two-way sync in the account being worked in. Without a connection only policy and standing count."""

    may_connect: bool
    standings: Mapping[str, Standing]  # by provider: of the connected mailbox, or of all that could be connected
    signed: tuple[Acknowledgement, ...]  # the newest signature for each of them
    connection: Connection | None = None
    cap: Cap | None = None
    counts: Mapping[str, int] | None = None
    decisions: tuple[DecisionView, ...] = ()
    last_logged: DecisionView | None = None
    gaps: tuple[SyncGap, ...] = ()

    @property
    def standing(self) -> Standing | None:
        """What the signature for the connected mailbox is worth; None without one."""
        return self.standings[self.connection.provider] if self.connection else None

    @property
    def cause(self) -> str:
        """Why it is paused or needs attention, in words; "" when it works."""
        return cause_sentence(self.connection) if self.connection else ""

    @property
    def file_types(self) -> tuple[str, ...]:
        """The types of files that the mailbox syncs; none for a mailbox that syncs files of any type (O-06)."""
        return OUTLOOK_TYPES if self.connection and self.connection.provider == "microsoft" else ()

    @property
    def decided(self) -> int:
        """How many mails have a decision; equal to those seen, or something is wrong (N-09)."""
        return sum((self.counts or {}).values())


@dataclass(frozen=True)
class StandardEmail:
    """Mail through the location's own mail server: whether it works, what holds it up, and else who can set it up."""

    is_on: bool
    trouble: str = ""
    can_set_up: tuple[str, ...] = ()


def standard_email(account_id: UUID) -> StandardEmail:
    """The way that needs no mailbox of one's own (S-01)."""
    relay = relay_of(account_id)
    if relay is not None:
        return StandardEmail(is_on=True, trouble=relay.trouble)
    roles = [role for role, permissions in ROLE_PERMISSIONS.items() if Permission.WRITE_POLICY in permissions]
    query = select(User.name).join(Membership, Membership.user_id == User.id).where(
        Membership.account_id == account_id, Membership.role.in_(roles), Membership.state == "active",
        User.deactivated_at.is_(None),
    )  # fmt: skip
    return StandardEmail(is_on=False, can_set_up=tuple(db.session.scalars(query.order_by(User.name).limit(3))))


def email_sync(membership: Membership, *, show: str = "") -> EmailSync:
    """The state of a person's two-way sync; `show` filters the last decisions by outcome."""
    account_id, user_id = membership.account_id, membership.user_id
    may_connect = may_role_connect(membership.role, membership.account.connect_roles)
    connection = live_connection(account_id, user_id)
    names = [connection.provider] if connection else list(PROVIDERS)
    standings = {name: acknowledgements.standing(user_id, account_id, name) for name in names}
    signatures = [acknowledgements.newest_signature(user_id, account_id, name) for name in names]
    signed = tuple(signature for signature in signatures if signature is not None)
    if connection is None:
        return EmailSync(may_connect, standings, signed)
    return EmailSync(
        may_connect=may_connect,
        standings=standings,
        signed=signed,
        connection=connection,
        cap=cap_of(connection),
        counts=decision_counts(connection.id),
        decisions=tuple(last_decisions(connection.id, show or None, LAST_DECISIONS)),
        last_logged=next(iter(last_decisions(connection.id, "logged", 1)), None),
        gaps=_gaps(connection.id),
    )


def _gaps(connection_id: UUID) -> tuple[SyncGap, ...]:
    query = select(SyncGap).where(SyncGap.connection_id == connection_id).order_by(SyncGap.to_at.desc()).limit(3)
    return tuple(db.session.scalars(query))
