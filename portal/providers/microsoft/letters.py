"""A mail of ours, taken apart for Graph, which wants a reply as properties and files one by one.

What comes in here the portal itself has made (`sending/mime.py`); Python's own parser is good enough for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage, Message, MIMEPart
from email.policy import SMTP
from typing import Any
from uuid import UUID

from portal.providers.errors import Refused
from portal.providers.microsoft.parse import MARK

MAX_RAW = 36_700_160  # Exchange Online takes no larger mail by default
MAX_MIME = 2_900_000  # a request takes 4 MB, and base64 makes a third more of it
MAX_FILE = 2_900_000  # likewise; larger ones go by an upload session
POLICY = SMTP.clone(refold_source="none")  # what stands in it was folded when it was made
WIRE_ID = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Enclosure:
    """A file of a mail that is to be sent; `content_id` where the HTML shows it in place."""

    name: str
    content_type: str
    data: bytes = field(repr=False)
    content_id: str = ""


@dataclass(frozen=True)
class Letter:
    """A mail that is to be sent: its MIME, and what Graph wants to know apart."""

    raw: bytes = field(repr=False)
    message: EmailMessage = field(repr=False)
    parent_id: str
    crm_ref: UUID | None

    @property
    def is_reply(self) -> bool:
        """Whether it names a mail that it answers."""
        return bool(self.parent_id)


def read_letter(raw: bytes) -> Letter:
    """Our MIME, read. Raises Refused (413) for what Graph takes by no way, before it travels."""
    if len(raw) > MAX_RAW:
        raise Refused("larger than Outlook takes", status=413)
    message = message_from_bytes(raw, EmailMessage, policy=POLICY)
    parents = WIRE_ID.findall(str(message.get("In-Reply-To", "")))
    return Letter(raw, message, parents[0] if parents else "", _uuid(str(message.get("X-CRM-Ref", ""))))


def without_files(letter: Letter) -> tuple[bytes, list[Enclosure]] | None:
    """The MIME for one request, and the files that must follow it because the whole is too large.

    None when the rest is, too: pictures that stand in the text are part of it.
    """
    if len(letter.raw) <= MAX_MIME:
        return letter.raw, []
    message = message_from_bytes(letter.raw, EmailMessage, policy=POLICY)
    files = [part for part in message.iter_attachments() if part.is_attachment()] if message.is_multipart() else []
    if files:
        message.set_payload([part for part in message.iter_parts() if not part.is_attachment()])
    rest = message.as_bytes() if files else letter.raw
    return (rest, [_enclosure(part) for part in files]) if len(rest) <= MAX_MIME else None


def properties(letter: Letter) -> dict[str, Any]:
    """A mail as properties of its draft. Raises Refused (413) when its text alone is too large."""
    kind, text = "text", letter.message.get_body(preferencelist=("plain",))
    if html := letter.message.get_body(preferencelist=("html",)):
        kind, text = "html", html
    content = str(text.get_content()) if text is not None else ""
    if len(content.encode()) > MAX_MIME:
        raise Refused("its text is larger than Outlook takes", status=413)
    found = {
        "subject": str(letter.message.get("Subject", "")),
        "body": {"contentType": kind, "content": content},
        "toRecipients": _people(letter, "To"),
        "ccRecipients": _people(letter, "Cc"),
        "bccRecipients": _people(letter, "Bcc"),
        "replyTo": _people(letter, "Reply-To"),
        "internetMessageHeaders": own_headers(letter),
    } | mark(letter)
    return {name: value for name, value in found.items() if value or name not in ("replyTo", "internetMessageHeaders")}


def own_headers(letter: Letter) -> list[dict[str, str]]:
    """The header fields of ours that Graph takes: at most five, each beginning with x-."""
    return [{"name": "x-crm-ref", "value": str(letter.crm_ref)}] if letter.crm_ref else []


def mark(letter: Letter) -> dict[str, Any]:
    """Our reference as a property, by which the mail is found again."""
    if letter.crm_ref is None:
        return {}
    return {"singleValueExtendedProperties": [{"id": MARK, "value": str(letter.crm_ref)}]}


def thread_properties(letter: Letter) -> dict[str, Any]:
    """Our reference, and what the mail replies to: Graph takes these two header fields as properties only."""
    found = mark(letter).get("singleValueExtendedProperties", [])
    for tag, name in (("0x1042", "In-Reply-To"), ("0x1039", "References")):
        if value := " ".join(str(letter.message.get(name, "")).split()):
            found.append({"id": f"String {tag}", "value": value})
    return {"singleValueExtendedProperties": found} if found else {}


def enclosures(letter: Letter) -> list[Enclosure]:
    """Every file, with the pictures that stand in the HTML."""
    return [_enclosure(part) for part in _files(letter.message)]


def _files(message: MIMEPart) -> Iterator[MIMEPart]:
    for part in message.iter_parts() if message.get_content_maintype() == "multipart" else ():
        if part.get_content_disposition():
            yield part
        else:
            yield from _files(part)


def _enclosure(part: MIMEPart) -> Enclosure:
    whole = part.get_payload(0) if part.get_content_type() == "message/rfc822" else None
    data = whole.as_bytes() if isinstance(whole, Message) else part.get_payload(decode=True)
    shown = part.get_content_disposition() == "inline"
    return Enclosure(
        part.get_filename() or "attachment",
        part.get_content_type(),
        data if isinstance(data, bytes) else b"",
        str(part.get("Content-ID", "")).strip("<> ") if shown else "",
    )


def _people(letter: Letter, name: str) -> list[dict[str, Any]]:
    found = letter.message.get(name)
    addresses = found.addresses if found is not None else ()
    return [{"emailAddress": {"address": one.addr_spec, "name": one.display_name or one.addr_spec}} for one in addresses]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
