"""The list of conversations, and who is around one. Sealed texts are opened for shown rows only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.orm import joinedload

from portal.access.permissions import ROLE_LABELS, Permission, role_may
from portal.conversations.service import conversation_subject, readable
from portal.database import db
from portal.models import Connection, Contact, Conversation, Membership, Mention, Message, OutboxMail, User

PAGE = 25
MAX_SEARCH = 200
FILTERS = {"all": "All", "open": "Open", "ended": "Ended", "mine": "Mine", "waiting": "Waiting for me"}

TROUBLES = {"failed": "not_sent", "unknown": "unsure"}
WAITS = {"reset": "queued", "time": "scheduled"}  # what a mail of ours waits for, to the status vocabulary


@dataclass(frozen=True)
class ConversationRow:
    """One line of a list of conversations."""

    id: UUID
    contact_id: UUID
    contact_name: str
    contact_email: str
    subject: str
    snippet: str
    state: str
    is_mine: bool
    user_name: str
    is_waiting: bool
    trouble: str  # of the status vocabulary: a mail in it did not leave (yet), or perhaps did not
    last_message_at: datetime
    message_count: int


@dataclass(frozen=True)
class ConversationPage:
    """A page of the list. `before` is the id to ask the next page with, None on the last."""

    rows: list[ConversationRow]
    before: UUID | None


def conversation_page(
    account_id: UUID,
    user_id: UUID,
    *,
    show: str = "all",
    search: str = "",
    before: UUID | None = None,
    contact_id: UUID | None = None,
) -> ConversationPage:
    """Conversations of an account, newest first, by filter, contact's name or address, and contact."""
    query = select(Conversation).where(Conversation.account_id == account_id, *_filter(show, user_id))
    if contact_id:
        query = query.where(Conversation.contact_id == contact_id)
    query = query.join(Conversation.contact).where(*_search(search))
    query = _after(query, account_id, before)
    query = query.options(joinedload(Conversation.contact), joinedload(Conversation.user))
    query = query.order_by(Conversation.last_message_at.desc(), Conversation.id.desc()).limit(PAGE + 1)
    found = list(db.session.scalars(query))
    last = _last_messages([row.id for row in found[:PAGE]])
    rows = [_row(row, user_id, *last.get(row.id, ("", ""))) for row in found[:PAGE]]
    return ConversationPage(rows, found[PAGE - 1].id if len(found) > PAGE else None)


def _filter(show: str, user_id: UUID) -> list[ColumnElement[bool]]:
    mine = Conversation.user_id == user_id
    waiting = [mine, Conversation.state == "open", Conversation.last_direction == "inbound"]
    return {
        "open": [Conversation.state == "open"],
        "ended": [Conversation.state == "ended"],
        "mine": [mine],
        "waiting": waiting,
    }.get(show, [])


def _search(text: str) -> list[ColumnElement[bool]]:
    """Words that must all stand in the contact's name or address; signs of LIKE mean themselves."""
    words = text.replace("\0", "")[:MAX_SEARCH].casefold().split()[:8]
    return [
        or_(
            Contact.name_key.contains(word, autoescape=True),
            Contact.email_key.contains(word, autoescape=True),
        )
        for word in words
    ]


def _after(query: Select[Any], account_id: UUID, before: UUID | None) -> Select[Any]:
    edge = db.session.get(Conversation, before) if before else None
    if edge is None or edge.account_id != account_id:
        return query
    place = tuple_(Conversation.last_message_at, Conversation.id)
    return query.where(place < tuple_(edge.last_message_at, edge.id))


def _last_messages(ids: list[UUID]) -> dict[UUID, tuple[str, str]]:
    """Per conversation the first words of its newest message, and the trouble that one of ours is in."""
    if not ids:
        return {}
    newest = func.row_number().over(
        partition_by=Message.conversation_id, order_by=(Message.sent_at.desc(), Message.id.desc())
    )
    ranked = (
        select(
            Message.conversation_id, Message.id, Message.account_id, Message.snippet, newest.label("place")
        )
        .where(Message.conversation_id.in_(ids))
        .subquery()
    )
    rows = db.session.execute(select(ranked).where(ranked.c.place == 1)).all()
    troubled = _waiting(ids) | _troubled(ids)
    return {
        row.conversation_id: (
            readable(row.snippet, "message.snippet", row.account_id, row.id),
            troubled.get(row.conversation_id, ""),
        )
        for row in rows
    }


