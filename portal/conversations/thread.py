"""One conversation as its page shows it: messages with people, text and files, and whom a reply goes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select

from portal.conversations.queries import contacts_by_key, staff_names
from portal.conversations.service import readable
from portal.database import db
from portal.lib.html import has_remote_content, text_of
from portal.lib.quotes import split_quoted
from portal.models import Attachment, Connection, Contact, Conversation, Message, MessageBody, Participant, User
from portal.rules.connecting import PROVIDERS
from portal.rules.reasons import FileReason

SHOWN_MESSAGES = 30
ALL_MESSAGES = 500
OPENED_MESSAGES = 2
PICTURES = ("image/jpeg", "image/png")
Entry = TypeVar("Entry", Participant, Attachment)


@dataclass(frozen=True)
class Person:
    """Somebody in a message. `contact` is None for an address that is nobody's primary one.

    `colleague` is the name of the CRM user whom the address reaches, "" for others.
    """

    email: str
    key: str
    name: str
    contact: Contact | None
    is_viewer: bool
    colleague: str = ""

    @property
    def shown(self) -> str:
        if self.is_viewer:
            return "you"
        return self.contact.name if self.contact else self.colleague or self.name or self.email


@dataclass(frozen=True)
class FileView:
    """A file of a message."""

    id: UUID
    name: str
    kind: str
    size: int
    is_stored: bool
    is_picture: bool
    is_unscanned: bool
    is_inline: bool  # it stands in the formatted text
    reason: str


@dataclass(frozen=True)
class MessageView:
    """A message for showing."""

    id: UUID
    direction: str
    origin: str
    state: str
    sender: Person
    writer: str
    is_mine: bool
    to: list[Person]
    cc: list[Person]
    bcc: list[Person]
    sent_at: datetime
    snippet: str
    text: str
    quoted: str
    has_html: bool
    has_remote: bool
    is_automatic: bool
    is_by_provider: bool  # it left through the account's own mail server
    service: str  # what holds its mailbox: Gmail, Outlook; "" where it took no mailbox
    is_repaired: bool
    is_open: bool
    files: list[FileView]

    @property
    def initials(self) -> str:
        words = self.writer.replace(",", " ").split()
        return "".join(word[0] for word in words[:2]).upper() or "?"


@dataclass(frozen=True)
class Thread:
    """The messages of a conversation's page, oldest first, and everybody in them."""

    messages: list[MessageView]
    hidden: int  # older ones that are not on this page
    people: list[Person] = field(default_factory=list)  # everybody but the viewer and the contact, once


def thread_of(
    conversation: Conversation, viewer: User, own_keys: frozenset[str], *, whole: bool = False
) -> Thread:
    """The newest messages of a conversation (30, or up to 500), the last two opened."""
    total = conversation_size(conversation.id)
    query = select(Message).where(Message.conversation_id == conversation.id)
    query = query.order_by(Message.sent_at.desc(), Message.id.desc()).limit(
        ALL_MESSAGES if whole else SHOWN_MESSAGES
    )
    rows = list(db.session.scalars(query))[::-1]
    ids = [row.id for row in rows]
    people = _by_message(Participant, ids)
    files = _by_message(Attachment, ids)
    bodies = {row.id: row for row in db.session.scalars(select(MessageBody).where(MessageBody.id.in_(ids)))}
    users = _users({row.user_id for row in rows if row.user_id})
    keys = {p.email_key for group in people.values() for p in group}
    known, staff = contacts_by_key(conversation.account_id, keys), staff_names(conversation.account_id, keys)
    services = _services({row.connection_id for row in rows if row.connection_id})
    maker = _Maker(viewer, own_keys, known, staff, users, services)
    views = [
        maker.message(
            row,
            people[row.id],
            files[row.id],
            bodies.get(row.id),
            is_open=index >= len(rows) - OPENED_MESSAGES,
        )
        for index, row in enumerate(rows)
    ]
    return Thread(views, total - len(rows), _around(views, conversation))


def conversation_size(conversation_id: UUID) -> int:
    """How many messages a conversation has."""
    query = select(func.count()).select_from(Message).where(Message.conversation_id == conversation_id)
    return db.session.scalar(query) or 0


def reply_people(thread: Thread) -> list[Person]:
    """Whom a reply would copy: everybody of the newest message that arrived or left, but viewer and contact."""
    for message in reversed(thread.messages):
        if message.state not in ("failed", "unknown"):
            named = {p.key for p in [message.sender, *message.to, *message.cc]}
            return [person for person in thread.people if person.key in named]
    return []


