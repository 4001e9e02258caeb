"""Drafts: what was written and not sent, sealed, one per person and purpose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from portal.database import db
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.lib.ids import new_id
from portal.models import Contact, Conversation, Draft
from portal.sealing import open_text, seal_text

KIND = "draft.content"
FIELDS = ("to", "people", "cc", "bcc", "subject", "text")


def purpose_of(kind: str, row_id: UUID) -> str:
    """What a draft is for: a "reply" to a conversation, a "new" mail to a contact, a "forward" of a message."""
    return f"{kind}:{row_id}"


def save(user_id: UUID, account_id: UUID, purpose: str, content: dict[str, Any]) -> None:
    """Keep the texts of a form under its purpose, over what was kept before. Other fields are dropped."""
    row = _find(user_id, account_id, purpose)
    if row is None:
        row = Draft(
            id=new_id(),
            account_id=account_id,
            user_id=user_id,
            purpose=purpose,
            content=b"",
            updated_at=now(),
        )
        db.session.add(row)
    kept = {name: content[name] for name in FIELDS if content.get(name)}
    row.content = seal_text(json.dumps(kept), KIND, account_id, row.id)
    row.updated_at = now()
    db.session.flush()


def load(user_id: UUID, account_id: UUID, purpose: str) -> dict[str, Any]:
    """What was kept under this purpose; empty when nothing is, or when it does not open any more."""
    row = _find(user_id, account_id, purpose)
    if row is None:
        return {}
    try:
        found = json.loads(open_text(row.content, KIND, account_id, row.id))
    except (SealError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def drop(user_id: UUID, account_id: UUID, purpose: str) -> None:
    """Forget the draft of a purpose; none is fine."""
    row = _find(user_id, account_id, purpose)
    if row is not None:
        db.session.delete(row)


@dataclass(frozen=True)
class DraftLine:
    """A draft in a list: what it is for, and the name of the contact it goes to ("" for a forward)."""

    kind: str
    row_id: UUID
    contact_name: str
    updated_at: datetime


def drafts_of(user_id: UUID, account_id: UUID) -> list[DraftLine]:
    """The person's drafts, newest first."""
    query = select(Draft).where(Draft.user_id == user_id, Draft.account_id == account_id)
    rows = list(db.session.scalars(query.order_by(Draft.updated_at.desc()).limit(100)))
    targets = {row.id: row.purpose.partition(":") for row in rows}
    names = _contact_names(account_id, [UUID(target) for _, _, target in targets.values()])
    lines = []
    for row in rows:
        kind, _, target = targets[row.id]
        lines.append(DraftLine(kind, UUID(target), names.get(UUID(target), ""), row.updated_at))
    return lines


def _contact_names(account_id: UUID, ids: list[UUID]) -> dict[UUID, str]:
    """Names by the id of a contact or of a conversation with one."""
    contacts = select(Contact).where(Contact.account_id == account_id, Contact.id.in_(ids))
    names = {contact.id: contact.name for contact in db.session.scalars(contacts)}
    conversations = (
        select(Conversation)
        .where(Conversation.account_id == account_id, Conversation.id.in_(ids))
        .options(joinedload(Conversation.contact))
    )
    return names | {row.id: row.contact.name for row in db.session.scalars(conversations)}


def _find(user_id: UUID, account_id: UUID, purpose: str) -> Draft | None:
    query = select(Draft).where(
        Draft.user_id == user_id, Draft.account_id == account_id, Draft.purpose == purpose
    )
    return db.session.scalar(query)
