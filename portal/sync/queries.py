"""What the pages and commands show of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_

from portal.database import db
from portal.models import Connection, Contact, Decision
from portal.rules.reasons import Reason

SOMEBODY = "The contact"


@dataclass(frozen=True)
class DecisionView:
    """One decision in words. `press` is what the next step is called, "" for none."""

    id: UUID
    decided_at: datetime
    direction: str
    outcome: str
    reason: str
    sentence: str
    press: str
    contact_id: UUID | None
    contact_name: str
    conversation_id: UUID | None


def decision_counts(connection_id: UUID) -> dict[str, int]:
    """How many mails of a connection had which outcome."""
    query = select(Decision.outcome, func.count()).where(Decision.connection_id == connection_id).group_by(Decision.outcome)
    return {row.outcome: row[1] for row in db.session.execute(query)}


def last_decisions(
    connection_id: UUID, outcome: str | None = None, limit: int = 10, before: UUID | None = None
) -> list[DecisionView]:
    """The newest decisions, by outcome if one is named; `before` is the last one shown already."""
    query = (
        select(Decision, Contact)
        .outerjoin(Contact, Contact.id == Decision.contact_id)
        .where(Decision.connection_id == connection_id)
        .order_by(Decision.decided_at.desc(), Decision.id.desc())
        .limit(limit)
    )
    if outcome:
        query = query.where(Decision.outcome == outcome)
    edge = db.session.get(Decision, before) if before else None
    if edge is not None and edge.connection_id == connection_id:
        query = query.where(tuple_(Decision.decided_at, Decision.id) < tuple_(edge.decided_at, edge.id))
    return [_view(decision, contact) for decision, contact in db.session.execute(query)]


def _view(decision: Decision, contact: Contact | None) -> DecisionView:
    reason = Reason(decision.reason)
    name = contact.name if contact else ""
    return DecisionView(
        id=decision.id,
        decided_at=decision.decided_at,
        direction=decision.direction,
        outcome=decision.outcome,
        reason=decision.reason,
        sentence=reason.sentence.replace("{contact}", name or SOMEBODY),
        press=reason.press,
        contact_id=decision.contact_id,
        contact_name=name,
        conversation_id=decision.conversation_id,
    )


def connections_of(mailbox_keys: Sequence[str]) -> list[Connection]:
    """Connections of a mailbox in every account, live ones first; for operators' commands."""
    query = select(Connection).where(Connection.mailbox_key.in_(mailbox_keys))
    return list(db.session.scalars(query.order_by(Connection.disconnected_at.is_not(None), Connection.connected_at)))


def all_decisions(connection_ids: Sequence[UUID]) -> list[Decision]:
    """Every decision of these connections, oldest first."""
    query = select(Decision).where(Decision.connection_id.in_(connection_ids))
    return list(db.session.scalars(query.order_by(Decision.decided_at, Decision.id)))
