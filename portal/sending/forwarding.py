"""What a forward carries over from the original: its text under a head, and its files (G-06, S-03)."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import format_datetime
from uuid import UUID

from sqlalchemy import select

from portal.conversations import store
from portal.conversations.queries import contacts_by_key
from portal.conversations.service import message_subject, readable
from portal.conversations.thread import FileView, file_view
from portal.database import db
from portal.lib.html import text_of
from portal.models import Attachment, Contact, Message, MessageBody, Participant
from portal.rules.sending import parse_people
from portal.sending.letters import SendRefused
from portal.sending.mime import OutgoingFile

MARK = "---------- Forwarded message ---------"
MAX_CARRIED = 80_000  # characters of the original's text
CUT = "\n\n[The rest of this mail was left out: it is too long to be forwarded here.]"


def forwarded_text(message: Message) -> str:
    """The original below the mark that mail programs know, with its head."""
    people = list(
        db.session.scalars(
            select(Participant).where(Participant.message_id == message.id).order_by(Participant.position)
        )
    )
    head = [
        MARK,
        f"From: {_names(people, 'from')}",
        f"Date: {format_datetime(message.sent_at)}",
        f"Subject: {message_subject(message)}",
        f"To: {_names(people, 'to')}",
    ]
    if copied := _names(people, "cc"):
        head.append(f"Cc: {copied}")
    text = _text(message)
    return "\n".join([*head, "", text[:MAX_CARRIED] + (CUT if len(text) > MAX_CARRIED else "")])


def _names(people: Iterable[Participant], field: str) -> str:
    return ", ".join(f"{p.name} <{p.email}>" if p.name else p.email for p in people if p.field == field)


def _text(message: Message) -> str:
    body = db.session.get(MessageBody, message.id)
    if body is None:
        return ""
    text = readable(body.text, "message_body.text", message.account_id, message.id)
    html = readable(body.html, "message_body.html", message.account_id, message.id)
    return text if text.strip() or not html else text_of(html)


def recipient(account_id: UUID, text: str) -> Contact | None:
    """The one contact whose primary address was typed; None for anybody else, or for several (G-08)."""
    people, wrong = parse_people(text)
    if wrong or len(people) != 1:
        return None
    return contacts_by_key(account_id, [people[0].key]).get(people[0].key)


def file_choices(message: Message) -> list[FileView]:
    """The files of a message that can be carried over."""
    return [file_view(row) for row in _stored_files(message)]


def _stored_files(message: Message) -> list[Attachment]:
    query = select(Attachment).where(Attachment.message_id == message.id, Attachment.state == "stored")
    return list(db.session.scalars(query.order_by(Attachment.position)))


def carried_files(message: Message, wanted: Iterable[str]) -> tuple[OutgoingFile, ...]:
    """The chosen files of the original. Raises SendRefused when one is no longer in the store."""
    chosen = set(wanted)
    return tuple(_carried(row) for row in _stored_files(message) if str(row.id) in chosen)


def _carried(row: Attachment) -> OutgoingFile:
    name = readable(row.name, "attachment.name", row.account_id, row.id)
    try:
        return OutgoingFile(name, row.content_type, store.read(row.account_id, row.id, row.store_key))
    except store.StoreUnavailable as error:
        raise SendRefused(
            f"{name} could not be read from the store. Leave it out and send again.",
            cause="store_unavailable",
        ) from error
