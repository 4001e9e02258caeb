"""A message as Graph shows it: its properties, `$select`, extended properties, the Prefer header."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.headers import first_of, wire_headers
from sandbox.http import Request
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.content import (
    Content,
    as_html,
    as_text,
    content_of,
    conversation_index,
    newest_part,
    recipients,
    sent_at_ms,
)  # fmt: skip

# What a GET answers without $select; the rest of the resource comes only when it is named.
DEFAULT = (
    "createdDateTime lastModifiedDateTime changeKey categories receivedDateTime sentDateTime hasAttachments "
    "internetMessageId subject bodyPreview importance parentFolderId conversationId conversationIndex "
    "isDeliveryReceiptRequested isReadReceiptRequested isRead isDraft webLink inferenceClassification body sender "
    "from toRecipients ccRecipients bccRecipients replyTo flag"
).split()
ON_REQUEST = ("internetMessageHeaders", "uniqueBody")
_NAVIGATION = ("singleValueExtendedProperties", "attachments")
INTERNET_HEADERS = "00020386-0000-0000-c000-000000000046"  # PS_INTERNET_HEADERS: a named property that is a header
_TAGS = {"0x1035": "Message-ID", "0x1039": "References", "0x1042": "In-Reply-To", "0x0037": "Subject"}
_PROPERTY = re.compile(r"^String (?:\{([0-9a-fA-F-]{36})\} Name (.+)|(0x[0-9a-fA-F]{1,4}))$")
_EXPANDED = re.compile(r"^singleValueExtendedProperties\(\s*\$filter=(.+)\)$", re.S)
_WANTED = re.compile(r"id eq '((?:[^']|'')+)'")


@dataclass(frozen=True)
class Prefer:
    """The Prefer header, which may come in one or several values."""

    immutable: bool = False
    text: bool = False
    unsafe: bool = False
    page: int | None = None

    @classmethod
    def of(cls, request: Request) -> Prefer:
        """What the call prefers."""
        given = request.headers.get("prefer", "").lower()
        page = re.search(r"odata\.maxpagesize=(\d+)", given)
        return cls(
            bool(re.search(r'idtype\s*=\s*"immutableid"', given)),
            bool(re.search(r'outlook\.body-content-type\s*=\s*"text"', given)),
            "outlook.allow-unsafe-html" in given, int(page.group(1)) if page else None,
        )  # fmt: skip


def iso(ms: int) -> str:
    """A moment as Outlook shows it: whole seconds, Z."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# extended properties -------------------------------------------------------------------------------------------------


def property_header(name: str) -> str | None:
    """The header that an extended property stands for; None when it is one of its own. Raises ApiError (400)."""
    match = _PROPERTY.match(name)
    if match is None:
        raise errors.fail(400, "ErrorInvalidProperty", f"The property id '{name}' is not valid.")
    space, own, tag = match.groups()
    if tag:
        return _TAGS.get(tag.lower())
    return str(own) if space.lower() == INTERNET_HEADERS else None


def property_value(message: StoredMessage, name: str) -> str | None:
    """The value of an extended property, or None when the message has it not."""
    header = property_header(name)
    if header is not None:
        return first_of(wire_headers(message.raw), header) or None
    kept: dict[str, str] = message.extra.get("properties", {})
    return kept.get(name.lower())


def expanded(request: Request) -> list[str]:
    """The extended properties that `$expand` asks for. Raises ApiError (400)."""
    text = request.first("$expand")
    if not text:
        return []
    match = _EXPANDED.match(text.strip())
    if match is None:
        raise errors.bad_query(f"Parsing OData Select and Expand failed: {text[:80]}")
    return [name.replace("''", "'") for name in _WANTED.findall(match.group(1))]


def selected(request: Request) -> list[str]:
    """The properties that the call wants. Raises ApiError (400) for one that messages do not have."""
    text = request.first("$select")
    if not text:
        return list(DEFAULT)
    known = {name.lower(): name for name in (*DEFAULT, *ON_REQUEST, *_NAVIGATION, "id")}
    found = []
    for name in (part.strip() for part in text.split(",")):
        if name.lower() not in known:
            raise errors.bad_query(
                f"Parsing OData Select and Expand failed: Could not find a property named '{name}' on type "
                "'microsoft.graph.message'."
            )
        found.append(known[name.lower()])
    return found


