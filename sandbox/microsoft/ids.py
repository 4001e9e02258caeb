"""Ids as Graph hands them out: opaque, case-sensitive; a message has an immutable one and one that changes as it moves.

https://learn.microsoft.com/graph/outlook-immutable-id
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

import orjson

from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors

_IMMUTABLE = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A"
_MUTABLE = "AAMkADYzNGMzOTI4LWJkNzQtNDA0ZAAuAAAA"
_ATTACHMENT = "ABEgAQAB"
_FOLDER = "AQMkADYzNGMzOTI4AC4AAAM"
WELL_KNOWN = {
    "inbox": "INBOX", "sentitems": "SENT", "drafts": "DRAFT", "deleteditems": "TRASH", "junkemail": "SPAM",
    "outbox": "OUTBOX", "archive": "ARCHIVE",
}  # fmt: skip
NAMES = {
    "inbox": "Inbox", "sentitems": "Sent Items", "drafts": "Drafts", "deleteditems": "Deleted Items",
    "junkemail": "Junk Email", "outbox": "Outbox", "archive": "Archive",
}  # fmt: skip
_ORDER = ("trash:deleteditems", "spam:junkemail", "outbox:outbox", "draft:drafts")


def exchange_id() -> str:
    """A Message-ID as Exchange makes them for mail that has none."""
    host = f"BN8PR{secrets.randbelow(90) + 10}MB{secrets.randbelow(9000) + 1000}"
    return f"<{host}{secrets.token_hex(12).upper()}@{host}.namprd12.PROD.OUTLOOK.COM>"


def encoded(data: bytes) -> str:
    """base64url with padding."""
    return base64.urlsafe_b64encode(data).decode()


def decoded(text: str) -> bytes:
    """The bytes of base64url. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def pack(value: Any) -> str:
    """A small value as an opaque token (delta and page links)."""
    return encoded(orjson.dumps(value)).rstrip("=")


def unpack(text: str) -> Any:
    """The value of a token made by `pack`. Raises ValueError."""
    return orjson.loads(decoded(text))


def folder_of(labels: set[str] | frozenset[str]) -> str:
    """The one folder of a message with these labels: a well-known name, or `folder:<name>` of an Inbox rule."""
    for pair in _ORDER:
        label, _, name = pair.partition(":")
        if label.upper() in labels:
            return name
    for label in sorted(labels):
        if label.startswith("FOLDER:"):
            return "folder:" + label.removeprefix("FOLDER:")
    if "SENT" in labels:
        return "sentitems"
    return "inbox" if "INBOX" in labels else "archive"


def folder_id(name: str) -> str:
    """The id of a folder."""
    return _FOLDER + encoded(name.encode())


def folder_named(text: str, mailbox: Mailbox) -> str:
    """The folder that a well-known name or an id means. Raises ApiError (404, 400)."""
    if text.lower() in WELL_KNOWN:
        return text.lower()
    if not text.startswith(_FOLDER):
        raise errors.malformed_id()
    try:
        name = decoded(text.removeprefix(_FOLDER)).decode()
    except ValueError:
        raise errors.malformed_id() from None
    if name not in folders_in(mailbox):
        raise errors.not_found()
    return name


def folders_in(mailbox: Mailbox) -> list[str]:
    """The well-known folders and those that hold something."""
    labels = {label for message in list(mailbox.messages.values()) for label in message.labels}
    own = sorted("folder:" + label.removeprefix("FOLDER:") for label in labels if label.startswith("FOLDER:"))
    return [*WELL_KNOWN, *own]


def folder_label(name: str) -> str:
    """The label that puts a message into the folder."""
    return WELL_KNOWN.get(name) or "FOLDER:" + name.removeprefix("folder:")


# messages ----------------------------------------------------------------------------------------------------------


def _place(message: StoredMessage) -> bytes:
    moves = int(message.extra.get("moves", 0))
    return hashlib.sha256(folder_of(message.labels).encode()).digest()[:3] + moves.to_bytes(2, "big")


def message_id(message: StoredMessage, immutable: bool) -> str:
    """The id of a message; without the Prefer header it names the folder too and dies with a move."""
    if immutable:
        return immutable_id(message.id)
    return _MUTABLE + encoded(bytes.fromhex(message.id) + _place(message) + b"\0")


def immutable_id(number: str) -> str:
    """The immutable id of the message with this number."""
    return _IMMUTABLE + encoded(bytes.fromhex(number))


def gone_id(number: str, immutable: bool) -> str:
    """The id of a message that is no longer there (or no longer in the folder it was read from)."""
    return immutable_id(number) if immutable else _MUTABLE + encoded(bytes.fromhex(number) + bytes(6))


def find_message(mailbox: Mailbox, text: str) -> StoredMessage:
    """The message of an id of either kind. Raises ApiError (404 ErrorItemNotFound, 400 ErrorInvalidIdMalformed)."""
    prefix = _IMMUTABLE if text.startswith(_IMMUTABLE) else _MUTABLE
    try:
        data = decoded(text.removeprefix(prefix)) if text.startswith(prefix) else b""
    except ValueError:
        data = b""
    if len(data) != (8 if prefix == _IMMUTABLE else 14):
        raise errors.malformed_id()
    message = mailbox.messages.get(data[:8].hex())
    if message is None or message_id(message, prefix == _IMMUTABLE) != text:
        raise errors.not_found()
    return message


def conversation_id(mailbox: Mailbox, thread_id: str) -> str:
    """The conversation of a thread, another one in each mailbox."""
    seal = hashlib.sha256(mailbox.address.encode()).digest()[:8]
    return "AAQkADYzNGMzOTI4AC4AEA" + encoded(seal + bytes.fromhex(thread_id))


def attachment_id(message: StoredMessage, part: str) -> str:
    """The id of an attachment."""
    return _IMMUTABLE + _ATTACHMENT + encoded(bytes.fromhex(message.id) + part.encode())


def attachment_part(message: StoredMessage, text: str) -> str:
    """The part that an attachment id means. Raises ApiError (404, 400)."""
    prefix = _IMMUTABLE + _ATTACHMENT
    try:
        data = decoded(text.removeprefix(prefix)) if text.startswith(prefix) else b""
    except ValueError:
        data = b""
    if len(data) < 8:
        raise errors.malformed_id()
    if data[:8].hex() != message.id:
        raise errors.not_found()
    return data[8:].decode("ascii", "replace")
