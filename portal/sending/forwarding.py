"""What a forward carries over from the original: text and HTML under a head, files and pictures (G-06, S-03)."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import format_datetime
from html import escape
from uuid import UUID

from sqlalchemy import select

from portal.conversations import store
from portal.conversations.queries import contacts_by_key
from portal.conversations.service import message_subject, readable
from portal.conversations.thread import FileView, file_view
from portal.database import db
from portal.lib.html import clean_outgoing, picture_ids, place_pictures, text_of
from portal.models import Attachment, Contact, Message, MessageBody, Participant
from portal.rules.sending import parse_people
from portal.sending.letters import SendRefused
from portal.sending.mime import OutgoingFile, OutgoingPicture
from portal.sending.pictures import NotShowable, kept_name, outgoing_picture

MARK = "---------- Forwarded message ---------"
MAX_CARRIED = 80_000  # characters of the original's text
MAX_CARRIED_HTML = 250_000  # a longer one is carried as text only
CUT = "\n\n[The rest of this mail was left out: it is too long to be forwarded here.]"


def forwarded_text(message: Message) -> str:
    """The original below the mark that mail programs know, with its head."""
    text = _text(message)
    return "\n".join([*_head(message), "", text[:MAX_CARRIED] + (CUT if len(text) > MAX_CARRIED else "")])


def forwarded_html(message: Message) -> str:
    """The original's HTML made harmless, below the same mark; "" where it has none, or one too large to carry.

    Its pictures are named as the editor names them; what it wanted loaded from elsewhere is left out.
    """
    rows = {row.content_id: row for row in _stored_files(message) if row.content_id}
    clean = clean_outgoing(_html(message))
    names = {cid: f"cid:{kept_name(rows[cid].id)}" for cid in picture_ids(clean) if cid in rows}
    clean = place_pictures(clean, names)
    if not clean.strip() or len(clean) > MAX_CARRIED_HTML:
        return ""
    head = "".join(f"<div>{escape(line)}</div>" for line in _head(message))
    return f"<div><br></div><div><br></div>{head}<div><br></div>{clean}"


def _head(message: Message) -> list[str]:
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
    ]
    for label, field in (("To", "to"), ("Cc", "cc")):
        if names := _names(people, field):  # an answer to the conversation's own address names nobody in To
            head.append(f"{label}: {names}")
    return head


def _names(people: Iterable[Participant], field: str) -> str:
    return ", ".join(f"{p.name} <{p.email}>" if p.name else p.email for p in people if p.field == field)


def _text(message: Message) -> str:
    body = db.session.get(MessageBody, message.id)
    if body is None:
        return ""
    text = readable(body.text, "message_body.text", message.account_id, message.id)
    return text if text.strip() else text_of(_html(message))


def _html(message: Message) -> str:
    body = db.session.get(MessageBody, message.id)
    return readable(body.html, "message_body.html", message.account_id, message.id) if body else ""


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


def picture_choices(message: Message) -> dict[str, UUID]:
    """The files of a message that its HTML may show, by the names that the editor gives them."""
    rows = [row for row in _stored_files(message) if row.content_id and row.content_type.startswith("image/")]
    return {kept_name(row.id): row.id for row in rows}


def carried(
    message: Message, wanted: Iterable[str], html: str
) -> tuple[tuple[OutgoingFile, ...], dict[str, OutgoingPicture]]:
    """The chosen files of the original, and its pictures that stand in `html`, which are no files then.

    Raises SendRefused when one is no longer in the store.
    """
    chosen, shown = set(wanted), set(picture_ids(html))
    files, pictures = [], {}
    for row in _stored_files(message):
        if kept_name(row.id) in shown and (picture := _as_picture(row)):
            pictures[kept_name(row.id)] = picture
        elif str(row.id) in chosen:
            files.append(_carried(row))
    return tuple(files), pictures


def _as_picture(row: Attachment) -> OutgoingPicture | None:
    file = _carried(row)
    try:
        return outgoing_picture(file.name, file.data)
    except NotShowable:
        return None


def _carried(row: Attachment) -> OutgoingFile:
    name = readable(row.name, "attachment.name", row.account_id, row.id)
    try:
        return OutgoingFile(name, row.content_type, store.read(row.account_id, row.id, row.store_key))
    except store.StoreUnavailable as error:
        raise SendRefused(
            f"{name} could not be read from the store. Leave it out and send again.",
            cause="store_unavailable",
        ) from error