# the resource --------------------------------------------------------------------------------------------------------


class Shown:
    """One message, its properties made when asked for."""

    def __init__(self, mailbox: Mailbox, message: StoredMessage, prefer: Prefer) -> None:
        self.mailbox, self.message, self.prefer = mailbox, message, prefer
        self._content: Content | None = None

    @property
    def content(self) -> Content:
        """The mail taken apart, once."""
        self._content = self._content or content_of(self.message)
        return self._content

    def body(self, unique: bool = False) -> dict[str, str]:
        """`body` or `uniqueBody`."""
        if self.prefer.text:
            text = as_text(self.content)
            return {"contentType": "text", "content": newest_part(text, False) if unique else text}
        text = as_html(self.content, not self.prefer.unsafe)
        return {"contentType": "html", "content": newest_part(text, True) if unique else text}

    def sender(self, name: str) -> dict[str, Any] | None:
        """`from` or `sender`; a draft has its owner."""
        found = recipients(self.message, name) or recipients(self.message, "From")
        return found[0] if found else None

    def value(self, name: str) -> Any:
        """The property `name`, or None."""
        message, labels = self.message, self.message.labels
        match name:
            case "createdDateTime" | "receivedDateTime" | "lastModifiedDateTime":
                return iso(message.internal_date)
            case "sentDateTime":
                return iso(sent_at_ms(message))
            case "hasAttachments":
                return any(not file.inline for file in self.content.files)
            case "isDraft":
                return bool(labels & {"DRAFT", "OUTBOX"})
            case "isRead":
                return "UNREAD" not in labels
            case "parentFolderId":
                return ids.folder_id(ids.folder_of(labels))
            case "conversationId":
                return ids.conversation_id(self.mailbox, message.thread_id)
            case "conversationIndex":
                return base64.b64encode(conversation_index(self.mailbox, message)).decode()
            case "body" | "uniqueBody":
                return self.body(name == "uniqueBody")
            case "bodyPreview":
                return " ".join(as_text(self.content).split())[:255]
            case "from" | "sender":
                return self.sender(name.title())
        return self._field(name)

    def _field(self, name: str) -> Any:
        message, extra = self.message, self.message.extra
        match name:
            case "changeKey":
                return ids.encoded(message.history_id.to_bytes(12, "big"))
            case "internetMessageId":
                return message.internet_message_id or None
            case "subject":
                return message.subject
            case "toRecipients" | "ccRecipients" | "bccRecipients":
                return recipients(message, name[:-10])
            case "replyTo":
                return recipients(message, "Reply-To")
            case "internetMessageHeaders":
                return [{"name": key, "value": value} for key, value in message.parsed.headers]
            case "importance":
                return extra.get("importance", "normal")
            case "categories":
                return extra.get("categories", [])
            case "flag":
                return {"flagStatus": "notFlagged"}
            case "inferenceClassification":
                return "focused"
            case "webLink":
                return f"https://outlook.office365.com/owa/?ItemID={message.id}&exvsurl=1&viewmodel=ReadMessageItem"
            case "isDeliveryReceiptRequested" | "isReadReceiptRequested":
                return False
        return None

    def resource(self, wanted: list[str], properties: list[str] | None = None) -> dict[str, Any]:
        """The resource with the wanted properties, its id and etag always."""
        made: dict[str, Any] = {
            "@odata.etag": f'W/"{self.value("changeKey")}"', "id": ids.message_id(self.message, self.prefer.immutable),
        }  # fmt: skip
        for name in wanted:
            if name not in ("id", *_NAVIGATION):
                made[name] = self.value(name)
        found = [{"id": name, "value": property_value(self.message, name)} for name in properties or ()]
        if any(row["value"] is not None for row in found):
            made["singleValueExtendedProperties"] = [row for row in found if row["value"] is not None]
        return made
