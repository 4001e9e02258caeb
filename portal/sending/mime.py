"""Make the MIME message of an individual mail, by the standard library's SMTP policy, which refuses line breaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, make_msgid
from uuid import UUID

from portal.rules.addresses import Address, domain_key, domain_of
from portal.rules.sending import WIRE_ID, one_line

ID_FIELDS = frozenset({"message-id", "in-reply-to", "references"})
REF_FIELD = "X-CRM-Ref"  # by it a mail is found again at the provider, which rewrites the Message-ID
MAX_SHOWN = 70  # characters of a name: the library folds a longer word of one with an empty line, which ends the head
NEW_FIELD = re.compile(r"\r\n[^ \t]|\r(?!\n)|(?<!\r)\n")


class MailPolicy(EmailPolicy):
    """The SMTP policy, folding between message ids only: the stock one breaks long ids into encoded words.

    A header that became two on the way to text is refused (ValueError), as later versions of the library do by themselves.
    """

    def fold(self, name: str, value: str) -> str:
        """A header as text."""
        if name.lower() in ID_FIELDS:
            return f"{name}: " + f"{self.linesep} ".join(str(value).split()) + self.linesep
        return _single(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        """A header as bytes."""
        if name.lower() in ID_FIELDS:
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
    """Everything that stands in an individual mail."""

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
    """The message as bytes with CRLF lines. Raises ValueError on a header with a line break (NET-3)."""
    message = EmailMessage(policy=POLICY)
    message["From"] = _header_address(mail.sender)
    message["To"] = [_header_address(person) for person in mail.to]
    if mail.cc:
        message["Cc"] = [_header_address(person) for person in mail.cc]
    if mail.bcc:  # the provider takes it out before delivery
        message["Bcc"] = [_header_address(person) for person in mail.bcc]
    if mail.reply_to:
        message["Reply-To"] = _header_address(mail.reply_to)
    message["Subject"] = _literal(mail.subject)
    message["Date"] = format_datetime(mail.written_at)
    message["Message-ID"] = make_msgid(domain=domain_of(mail.sender.key) or "localhost")
    if parent := WIRE_ID.findall(mail.parent_id)[:1]:
        message["In-Reply-To"] = _ascii_ids(parent)
    if references := _ascii_ids(WIRE_ID.findall(mail.references)):
        message["References"] = references
    message[REF_FIELD] = str(mail.crm_ref)
    for name, value in mail.marks:
        message[name] = value
    message.set_content(mail.text.replace("\r\n", "\n").rstrip("\n") + "\n")
    for file in mail.files:
        kind, _, subtype = file.content_type.partition("/")
        if kind in ("message", "multipart") or not subtype:
            kind, subtype = "application", "octet-stream"
        message.add_attachment(file.data, maintype=kind, subtype=subtype, filename=_literal(file.name))
    return message.as_bytes()


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
