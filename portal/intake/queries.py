"""What the pages show of mail that came to a person's routed addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from portal.database import db
from portal.models import Contact, Conversation, IntakeMail
from portal.rules.reasons import Reason

SOMEBODY = "The contact"
WAITING = "It has just come and is being read."
KEPT = "It could not be read. It is kept here, sealed, as it came."


@dataclass(frozen=True)
class AnswerView:
    """One mail in words. `status` is of the status vocabulary."""

    id: UUID
    received_at: datetime
    status: str
    sentence: str
    contact_name: str
    conversation_id: UUID | None


def answer_counts(account_id: UUID, user_id: UUID) -> dict[str, int]:
    """How many mails to a person's addresses had which outcome; "" are those still being read."""
    query = select(IntakeMail.outcome, func.count()).where(*_own(account_id, user_id)).group_by(IntakeMail.outcome)
    return {row.outcome: row[1] for row in db.session.execute(query)}


def last_answers(
    account_id: UUID, user_id: UUID, outcome: str = "", limit: int = 10, before: UUID | None = None
) -> list[AnswerView]:
    """The newest, by outcome if one is named; `before` is the last one shown already."""
    query = (
        select(IntakeMail, Contact)
        .outerjoin(Conversation, Conversation.id == IntakeMail.conversation_id)
        .outerjoin(Contact, Contact.id == Conversation.contact_id)
        .where(*_own(account_id, user_id))
        .order_by(IntakeMail.id.desc())
        .limit(limit)
    )
    if outcome:
        query = query.where(IntakeMail.outcome == outcome)
    if before is not None:
        query = query.where(IntakeMail.id < before)
    return [_view(row, contact) for row, contact in db.session.execute(query)]


def _own(account_id: UUID, user_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return IntakeMail.account_id == account_id, IntakeMail.user_id == user_id


def _view(row: IntakeMail, contact: Contact | None) -> AnswerView:
    name = contact.name if contact else ""
    return AnswerView(
        row.id, row.created_at, row.outcome or "waiting", _sentence(row, name), name, row.conversation_id
    )


def _sentence(row: IntakeMail, contact_name: str) -> str:
    if not row.reason:
        return WAITING
    if row.reason == Reason.UNREADABLE_MAIL.value:
        return KEPT
    return Reason(row.reason).sentence.replace("{contact}", contact_name or SOMEBODY)
