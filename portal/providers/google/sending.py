"""How a message goes to Gmail: as JSON when small, else by the upload endpoint, which takes up to 35 MiB.

Source: users.messages.send in Gmail's discovery document (maximum size of the upload 36,700,160 bytes).
"""

from __future__ import annotations

import base64
from uuid import uuid4

import orjson

from portal.providers.errors import Refused

SEND_PATH = "/gmail/v1/users/me/messages/send"
UPLOAD_PATH = "/upload/gmail/v1/users/me/messages/send"
MAX_JSON_RAW = 3_500_000  # the JSON endpoint takes 5 MB, and base64 makes a third more of it
MAX_RAW = 36_700_160


def fits_json(raw: bytes) -> bool:
    """Whether a message of this size goes as JSON."""
    return len(raw) <= MAX_JSON_RAW


def refuse_too_large(raw: bytes) -> None:
    """Raises Refused for what Gmail takes by no way, before it travels."""
    if len(raw) > MAX_RAW:
        raise Refused("larger than Gmail takes", status=413)


def build_json(raw: bytes, thread_id: str) -> bytes:
    """The body of a small send."""
    fields = {"raw": base64.urlsafe_b64encode(raw).decode("ascii")}
    return orjson.dumps(fields | ({"threadId": thread_id} if thread_id else {}))


def build_upload(raw: bytes, thread_id: str) -> tuple[bytes, str]:
    """The body of a large send (multipart/related: the thread, then the message) and its content type."""
    boundary = f"mail_{uuid4().hex}"
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode()
        + orjson.dumps({"threadId": thread_id} if thread_id else {})
        + f"\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n".encode()
    )
    return b"".join((head, raw, f"\r\n--{boundary}--\r\n".encode())), f"multipart/related; boundary={boundary}"