def _by_message(model: type[Entry], ids: list[UUID]) -> defaultdict[UUID, list[Entry]]:
    found: defaultdict[UUID, list[Entry]] = defaultdict(list)
    query = select(model).where(model.message_id.in_(ids)).order_by(model.message_id, model.position)
    for row in db.session.scalars(query):
        found[row.message_id].append(row)
    return found


def _services(ids: Iterable[UUID]) -> dict[UUID, str]:
    """What holds the mail of these connections, as people call it."""
    rows = db.session.execute(select(Connection.id, Connection.provider).where(Connection.id.in_(ids)))
    return {row.id: PROVIDERS[row.provider].service for row in rows}


def _users(ids: Iterable[UUID]) -> dict[UUID, User]:
    wanted = list(ids)
    return (
        {row.id: row for row in db.session.scalars(select(User).where(User.id.in_(wanted)))} if wanted else {}
    )


def _around(views: list[MessageView], conversation: Conversation) -> list[Person]:
    found: dict[str, Person] = {}
    for view in views:
        for person in [view.sender, *view.to, *view.cc]:
            is_contact = person.contact is not None and person.contact.id == conversation.contact_id
            if (
                not person.is_viewer
                and not is_contact
                and not (view.direction == "outbound" and person is view.sender)
            ):
                found.setdefault(person.key or person.email, person)
    return list(found.values())


@dataclass(frozen=True)
class _Maker:
    """Makes views of rows that are loaded already."""

    viewer: User
    own_keys: frozenset[str]
    known: dict[str, Contact]
    staff: dict[str, str]
    users: dict[UUID, User]
    services: dict[UUID, str]

    def message(
        self,
        row: Message,
        people: list[Participant],
        files: list[Attachment],
        body: MessageBody | None,
        *,
        is_open: bool,
    ) -> MessageView:
        fields: defaultdict[str, list[Person]] = defaultdict(list)
        for person in people:
            fields[person.field].append(self.person(person))
        sender = fields["from"][0] if fields["from"] else Person("", "", "Unknown sender", None, False)
        user = self.users.get(row.user_id) if row.user_id else None
        is_viewers = sender.is_viewer or (row.direction == "outbound" and row.user_id == self.viewer.id)
        writer = user.name if user and row.direction == "outbound" else _name_of(sender)
        text, quoted, html = self.body(row, body)
        return MessageView(
            id=row.id,
            direction=row.direction,
            origin=row.origin,
            state=row.state,
            sender=sender,
            writer=writer,
            is_mine=is_viewers,
            to=fields["to"],
            cc=fields["cc"],
            bcc=fields["bcc"],
            sent_at=row.sent_at,
            snippet=readable(row.snippet, "message.snippet", row.account_id, row.id),
            text=text,
            quoted=quoted,
            has_html=bool(html),
            has_remote=has_remote_content(html),
            is_automatic=row.is_automatic,
            is_by_provider=row.origin == "crm" and row.connection_id is None,
            service=self.services.get(row.connection_id, "") if row.connection_id else "",
            is_repaired=bool(row.defects),
            is_open=is_open or row.state in ("failed", "unknown"),
            files=[file_view(file) for file in files],
        )

    def person(self, row: Participant) -> Person:
        key = row.email_key
        return Person(
            email=row.email,
            key=key,
            name=row.name,
            contact=self.known.get(key),
            is_viewer=key in self.own_keys,
            colleague=self.staff.get(key, ""),
        )

    def body(self, row: Message, body: MessageBody | None) -> tuple[str, str, str]:
        """Own text, quoted text, HTML. A forward is shown whole."""
        if body is None:
            return "", "", ""
        text = readable(body.text, "message_body.text", row.account_id, row.id)
        html = readable(body.html, "message_body.html", row.account_id, row.id)
        if not text.strip() and html:
            text = text_of(html)
        own, quoted = (text.strip(), "") if row.is_forward else split_quoted(text)
        return own, quoted, html


def _name_of(sender: Person) -> str:
    """A sender's own name, also where the page calls them "you"."""
    return sender.contact.name if sender.contact else sender.colleague or sender.name or sender.email


def file_view(row: Attachment) -> FileView:
    """A file as its row is shown: what it is, how large, and why it cannot be opened if it cannot."""
    name = readable(row.name, "attachment.name", row.account_id, row.id)
    ending = name.rpartition(".")[2].upper() if "." in name else ""
    known = row.reason in FileReason.__members__.values()
    return FileView(
        id=row.id,
        name=name,
        kind=ending if 0 < len(ending) <= 5 else "File",
        size=row.size,
        is_stored=row.state == "stored",
        is_picture=row.state == "stored" and row.content_type in PICTURES,
        is_unscanned=row.scan == "unknown",
        is_inline=bool(row.content_id) and row.content_type.startswith("image/"),
        reason=FileReason(row.reason).sentence if known else "",
    )
