"""A mail taken apart: parts in the shape of Gmail's API, which the views of both providers are made from; snippet, files."""

from __future__ import annotations

import base64
import codecs
import html
import re
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import Any

import orjson

from sandbox.headers import body_offset, decode_value, wire_headers

MAX_DEPTH = 50
INLINE_TEXT_LIMIT = 1_000_000  # larger text parts come by attachmentId, like files
_PLACE = re.compile(rb"@@attachment:([0-9.]*)@@")
_TAG = re.compile(r"<(style|script|head)\b.*?</\1>|<[^>]+>", re.S | re.I)
_PARSER = BytesParser(policy=compat32)


@dataclass(slots=True)
class ParsedMail:
    """What a message costs to parse, kept: decoded headers, the payload as JSON, text for search and snippet."""

    headers: list[tuple[str, str]]
    mime_type: str
    payload_json: bytes
    snippet: str
    text: str
    attachment_names: list[str] = field(default_factory=list)
    part_ids: list[str] = field(default_factory=list)  # parts that are fetched by attachmentId


def base64url(data: bytes) -> str:
    """base64url with padding, as Gmail writes `data` and `raw`."""
    return base64.urlsafe_b64encode(data).decode("ascii")


def from_base64url(text: str) -> bytes:
    """Decodes base64url or base64, padded or not. Raises ValueError on anything else."""
    cleaned = text.replace("+", "-").replace("/", "_").rstrip("=").replace("\n", "").replace("\r", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", cleaned):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(cleaned + "=" * (-len(cleaned) % 4))


def as_utf8(data: bytes, charset: str | None) -> bytes:
    """Text as Gmail hands it out: always UTF-8, whatever the part declares (the MIME headers stay as sent)."""
    try:
        data.decode("utf-8")
        known = (charset or "utf-8").strip().lower()
        if known in ("utf-8", "us-ascii", "ascii", "utf8"):
            return data
        info = codecs.lookup(known)
        if not getattr(info, "_is_text_encoding", True) or "escape" in info.name:
            return data
        return data.decode(known, "replace").encode("utf-8")
    except UnicodeDecodeError:
        return _from_legacy(data, charset)
    except (LookupError, ValueError, UnicodeError):
        return data


def _from_legacy(data: bytes, charset: str | None) -> bytes:
    try:
        return data.decode(charset or "windows-1252", "replace").encode("utf-8", "replace")
    except (LookupError, ValueError, UnicodeError):
        return data.decode("utf-8", "replace").encode("utf-8")


def _payload_bytes(part: Message) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        data = None
    if isinstance(data, bytes):
        return data
    return str(part.get_payload()).encode("utf-8", "surrogateescape")


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError, IndexError):
        return "noname"
    return decode_value("filename", str(name)).encode("utf-8", "replace").decode("utf-8")


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (ValueError, LookupError, TypeError, UnicodeError):
        return None


