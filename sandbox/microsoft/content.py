"""What a mail says, as Outlook takes it apart: text and HTML, files, addresses, threading fields."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

import orjson

from sandbox.headers import first_of, values_of
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.mime import from_base64url, part_data, plain_text

_UNSAFE = re.compile(
    r"<(script|iframe|object|embed|form)\b.*?(</\1>|$)|\son\w+\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.S | re.I
)  # fmt: skip
_QUOTE = re.compile(r"^(-{2,} ?Original Message|_{10,}$|>|From: .*|On [^\n]{5,200}wrote:\s*$)", re.M)
_BREAK = re.compile(r"<br\s*/?>|</(p|div|tr|li|h[1-6])>", re.I)
_HTML_QUOTE = re.compile(r'<(div|blockquote)[^>]*(class="gmail_quote|id="(divRplyFwdMsg|appendonsend)|type="cite")', re.I)


@dataclass(slots=True)
class File:
    """An attachment by its description; `part` finds its bytes."""

    part: str
    name: str
    kind: str
    size: int
    inline: bool
    content_id: str


@dataclass(slots=True)
class Content:
    """The readable parts of a mail and its files."""

    text: str | None
    html: str | None
    files: list[File]


def _field(node: dict[str, Any], name: str) -> str:
    return next((str(h["value"]) for h in node["headers"] if h["name"].lower() == name), "")


def _walk(raw: bytes, node: dict[str, Any], found: Content, related: bool) -> None:
    kind, is_mail = node["mimeType"], node["mimeType"].startswith("message/rfc822")
    if node.get("parts") and not is_mail:
        for child in node["parts"]:
            _walk(raw, child, found, related or kind == "multipart/related")
        return
    disposition = _field(node, "content-disposition").lower()
    is_text = kind in ("text/plain", "text/html") and not node["filename"] and not disposition.startswith("attachment")
    slot = kind.rpartition("/")[2].replace("plain", "text")
    if is_text and getattr(found, slot) is None:
        data = node["body"].get("data")
        if data is not None:
            shown = from_base64url(data)
        else:
            part = part_data(raw, node["partId"]) if node["body"]["size"] else None
            shown = part[0] if part else b""
        setattr(found, slot, shown.decode("utf-8", "replace"))
        return
    if not node["body"]["size"] and not node["filename"] and not is_mail:
        return
    content_id = _field(node, "content-id").strip().strip("<>")
    inline = disposition.startswith("inline") or bool(related and content_id)
    found.files.append(File(node["partId"], node["filename"], kind, node["body"]["size"], inline, content_id))


def content_of(message: StoredMessage) -> Content:
    """Text, HTML and files of a message."""
    found = Content(None, None, [])
    _walk(message.raw, orjson.loads(message.parsed.payload_json), found, False)
    return found


def as_html(content: Content, safe: bool) -> str:
    """The body as HTML: made of the text when there is none, without active content when `safe`."""
    if content.html is None:
        inner = html.escape(content.text or "", quote=False).replace("\r\n", "\n").replace("\n", "<br>\r\n")
        return (
            '<html><head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>'
            f'<div class="PlainText">{inner}</div></body></html>'
        )
    return _UNSAFE.sub("", content.html) if safe else content.html


def text_of(markup: str) -> str:
    """HTML as text: a line for each block, no tags."""
    lines = plain_text([("html", _BREAK.sub("\n", markup))]).replace("\xa0", " ").split("\n")
    return "\n".join(" ".join(line.split()) for line in lines).strip()


def as_text(content: Content) -> str:
    """The body as text: made of the HTML when there is none."""
    return content.text if content.text is not None else text_of(content.html or "")


def newest_part(text: str, is_html: bool) -> str:
    """What the sender added above the quoted mail (`uniqueBody`)."""
    match = (_HTML_QUOTE if is_html else _QUOTE).search(text)
    return text[: match.start()].rstrip() if match else text


# addresses and dates -----------------------------------------------------------------------------------------------


def recipients(message: StoredMessage, name: str) -> list[dict[str, Any]]:
    """The addresses of a field as Graph's recipients."""
    values = [value.replace("\r", " ").replace("\n", " ") for value in values_of(message.parsed.headers, name)]
    try:
        pairs = getaddresses(values)
    except (RecursionError, AttributeError, IndexError):
        return []
    return [{"emailAddress": {"name": shown or address, "address": address}} for shown, address in pairs if address]


def sent_at_ms(message: StoredMessage) -> int:
    """The Date field in epoch milliseconds; the arrival when it cannot be read."""
    try:
        return int(parsedate_to_datetime(first_of(message.parsed.headers, "Date")).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError):
        return message.internal_date


def conversation_index(mailbox: Mailbox, message: StoredMessage) -> bytes:
    """The Thread-Index: 22 bytes of the conversation and 5 more for each reply."""
    try:
        own = base64.b64decode(first_of(message.parsed.headers, "Thread-Index"), validate=True)
    except ValueError:
        own = b""
    if len(own) >= 22:
        return own
    root = b"\x01" + hashlib.sha256(mailbox.address.encode() + bytes.fromhex(message.thread_id)).digest()[:21]
    depth = min(len(message.references()), 20)
    return root + b"".join(hashlib.sha256(message.id.encode() + bytes([n])).digest()[:5] for n in range(depth))
