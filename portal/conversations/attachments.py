"""Give out files of messages, recorded and harmless (ATT-3, ATT-5)."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from sqlalchemy import select

from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.conversations import store
from portal.conversations.images import NotShowable, shown_picture
from portal.conversations.service import readable
from portal.database import db
from portal.errors import DomainError
from portal.lib.html import clean_html, place_pictures
from portal.lib.sniff import display_name
from portal.models import Attachment, Message, MessageBody
from portal.rules.reasons import FileReason

MAX_PICTURES, MAX_PICTURE_BYTES = 20, 10 * 1024 * 1024  # of one mail, shown inside its text


class FileUnavailable(DomainError):
    """The row stands, the file cannot be given."""

    status: ClassVar[int] = 404
    title: ClassVar[str] = "This file is not here"


@dataclass(frozen=True)
class OpenedFile:
    """A file's bytes, its name for saving, and the media type under which it may be shown ("" when it may not)."""

    data: bytes
    name: str
    shown_as: str = ""


def open_file(attachment_id: UUID, *, shown: bool) -> OpenedFile:
    """A file of the caller's account; `shown` asks for a picture written anew. No audit event, no file.

    Raises NotFound, and FileUnavailable for a file that was left out, blocked, or is gone from the store.
    """
    row = find(Attachment, attachment_id)
    if row.state != "stored":
        raise FileUnavailable(_why(row), cause=f"file_{row.state}")
    try:
        data = store.read(row.account_id, row.id, row.store_key)
    except store.StoreUnavailable as error:
        raise FileUnavailable(FileReason.MISSING.sentence, cause="file_missing") from error
    record(events.ATTACHMENT_READ, row)
    db.session.flush()
    name = display_name(readable(row.name, "attachment.name", row.account_id, row.id))
    if shown:
        with suppress(NotShowable):
            picture, media_type = shown_picture(data)
            return OpenedFile(picture, name, media_type)
    return OpenedFile(data, name)


def _why(row: Attachment) -> str:
    return FileReason(row.reason).sentence if row.reason in set(FileReason) else "It was left out of the CRM."


def open_html(message_id: UUID) -> str:
    """A message's HTML made harmless, with the pictures that came with it inside; none is fetched from elsewhere.

    The frame that shows it has no session, so it can ask for nothing: each picture is part of the document, and its
    reading an audit event of its own. Raises NotFound, and FileUnavailable when nothing can be shown.
    """
    message = find(Message, message_id)
    body = db.session.get(MessageBody, message.id)
    html = readable(body.html, "message_body.html", message.account_id, message.id) if body else ""
    pictures = _inline_pictures(message, html)
    clean = place_pictures(clean_html(html, pictures), pictures)
    if not clean.strip():
        raise FileUnavailable("This mail cannot be shown formatted. Read its text instead.", cause="no_html")
    record(events.CONVERSATION_READ, message, messages=1)
    db.session.flush()
    return clean


def _inline_pictures(message: Message, html: str) -> dict[str, str]:
    """The pictures of the message that its HTML names, written anew, as data addresses by content id, within bounds."""
    query = select(Attachment).where(
        Attachment.message_id == message.id, Attachment.state == "stored", Attachment.content_id != ""
    )
    found: dict[str, str] = {}
    left = MAX_PICTURE_BYTES
    for row in db.session.scalars(query.order_by(Attachment.position)):
        if f"cid:{row.content_id}" not in html or row.size > left or len(found) >= MAX_PICTURES:
            continue
        with suppress(NotShowable, store.StoreUnavailable):
            data, media_type = shown_picture(store.read(row.account_id, row.id, row.store_key))
            found[row.content_id] = f"data:{media_type};base64,{b64encode(data).decode()}"
            left -= row.size
            record(events.ATTACHMENT_READ, row)
    return found