class _TreeBuilder:
    """Walks a parsed mail once and collects what the API needs."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []
        self.names: list[str] = []
        self.part_ids: list[str] = []

    def node(self, part: Message, part_id: str, headers: list[tuple[str, str]], depth: int) -> dict[str, Any]:
        """The MessagePart of `part` and of all that is inside it."""
        name = _file_name(part)
        node: dict[str, Any] = {
            "partId": part_id,
            "mimeType": part.get_content_type().encode("ascii", "replace").decode(),
            "filename": name,
            "headers": [{"name": key, "value": value} for key, value in headers],
        }
        children = part.get_payload() if part.is_multipart() else None
        if isinstance(children, list) and depth < MAX_DEPTH:
            node["body"] = {"size": 0}
            if part.get_content_maintype() == "message":
                inner = children[0] if children else None
                node["body"] = self._file(part, part_id, inner.as_bytes() if isinstance(inner, Message) else b"", name)
            prefix = f"{part_id}." if part_id else ""
            node["parts"] = [
                self.node(child, f"{prefix}{index}", _part_headers(child), depth + 1)
                for index, child in enumerate(children)
                if isinstance(child, Message)
            ]
        else:
            node["body"] = self._leaf(part, part_id, name)
        return node

    def _leaf(self, part: Message, part_id: str, name: str) -> dict[str, Any]:
        data = b"" if part.is_multipart() else _payload_bytes(part)
        is_text = part.get_content_maintype() == "text" and not name
        if not is_text:
            return self._file(part, part_id, data, name)
        shown = as_utf8(data, _charset(part))
        self.texts.append((part.get_content_subtype(), shown.decode("utf-8", "replace")))
        if len(shown) > INLINE_TEXT_LIMIT:
            return self._file(part, part_id, shown, name)
        return {"size": len(shown), "data": base64url(shown)} if shown else {"size": 0}

    def _file(self, part: Message, part_id: str, data: bytes, name: str) -> dict[str, Any]:
        if name:
            self.names.append(name)
        self.part_ids.append(part_id)
        return {"attachmentId": f"@@attachment:{part_id}@@", "size": len(data)}


def _part_headers(part: Message) -> list[tuple[str, str]]:
    return [
        (key, decode_value(key, re.sub(r"\r?\n[ \t]*", " ", str(value))).encode("utf-8", "replace").decode())
        for key, value in part._headers  # type: ignore[attr-defined]
    ]


def plain_text(texts: list[tuple[str, str]]) -> str:
    """The readable text: the first text/plain part, else the HTML without its tags."""
    for subtype, text in texts:
        if subtype == "plain" and text.strip():
            return text
    for subtype, text in texts:
        if subtype == "html":
            return html.unescape(_TAG.sub(" ", text))
    return ""


def parse_mail(raw: bytes) -> ParsedMail:
    """Parse `raw` as Gmail would show it. Never raises: what cannot be read becomes one plain part."""
    headers = [(name, decode_value(name, value)) for name, value in wire_headers(raw)]
    builder = _TreeBuilder()
    try:
        root = _PARSER.parsebytes(raw)
        node = builder.node(root, "", headers, 0)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, IndexError, KeyError):
        builder = _TreeBuilder()
        shown = as_utf8(raw[body_offset(raw) :], None)
        builder.texts.append(("plain", shown.decode("utf-8", "replace")))
        node = {
            "partId": "", "mimeType": "text/plain", "filename": "",
            "headers": [{"name": key, "value": value} for key, value in headers],
            "body": {"size": len(shown), "data": base64url(shown)},
        }  # fmt: skip
    text = plain_text(builder.texts)
    snippet = html.escape(" ".join(text.split())[:180], quote=True)
    return ParsedMail(headers, node["mimeType"], orjson.dumps(node), snippet, text, builder.names, builder.part_ids)


def fill_attachment_ids(payload_json: bytes, make_id: Any) -> bytes:
    """The payload with an attachmentId made by `make_id(part id)` in each place that wants one."""
    return _PLACE.sub(lambda match: make_id(match.group(1).decode()).encode("ascii"), payload_json)


def part_data(raw: bytes, part_id: str) -> tuple[bytes, str, str] | None:
    """Content, type and file name of the part `part_id` ("" is the whole mail's own body), or None."""
    part: Message = _PARSER.parsebytes(raw)
    for step in part_id.split(".") if part_id else ():
        children = part.get_payload() if part.is_multipart() else None
        if not isinstance(children, list) or int(step) >= len(children):
            return None
        child = children[int(step)]
        if not isinstance(child, Message):
            return None
        part = child
    name = _file_name(part)
    if part.get_content_maintype() == "message" and part.is_multipart():
        inner = [child for child in part.walk() if child is not part][:1]
        return (inner[0].as_bytes() if inner else b""), part.get_content_type(), name
    data = b"" if part.is_multipart() else _payload_bytes(part)
    if part.get_content_maintype() == "text" and not name:
        data = as_utf8(data, _charset(part))
    return data, part.get_content_type(), name