def _troubled(ids: list[UUID]) -> dict[UUID, str]:
    """Conversations with a mail that did not leave, or of which that is not known; the first counts more."""
    query = select(Message.conversation_id, Message.state).where(
        Message.conversation_id.in_(ids), Message.state.in_(TROUBLES)
    )
    states = db.session.execute(query.order_by(Message.state.desc()))
    return {conversation_id: TROUBLES[state] for conversation_id, state in states}


def _waiting(ids: list[UUID]) -> dict[UUID, str]:
    """Conversations with a mail that has not left yet: for its time, for the cap, or for the mail server."""
    query = select(Message.conversation_id, OutboxMail.waits_for).join(OutboxMail, OutboxMail.message_id == Message.id)
    query = query.where(
        Message.conversation_id.in_(ids),
        OutboxMail.state == "prepared",
        or_(OutboxMail.waits_for != "", OutboxMail.attempts > 0, OutboxMail.error != ""),
    )
    return {conversation_id: WAITS.get(waits_for, "waiting") for conversation_id, waits_for in db.session.execute(query)}


def _row(row: Conversation, user_id: UUID, snippet: str, trouble: str) -> ConversationRow:
    is_mine = row.user_id == user_id
    return ConversationRow(
        id=row.id,
        contact_id=row.contact_id,
        contact_name=row.contact.name,
        contact_email=row.contact.email,
        subject=conversation_subject(row),
        snippet=snippet,
        state=row.state,
        is_mine=is_mine,
        user_name=row.user.name,
        is_waiting=is_mine and row.state == "open" and row.last_direction == "inbound",
        trouble=trouble,
        last_message_at=row.last_message_at,
        message_count=row.message_count,
    )


def contacts_by_key(account_id: UUID, keys: Iterable[str]) -> dict[str, Contact]:
    """The contacts whose primary address is among these; of duplicates the one created first (G-08, G-10)."""
    wanted = sorted({key for key in keys if key})
    if not wanted:
        return {}
    query = select(Contact).where(Contact.account_id == account_id, Contact.email_key.in_(wanted))
    found: dict[str, Contact] = {}
    for contact in db.session.scalars(query.order_by(Contact.created_at, Contact.id)):
        found.setdefault(contact.email_key, contact)
    return found


def staff_names(account_id: UUID, keys: Iterable[str]) -> dict[str, str]:
    """Names of the account's users by login or connected mailbox, for the addresses among these."""
    wanted = sorted({key for key in keys if key})
    if not wanted:
        return {}
    logins = (
        select(User.email_key, User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.account_id == account_id, User.email_key.in_(wanted))
    )
    mailboxes = (
        select(Connection.mailbox_key, User.name)
        .join(User, User.id == Connection.user_id)
        .where(Connection.account_id == account_id, Connection.mailbox_key.in_(wanted))
    )
    return {key: name for key, name in db.session.execute(logins.union(mailboxes))}  # noqa: C416


@dataclass(frozen=True)
class Readers:
    """How many people of a role can open conversations."""

    role: str
    count: int


def readers_by_role(account_id: UUID) -> list[Readers]:
    """People per role that can read conversations here; 0 for a role that works here and may not."""
    query = (
        select(Membership.role, func.count())
        .where(Membership.account_id == account_id, Membership.state == "active")
        .group_by(Membership.role)
    )
    counts: dict[str, int] = {role: count for role, count in db.session.execute(query)}  # noqa: C416
    return [
        Readers(label, counts[role] if role_may(role, Permission.READ_CONVERSATIONS) else 0)
        for role, label in ROLE_LABELS.items()
        if counts.get(role)
    ]


@dataclass(frozen=True)
class MentionedContact:
    """A contact copied on the conversation (G-11)."""

    id: UUID
    name: str
    field: str
    since: datetime


def mentioned_contacts(conversation_id: UUID) -> list[MentionedContact]:
    """Contacts whose records mention this conversation, with the first time."""
    query = (
        select(Mention.contact_id, Mention.field, func.min(Message.sent_at), Contact)
        .join(Contact, Contact.id == Mention.contact_id)
        .join(Message, Message.id == Mention.message_id)
        .where(Mention.conversation_id == conversation_id)
        .group_by(Mention.contact_id, Mention.field, Contact.id)
        .order_by(func.min(Message.sent_at))
    )
    return [
        MentionedContact(contact_id, contact.name, field, since)
        for contact_id, field, since, contact in db.session.execute(query)
    ]
