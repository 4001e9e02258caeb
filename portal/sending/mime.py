"""Make the MIME message of a mail, by the standard library's SMTP policy, which refuses line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, make_msgid
from uuid import UUID

from portal.rules.addresses import Address, domain_key, domain_of
from portal.rules.sending import WIRE_ID, one_line

LITERAL_FIELDS = frozenset(
    {"message-id", "in-reply-to", "references", "content-id", "list-unsubscribe", "list-unsubscribe-post"}
)
REF_FIELD = "X-CRM-Ref"  # by it a mail is found again at the provider, which rewrites the Message-ID
MAX_SHOWN = 70  # characters of a name: the library folds a longer word of one with an empty line, which ends the head
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
DOCUMENT = '<!doctype html>\n<html><head><meta charset="utf-8"></head><body>\n{}\n</body></html>\n'
FROM_FIELD = re.compile(rb"^From: [^\r\n]*(?:\r\n[ \t][^\r\n]*)*", re.MULTILINE)
NEW_FIELD = re.compile(r"\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n")


class MailPolicy(EmailPolicy):
    """The SMTP policy, folding ids and addresses of pages between them only: the stock one makes encoded words of long ones.

    A header that became two on the way to text is refused (ValueError), as later versions of the library do by themselves.
    """

    def fold(self, name: str, value: str) -> str:
        """A header as text."""
        if name.lower() in LITERAL_FIELDS:
            return f"{name}: " + f"{self.linesep} ".join(str(value).split()) + self.linesep
        return _single(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        """A header as bytes."""
        if name.lower() in LITERAL_FIELDS:
            return self.fold(name, value).encode("ascii")
        folded = super().fold_binary(name, value)
        _single(folded.decode("latin-1"))
        return folded


def _single(folded: str) -> str:
    if NEW_FIELD.search(folded.removesuffix("\r\n")):
        raise ValueError("a header holds a line break")
    return folded


POLICY = MailPolicy(linesep="\r\n", cte_type="7bit")


@dataclass(frozen=True)
class OutgoingFile:
    """A file to attach: a safe name, the sniffed type, its bytes."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class OutgoingPicture:
    """A picture that stands in the HTML text, named there by its content id."""

    content_id: str
    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class OutgoingMail:
    """Everything that stands in a mail."""

    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str
    crm_ref: UUID
    written_at: datetime
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    html: str = ""  # clean; pictures in it are "cid:CONTENT_ID"
    pictures: tuple[OutgoingPicture, ...] = ()
    files: tuple[OutgoingFile, ...] = ()
    reply_to: Address | None = None
    marks: tuple[tuple[str, str], ...] = ()  # further fields, such as List-Unsubscribe
    parent_id: str = ""  # the wire id replied to
    references: str = ""


def build_mime(mail: OutgoingMail) -> bytes:
    """The message as bytes with CRLF lines. Raises ValueError on a header with a line break (NET-3).

    Plain text alone is text/plain; with HTML the two are alternatives, its pictures stand beside the HTML (RFC 2387),
    files come after both.
    """
    message = EmailMessage(policy=POLICY)
    for name, value in head_fields(mail):
        message[name] = value
    message.set_content(mail.text.replace("\r\n", "\n").rstrip("\n") + "\n")
    if mail.html:
        _add_html(message, mail)
    for file in mail.files:
        kind, subtype = _media_type(file.content_type)
        message.add_attachment(file.data, maintype=kind, subtype=subtype, filename=_literal(file.name))
    return message.as_bytes()


def head_fields(mail: OutgoingMail) -> Iterator[tuple[str, str | list[HeaderAddress]]]:
    """The fields of the head in their order, not folded yet. Raises ValueError on an address with a line break (NET-3)."""
    yield "From", [_header_address(mail.sender)]
    yield "To", [_header_address(person) for person in mail.to]
    if mail.cc:
        yield "Cc", [_header_address(person) for person in mail.cc]
    if mail.bcc:  # the provider takes it out before delivery
        yield "Bcc", [_header_address(person) for person in mail.bcc]
    if mail.reply_to:
        yield "Reply-To", [_header_address(mail.reply_to)]
    yield "Subject", _literal(mail.subject)
    yield "Date", format_datetime(mail.written_at)
    yield "Message-ID", make_msgid(domain=domain_of(mail.sender.key) or "localhost")
    if parent := WIRE_ID.findall(mail.parent_id)[:1]:
        yield "In-Reply-To", _ascii_ids(parent)
    if references := _ascii_ids(WIRE_ID.findall(mail.references)):
        yield "References", references
    yield REF_FIELD, str(mail.crm_ref)
    for name, value in mail.marks:
        if not FIELD_NAME.fullmatch(name):
            raise ValueError("no name of a header field")
        yield name, value


def _add_html(message: EmailMessage, mail: OutgoingMail) -> None:
    """The HTML after the text, which it says better (RFC 2046 5.1.4), and the pictures that it names."""
    message.add_alternative(DOCUMENT.format(mail.html.replace("\r\n", "\n")), subtype="html")
    (*_, page) = message.iter_parts()
    for picture in mail.pictures:
        kind, subtype = _media_type(picture.content_type)
        name, cid = _literal(picture.name), f"<{picture.content_id}>"
        page.add_related(picture.data, kind, subtype, cid=cid, filename=name, disposition="inline")


def _media_type(content_type: str) -> tuple[str, str]:
    kind, _, subtype = content_type.partition("/")
    return (kind, subtype) if subtype and kind not in ("message", "multipart") else ("application", "octet-stream")


def with_sender(raw: bytes, sender: Address) -> bytes:
    """A message of `build_mime` with another address in From."""
    only = EmailMessage(policy=POLICY)
    only["From"] = _header_address(sender)
    field = only.as_bytes().rstrip(b"\r\n")
    head, gap, body = raw.partition(b"\r\n\r\n")
    return FROM_FIELD.sub(lambda _: field, head, count=1) + gap + body


def message_id_of(raw: bytes) -> str:
    """The Message-ID that `build_mime` gave; Gmail replaces it by its own."""
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii", "replace")
    line = next((line for line in head.split("\r\n") if line.lower().startswith("message-id:")), "")
    return "".join(WIRE_ID.findall(line)[:1])


def _header_address(person: Address) -> HeaderAddress:
    local, _, domain = person.email.strip().rpartition("@")
    name = _literal(one_line(person.name))[:MAX_SHOWN]
    return HeaderAddress(display_name=name, username=local.strip('"'), domain=domain_key(domain))


def _literal(text: str) -> str:
    """A text that means itself in a header. The library would decode what looks like an encoded word, and write the line
    break that it may hold as one: a stranger's subject would then address our answer (CVE-2024-6923)."""
    return text.replace("=?", "= ?")


def _ascii_ids(ids: list[str]) -> str:
    return " ".join(found for found in ids if found.isascii() and len(found) < 990)
