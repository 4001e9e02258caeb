"""The list of contacts, and what stands around one. One query per table, whatever the length of a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, tuple_
from sqlalchemy.orm import defer, selectinload

from portal.contacts.colleagues import Likeness, colleagues_of, like_colleagues
from portal.conversations.service import conversation_subject
from portal.database import db
from portal.models import Contact, ContactAddress, ContactImport, Conversation, Mention, Message, User
from portal.rules.addresses import ASCII_LOWER, domain_key, match_key

PAGE = 50
MAX_SEARCH, MAX_WORDS = 200, 8
MAX_MENTIONS = 50
FILTERS = {"all": "All", "colleague": "Like colleagues", "excluded": "Excluded", "no_address": "No address"}
SORTS = {"name": "Name", "newest": "Newest first"}


@dataclass(frozen=True)
class ContactRow:
    """One line of the list. `likeness` says whether it is, or looks like, a colleague."""

    id: UUID
    name: str
    email: str
    alternates: tuple[str, ...]
    phone: str
    is_excluded: bool
    likeness: Likeness
    created_at: datetime


@dataclass(frozen=True)
class ContactPage:
    """A page of the list. `counts` are the contacts that the search finds, by filter; `after` asks for the next page."""

    rows: list[ContactRow]
    counts: dict[str, int]
    after: UUID | None
    total: int  # of the account, whatever was searched


def contact_page(
    account_id: UUID, *, search: str = "", show: str = "all", sort: str = "name", after: UUID | None = None
) -> ContactPage:
    """The contacts of an account whose names or addresses hold all words of `search`, by filter."""
    colleagues = colleagues_of(account_id)
    filters = _filters(like_colleagues(account_id, colleagues))
    found = [Contact.account_id == account_id, *_search(search)]
    query: Select[Any] = select(Contact).where(*found, filters.get(show, filters["all"]))
    query = _sorted(query, sort, _edge(account_id, after)).options(selectinload(Contact.alternates))
    contacts = list(db.session.scalars(query.limit(PAGE + 1)))
    rows = [
        ContactRow(
            id=contact.id,
            name=contact.name,
            email=contact.email,
            alternates=tuple(other.email for other in contact.alternates),
            phone=contact.phone,
            is_excluded=contact.excluded_from_sync,
            likeness=colleagues.likeness(contact.email_key),
            created_at=contact.created_at,
        )
        for contact in contacts[:PAGE]
    ]
    return ContactPage(
        rows=rows,
        counts=_counts(found, filters),
        after=rows[-1].id if len(contacts) > PAGE else None,
        total=db.session.scalar(select(func.count()).where(Contact.account_id == account_id)) or 0,
    )


def contacts_found(account_id: UUID, search: str, show: str) -> ColumnElement[bool]:
    """What the list finds for a search and a filter, as a condition on Contact, for others who choose contacts so."""
    filters = _filters(like_colleagues(account_id, colleagues_of(account_id)))
    return and_(Contact.account_id == account_id, *_search(search), filters.get(show, filters["all"]))


def _filters(is_like_colleague: ColumnElement[bool]) -> dict[str, ColumnElement[bool]]:
    return {
        "all": and_(True),
        "colleague": is_like_colleague,
        "excluded": Contact.excluded_from_sync.is_(True),
        "no_address": Contact.email_key == "",
    }


def _counts(found: list[ColumnElement[bool]], filters: dict[str, ColumnElement[bool]]) -> dict[str, int]:
    sums = [func.coalesce(func.sum(case((condition, 1), else_=0)), 0) for condition in filters.values()]
    return dict(zip(filters, map(int, db.session.execute(select(*sums).where(*found)).one()), strict=True))


def _search(text: str) -> list[ColumnElement[bool]]:
    """Words that must each stand in the name, the primary or an alternate address; signs of LIKE mean themselves."""
    words = text.replace("\0", "")[:MAX_SEARCH].split()[:MAX_WORDS]
    return [
        or_(
            Contact.name_key.contains(word.casefold(), autoescape=True),
            Contact.email_key.contains(_as_key(word), autoescape=True),
            exists().where(
                ContactAddress.contact_id == Contact.id,
                ContactAddress.account_id == Contact.account_id,
                ContactAddress.email_key.contains(_as_key(word), autoescape=True),
            ),
        )
        for word in words
    ]


def _as_key(word: str) -> str:
    """A word as it would stand in a matching key: international domains in A-labels."""
    return match_key(word) or (not word.isascii() and domain_key(word)) or word.translate(ASCII_LOWER)


def _edge(account_id: UUID, after: UUID | None) -> Contact | None:
    """The last contact of the page before; one of another account counts as none."""
    edge = db.session.get(Contact, after) if after else None
    return edge if edge is not None and edge.account_id == account_id else None


def _sorted(query: Select[Any], sort: str, edge: Contact | None) -> Select[Any]:
    if sort == "newest":
        if edge is not None:
            query = query.where(tuple_(Contact.created_at, Contact.id) < tuple_(edge.created_at, edge.id))
        return query.order_by(Contact.created_at.desc(), Contact.id.desc())
    if edge is not None:
        query = query.where(tuple_(Contact.name_key, Contact.id) > tuple_(edge.name_key, edge.id))
    return query.order_by(Contact.name_key, Contact.id)


@dataclass(frozen=True)
class ContactRecord:
    """What the overview says besides the contact itself. `namesakes` share its primary address, oldest first (G-10)."""

    likeness: Likeness
    namesakes: list[Contact]
    created_by: str


def contact_record(contact: Contact) -> ContactRecord:
    """Facts about a contact that no column of it holds; nothing of any mail."""
    keys = [contact.email_key, *(other.email_key for other in contact.alternates)]
    author = db.session.get(User, contact.created_by_id) if contact.created_by_id else None
    return ContactRecord(
        likeness=colleagues_of(contact.account_id).closest(keys),
        namesakes=_namesakes(contact),
        created_by=author.name if author else "",
    )


def _namesakes(contact: Contact) -> list[Contact]:
    if not contact.email_key:
        return []
    query = select(Contact).where(
        Contact.account_id == contact.account_id,
        Contact.email_key == contact.email_key,
        Contact.id != contact.id,
    )
    return list(db.session.scalars(query.order_by(Contact.created_at, Contact.id).limit(20)))


def conversation_count(contact: Contact) -> int:
    """Conversations and mentions together: the figure of the record's tab, for those who may read conversations."""
    own = select(func.count()).where(Conversation.account_id == contact.account_id, Conversation.contact_id == contact.id)
    copied = select(func.count(func.distinct(Mention.conversation_id))).where(
        Mention.account_id == contact.account_id, Mention.contact_id == contact.id
    )
    return (db.session.scalar(own) or 0) + (db.session.scalar(copied) or 0)


