"""The form of an individual mail, for new mail, replies and forwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import uuid4

from flask import request
from flask_wtf import FlaskForm
from werkzeug.datastructures import FileStorage
from wtforms import HiddenField, MultipleFileField, SelectMultipleField, StringField, TextAreaField
from wtforms.validators import Length, ValidationError
from wtforms.widgets import HiddenInput

from portal.lib.html import clean_outgoing, is_formatted, text_of
from portal.lib.sniff import content_type, danger, display_name
from portal.rules.addresses import Address
from portal.rules.sending import MAX_FILE_BYTES, is_header_safe, parse_people
from portal.sending.later import LaterFields
from portal.sending.mime import OutgoingFile, OutgoingPicture
from portal.sending.pictures import NotShowable, new_name, outgoing_picture, put_in

MAX_TEXT, MAX_SUBJECT, MAX_PEOPLE, MAX_FILES, MAX_PICTURES = 100_000, 250, 50, 50, 30
MAX_LIST = MAX_PEOPLE * 400  # characters of a list of people: reading a longer one would take seconds
ONE_LINE = "Write it on one line, without control characters. Nothing was sent."
TOO_MANY = f"Write to at most {MAX_PEOPLE} people here."
TOO_LONG = Length(max=MAX_TEXT, message="Use at most 100,000 characters.")
TOO_LARGE = (
    "The files are over 25 MB together, and mailboxes refuse that. Nothing was sent; your text is still here. "
    "Attach less and send again."
)
PICTURE_TYPES = ("image/jpeg", "image/png", "image/gif")
NO_PICTURE = "{name} is no JPEG, PNG or GIF that can stand in a text. Attach it as a file instead. Nothing was sent."
DANGERS = {
    "dangerous": "this kind of file can run a program, and mailboxes refuse it.",
    "disguised": "its content is not what its name says.",
}


class HtmlField(StringField):
    """Formatted text as the editor leaves it. The macro `rich_text` draws it, not the macro `form`."""

    widget = HiddenInput()


class RichTextFields:
    """A text that may be formatted, for any form: without the editor `text` alone counts (S-03).

    What is sent comes from `body` and `clean_html`, never from the fields: HTML is not trusted.
    """

    text = TextAreaField("Text", [TOO_LONG])
    html = HtmlField("Formatted text")

    def validate_text(self, field: TextAreaField) -> None:
        """Something must be written; refuses HTML that is larger or deeper than anyone writes."""
        if (self.html.data or "").strip() and not self._cleaned and text_of(self.html.data).strip():
            raise ValidationError("This is too long, or formatted too deeply, for one mail. Shorten it.")
        if not self.body.strip():
            raise ValidationError("Write something, then send it.")

    @cached_property
    def _cleaned(self) -> str:
        return clean_outgoing(self.html.data or "")

    @property
    def clean_html(self) -> str:
        """The formatted text, safe to send; empty where no formatting was used, so that the mail stays plain."""
        return self._cleaned if is_formatted(self._cleaned) else ""

    @property
    def body(self) -> str:
        """The plain text with line feeds only; of a formatted text the same in words."""
        if self.clean_html:
            return text_of(self.clean_html, own=True)
        return str(self.text.data or "").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


class MailForm(RichTextFields, LaterFields, FlaskForm):
    """What a person writes. `token` makes a second press the same mail; `action` is send, draft, queue or later."""

    token = HiddenField()
    action = StringField()  # the button that was pressed
    to = StringField("To")
    people = SelectMultipleField("CC", validate_choice=False)  # people of the thread that are ticked
    cc = StringField("CC")
    bcc = StringField("BCC")
    subject = StringField("Subject", [Length(max=MAX_SUBJECT, message="Use at most 250 characters.")])
    keep = SelectMultipleField("Files of the original", validate_choice=False)
    files = MultipleFileField("Attach files")
    pictures = MultipleFileField("Pictures in the text")  # the editor fills it; its HTML names them by position

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        """`data` is what the form begins with; once it is sent, only what was sent counts."""
        super().__init__(data=None if request.method == "POST" else data)
        self.attached: tuple[OutgoingFile, ...] = ()
        self.drawn: tuple[OutgoingPicture, ...] = ()
        if not self.is_submitted() or not self.token.data:
            self.token.data = uuid4().hex

    def validate_token(self, field: HiddenField) -> None:
        if not (field.data or "").isalnum() or len(field.data or "") > 64:
            raise ValidationError("This form is damaged. Copy your text, load the page again, then send.")

    def validate_subject(self, field: StringField) -> None:
        if not is_header_safe(field.data or ""):
            raise ValidationError(ONE_LINE)

    def validate_to(self, field: StringField) -> None:
        _check_people(field.data)

    def validate_cc(self, field: StringField) -> None:
        _check_people(field.data)

    def validate_bcc(self, field: StringField) -> None:
        _check_people(field.data)

    def validate_people(self, field: SelectMultipleField) -> None:
        _check_people(", ".join([*(field.data or []), self.cc.data or ""]))  # all who are copied, ticked or typed

    def validate_files(self, field: MultipleFileField) -> None:
        self.attached = tuple(_read(item) for item in _chosen(field.data))
        if len(self.attached) > MAX_FILES:
            raise ValidationError(f"Attach at most {MAX_FILES} files.")
        _check_size(self.attached)
        for file in self.attached:
            if why := danger(file.data, file.name):
                raise ValidationError(f"{file.name}: {DANGERS[why]} Nothing was sent; your text is still here.")

    def validate_pictures(self, field: MultipleFileField) -> None:
        chosen = list(_chosen(field.data))
        if len(chosen) > MAX_PICTURES:
            raise ValidationError(f"Put at most {MAX_PICTURES} pictures into the text; attach the others.")
        self.drawn = tuple(_read_picture(item) for item in chosen)
        if not self.files.errors:
            _check_size((*self.attached, *self.drawn))

    @property
    def wants_draft(self) -> bool:
        return bool(self.action.data == "draft")

    @property
    def copies(self) -> tuple[Address, ...]:
        """Everybody in CC: the ticked people and the typed ones, each once."""
        return parse_people(", ".join([*(self.people.data or []), self.cc.data or ""]))[0]

    @property
    def blind_copies(self) -> tuple[Address, ...]:
        """Everybody in BCC."""
        return parse_people(self.bcc.data or "")[0]

    def letter(self, kept: Mapping[str, OutgoingPicture] | None = None) -> dict[str, Any]:
        """Text, HTML and pictures as they leave; `kept` are pictures of a forwarded mail by the editor's names."""
        offered = {new_name(position): picture for position, picture in enumerate(self.drawn)} | dict(kept or {})
        html, pictures = put_in(self.clean_html, offered)
        return {"text": text_of(html, own=True) if html else self.body, "html": html, "pictures": pictures}

    def as_draft(self) -> dict[str, Any]:
        """The fields to keep as they were typed; files and new pictures are not kept with a draft."""
        kept = {name: self[name].data for name in ("to", "people", "cc", "bcc", "subject")}
        return kept | {"text": self.body[:MAX_TEXT], "html": self.clean_html}


