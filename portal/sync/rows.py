"""The rows of one logged mail, as plain values for bulk inserts. Pure, but for sealing and our own addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from flask import current_app

from portal.lib.html import snippet, text_of
from portal.lib.ids import new_id
from portal.providers.types import RemoteMail
from portal.rules.addresses import Address
from portal.rules.facts import Direction, MailFacts
from portal.rules.routing import parse_routed
from portal.rules.sync import Decision
from portal.sealing import envelope, place

SNIPPET_OF_HTML = 20_000  # characters of an HTML-only mail that are read for its first words


class Home(Protocol):
    """Where a mail comes in: a run over a mailbox, or a conversation's own address (then without a connection)."""

    @property
    def account_id(self) -> UUID: ...
    @property
    def connection_id(self) -> UUID | None: ...
    @property
    def user_id(self) -> UUID: ...
    @property
    def mailbox_key(self) -> str: ...


@dataclass(frozen=True)
class StoredFile:
    """A file of a mail that is about to be logged: in the store under its key, or named with why it is not."""

    id: UUID
    name: str
    content_type: str
    content_id: str
    size: int
    state: str  # stored, left_out, blocked
    reason: str = ""
    store_key: str = ""


@dataclass(frozen=True)
class Prepared:
    """An admitted mail whose content is here. `message_id` is fixed before its files are stored."""

    message_id: UUID
    mail: RemoteMail
    files: tuple[StoredFile, ...] = field(default=())


def _seal(text: str, kind: str, account_id: UUID, row_id: UUID) -> bytes:
    return envelope().seal(text.encode("utf-8", "surrogatepass"), place(kind, account_id, row_id))


def message_row(
    home: Home, prepared: Prepared, conversation_id: UUID, at: datetime, *, origin: str = "mailbox"
) -> dict[str, Any]:
    """The message itself, without its text."""
    mail, facts, row_id = prepared.mail, prepared.mail.facts, prepared.message_id
    outbound = facts.direction is Direction.OUTBOUND
    defects = mail.defects if facts.internet_message_id else (*mail.defects, "no_message_id")
    own_words = mail.text if mail.text.strip() else text_of(mail.html[:SNIPPET_OF_HTML])
    return {
        "id": row_id, "created_at": at, "account_id": home.account_id, "conversation_id": conversation_id,
        "connection_id": home.connection_id, "user_id": home.user_id if outbound else None,
        "direction": facts.direction.value, "origin": origin, "is_forward": outbound and facts.is_forward,
        "is_automatic": facts.is_automatic, "state": "logged", "provider_message_id": facts.provider_message_id or None,
        "provider_thread_id": facts.provider_thread_id or None,
        "internet_message_id": facts.internet_message_id or own_wire_id(home, facts), "crm_ref": None,
        "references": _joined_ids(facts.references), "sent_at": facts.received_at,
        "subject": _seal(mail.subject, "message.subject", home.account_id, row_id),
        "snippet": _seal(snippet(own_words), "message.snippet", home.account_id, row_id),
        "size": mail.size, "defects": ",".join(defects)[:300], "attachment_count": len(prepared.files),
    }  # fmt: skip


def own_wire_id(home: Home, facts: MailFacts) -> str:
    """An id for a mail that came without one, the same at every meeting."""
    digest = sha256(f"{home.mailbox_key}|{facts.provider_message_id}".encode()).hexdigest()
    return f"<{digest[:40]}@no-message-id.invalid>"


def _joined_ids(ids: Iterable[str], most: int = 20_000) -> str:
    """Wire ids in one text; of a chain that does not fit, the last."""
    text = " ".join(ids)
    return text if len(text) <= most else text[-most:].partition(" ")[2]


def body_row(home: Home, prepared: Prepared, at: datetime) -> dict[str, Any]:
    """Text and HTML, sealed, under the message's id."""
    mail, row_id = prepared.mail, prepared.message_id
    html = _seal(mail.html, "message_body.html", home.account_id, row_id) if mail.html else None
    return {
        "id": row_id, "created_at": at, "account_id": home.account_id,
        "text": _seal(mail.text, "message_body.text", home.account_id, row_id), "html": html,
    }  # fmt: skip


def participant_rows(home: Home, prepared: Prepared, conversation_id: UUID, at: datetime) -> list[dict[str, Any]]:
    """Everybody in From, To, CC and BCC, but not the portal itself: an address of ours is nobody to copy or to forward
    to others, and whoever knows it can write into the conversation."""
    facts = prepared.mail.facts
    ours = current_app.extensions["settings"].reply_domain
    senders = (facts.sender,) if facts.sender else ()
    fields: Sequence[tuple[str, tuple[Address, ...]]] = (
        ("from", senders), ("to", facts.to), ("cc", facts.cc), ("bcc", facts.bcc),
    )  # fmt: skip
    return [
        {
            "id": new_id(), "created_at": at, "account_id": home.account_id, "message_id": prepared.message_id,
            "conversation_id": conversation_id, "field": name, "position": position, "email": person.email,
            "email_key": person.key, "name": person.name.replace("\0", "")[:200],
        }
        for name, people in fields
        for position, person in enumerate(people)
        if parse_routed(person.email, ours) is None
    ]  # fmt: skip


def attachment_rows(home: Home, prepared: Prepared, conversation_id: UUID, at: datetime) -> list[dict[str, Any]]:
    """Its files: in the store, left out with the reason, or blocked."""
    return [
        {
            "id": file.id, "created_at": at, "account_id": home.account_id, "message_id": prepared.message_id,
            "conversation_id": conversation_id, "position": position,
            "name": _seal(file.name[:1000], "attachment.name", home.account_id, file.id),
            "content_type": file.content_type[:100], "content_id": file.content_id.replace("\0", "")[:300],
            "size": file.size, "state": file.state, "reason": file.reason,
            "scan": "blocked" if file.state == "blocked" else "unknown", "store_key": file.store_key,
        }
        for position, file in enumerate(prepared.files)
    ]  # fmt: skip


def mention_rows(
    home: Home, prepared: Prepared, decision: Decision, conversation_id: UUID, at: datetime
) -> list[dict[str, Any]]:
    """Contacts in CC and BCC (G-11)."""
    return [
        {
            "id": new_id(), "created_at": at, "account_id": home.account_id, "contact_id": contact_id,
            "message_id": prepared.message_id, "conversation_id": conversation_id, "field": name,
        }
        for contact_id, name in decision.mentions
    ]  # fmt: skip


def conversation_row(home: Home, prepared: Prepared, contact_id: UUID, at: datetime) -> dict[str, Any]:
    """A conversation that this mail begins; its count is set when the batch is written."""
    facts, row_id = prepared.mail.facts, new_id()
    return {
        "id": row_id, "created_at": at, "account_id": home.account_id, "contact_id": contact_id, "user_id": home.user_id,
        "connection_id": home.connection_id,
        "subject": _seal(prepared.mail.subject, "conversation.subject", home.account_id, row_id), "state": "open",
        "ended_cause": "", "ended_at": None,
        "started_by": "user" if facts.direction is Direction.OUTBOUND else "contact",
        "last_message_at": facts.received_at, "last_direction": facts.direction.value, "message_count": 0,
    }  # fmt: skip


def thread_row(home: Home, thread_id: str, conversation_id: UUID, at: datetime) -> dict[str, Any]:
    """The link from a provider's thread to a conversation that it feeds."""
    return {
        "id": new_id(), "created_at": at, "account_id": home.account_id, "conversation_id": conversation_id,
        "connection_id": home.connection_id, "provider_thread_id": thread_id,
    }  # fmt: skip
