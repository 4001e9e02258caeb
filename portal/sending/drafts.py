"""Drafts: what was written and not sent, sealed, one per person and purpose, bounded in size.

A draft is the person's own and outlives the session it was written in; what it is for may go in the meantime.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import url_for
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from portal.access.lookup import find
from portal.database import db
from portal.errors import NotFound
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.lib.ids import new_id
from portal.models import Contact, Conversation, Draft, Message, OutboxMail
from portal.sealing import open_text, seal_text

KIND = "draft.content"
FIELDS = ("to", "people", "cc", "bcc", "subject", "text", "html")
MOST = {"subject": 250, "text": 100_000, "html": 400_000}  # characters that are kept of a field
MOST_OF_A_LIST, MOST_PEOPLE = 20_000, 50
TARGETS: dict[str, type[Conversation | Contact | Message]] = {
    "reply": Conversation, "new": Contact, "forward": Message,
}  # fmt: skip


def purpose_of(kind: str, row_id: UUID) -> str:
    """What a draft is for: a "reply" to a conversation, a "new" mail to a contact, a "forward" of a message."""
    return f"{kind}:{row_id}"


def checked_purpose(text: str) -> str:
    """A purpose as a browser names it, where it stands for something of the account. Raises NotFound."""
    kind, _, target = text.partition(":")
    try:
        row_id = UUID(target)
    except ValueError:
        raise NotFound() from None
    if kind not in TARGETS:
        raise NotFound()
    find(TARGETS[kind], row_id)
    return purpose_of(kind, row_id)


def page_of(purpose: str) -> str:
    """The page with the form that a draft belongs to, as a path."""
    kind, _, row_id = purpose.partition(":")
    if kind == "reply":
        return url_for("conversations.show_conversation", conversation_id=row_id, _anchor="reply")
    if kind == "forward":
        return url_for("sending.forward_message", message_id=row_id)
    return url_for("sending.compose_mail", contact_id=row_id)


def save(user_id: UUID, account_id: UUID, purpose: str, content: dict[str, Any]) -> None:
    """Keep the texts of a form under its purpose, over what was kept before. Other fields are dropped."""
    row = _find(user_id, account_id, purpose) or _begin(user_id, account_id, purpose)
    row.content = seal_text(json.dumps(_bounded(content)), KIND, account_id, row.id)
    row.updated_at = now()
    db.session.flush()


def keep_typed(user_id: UUID, account_id: UUID, purpose: str, content: dict[str, Any], *, token: str) -> bool:
    """Keep what stands in a form while it is being written; an empty form keeps nothing. True when a draft stands.

    `token` is the form's: a late save of a form that was sent in the meantime does not bring its text back.
    """
    sent = select(OutboxMail.id).where(OutboxMail.user_id == user_id, OutboxMail.form_token == token)
    if token and db.session.scalar(sent) is not None:
        return False
    if not _bounded(content):
        drop(user_id, account_id, purpose)
        return False
    save(user_id, account_id, purpose, content)
    return True


def _begin(user_id: UUID, account_id: UUID, purpose: str) -> Draft:
    """A new row, or the one that another tab of the same person has just made."""
    row = Draft(id=new_id(), account_id=account_id, user_id=user_id, purpose=purpose, content=b"", updated_at=now())
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        found = _find(user_id, account_id, purpose)
        if found is None:
            raise
        return found
    return row


def _bounded(content: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a form's fields: texts and lists of texts, each up to its limit."""
    kept: dict[str, Any] = {}
    for name in FIELDS:
        value = content.get(name)
        if isinstance(value, list):
            value = [str(item)[:400] for item in value[:MOST_PEOPLE]]
        elif value:
            value = str(value)[: MOST.get(name, MOST_OF_A_LIST)]
        if value:
            kept[name] = value
    return kept


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
    """A draft in a list: what it is for, and the name of the contact it goes to or, of a forward, whose mail it was.

    `has_target` is false where the contact, conversation or mail it was for is gone.
    """

    id: UUID
    kind: str
    page: str
    contact_name: str
    has_target: bool
    updated_at: datetime


def drafts_of(user_id: UUID, account_id: UUID) -> list[DraftLine]:
    """The person's drafts, newest first."""
    query = select(Draft).where(Draft.user_id == user_id, Draft.account_id == account_id)
    rows = list(db.session.scalars(query.order_by(Draft.updated_at.desc()).limit(100)))
    names = _contact_names(account_id, [_target(row) for row in rows])
    return [_line(row, names) for row in rows]


def line_of(draft: Draft) -> DraftLine:
    """One draft as a list shows it."""
    return _line(draft, _contact_names(draft.account_id, [_target(draft)]))


def remove(draft: Draft) -> None:
    """Delete a draft for good."""
    db.session.delete(draft)


def _line(row: Draft, names: dict[UUID, str]) -> DraftLine:
    target = _target(row)
    kind = row.purpose.partition(":")[0]
    return DraftLine(row.id, kind, page_of(row.purpose), names.get(target, ""), target in names, row.updated_at)


def _target(row: Draft) -> UUID:
    return UUID(row.purpose.partition(":")[2])


def _contact_names(account_id: UUID, ids: list[UUID]) -> dict[UUID, str]:
    """Names by the id of a contact, of a conversation with one, or of a message in such a conversation."""
    contacts = select(Contact).where(Contact.account_id == account_id, Contact.id.in_(ids))
    names = {contact.id: contact.name for contact in db.session.scalars(contacts)}
    conversations = (
        select(Conversation)
        .where(Conversation.account_id == account_id, Conversation.id.in_(ids))
        .options(joinedload(Conversation.contact))
    )
    names |= {row.id: row.contact.name for row in db.session.scalars(conversations)}
    messages = (
        select(Message)
        .where(Message.account_id == account_id, Message.id.in_(ids))
        .options(joinedload(Message.conversation).joinedload(Conversation.contact))
    )
    return names | {row.id: row.conversation.contact.name for row in db.session.scalars(messages)}


def _find(user_id: UUID, account_id: UUID, purpose: str) -> Draft | None:
    query = select(Draft).where(
        Draft.user_id == user_id, Draft.account_id == account_id, Draft.purpose == purpose
    )
    return db.session.scalar(query)