class ReplyForm(MailForm):
    """The form below a conversation."""

    text = TextAreaField("Your reply", [TOO_LONG])


def _check_people(text: str | None) -> None:
    if len(text or "") > MAX_LIST:
        raise ValidationError(TOO_MANY)
    if not is_header_safe(text or ""):
        raise ValidationError(ONE_LINE)
    people, wrong = parse_people(text or "")
    if wrong:
        raise ValidationError(f"“{wrong[0][:80]}” is not an address that mail can go to. Nothing was sent.")
    if len(people) > MAX_PEOPLE:
        raise ValidationError(TOO_MANY)


def _chosen(items: Iterable[Any] | None) -> Iterable[FileStorage]:
    """The files of the field; browsers send an empty one when none was chosen."""
    return (item for item in items or [] if isinstance(item, FileStorage) and item.filename)


def _read(item: FileStorage) -> OutgoingFile:
    if not is_header_safe(item.filename or ""):
        raise ValidationError("A file’s name holds control characters. Rename it. Nothing was sent.")
    data = item.stream.read(MAX_FILE_BYTES + 1)
    name = display_name(item.filename or "")
    return OutgoingFile(name, content_type(data, name), data)


def _read_picture(item: FileStorage) -> OutgoingPicture:
    file = _read(item)
    try:
        if file.content_type not in PICTURE_TYPES:
            raise NotShowable(file.content_type)
        return outgoing_picture(file.name, file.data)
    except NotShowable as error:
        raise ValidationError(NO_PICTURE.format(name=file.name)) from error


def _check_size(parts: Iterable[OutgoingFile | OutgoingPicture]) -> None:
    """Refuse more than 25 MB together (G-13)."""
    if sum(len(part.data) for part in parts) > MAX_FILE_BYTES:
        raise ValidationError(TOO_LARGE)