@dataclass(frozen=True)
class MentionRow:
    """The contact stood in CC or BCC of somebody else's conversation (G-11)."""

    conversation_id: UUID
    subject: str
    contact_id: UUID
    contact_name: str
    field: str
    since: datetime
    mails: int


def mentions_of(contact: Contact) -> list[MentionRow]:
    """The conversations that mention a contact, newest first. For viewers who may read conversations only."""
    first = func.min(Message.sent_at)
    query = (
        select(Mention.conversation_id, func.min(Mention.field), first, func.count())
        .join(Message, Message.id == Mention.message_id)
        .where(Mention.account_id == contact.account_id, Mention.contact_id == contact.id)
        .group_by(Mention.conversation_id)
        .order_by(first.desc())
        .limit(MAX_MENTIONS)
    )
    found = db.session.execute(query).all()
    wanted = select(Conversation).where(Conversation.id.in_([row[0] for row in found]))
    conversations = {row.id: row for row in db.session.scalars(wanted.options(selectinload(Conversation.contact)))}
    return [
        MentionRow(
            conversation_id=conversation_id,
            subject=conversation_subject(conversations[conversation_id]),
            contact_id=conversations[conversation_id].contact_id,
            contact_name=conversations[conversation_id].contact.name,
            field=field.upper(),
            since=since,
            mails=mails,
        )
        for conversation_id, field, since, mails in found
    ]


def imports_of(user_id: UUID, account_id: UUID) -> list[ContactImport]:
    """A person's last imports, newest first, without the files."""
    query = select(ContactImport).where(
        ContactImport.account_id == account_id, ContactImport.user_id == user_id, ContactImport.state != "dropped"
    )
    query = query.options(defer(ContactImport.content), defer(ContactImport.errors))
    return list(db.session.scalars(query.order_by(ContactImport.created_at.desc(), ContactImport.id).limit(10)))
