"""Read the body of a Pub/Sub push: which mailbox it is about, and the notice's own id."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

import orjson

from portal.rules.addresses import match_key

BASE64 = re.compile(r"[A-Za-z0-9_+/-]*={0,2}")


@dataclass(frozen=True)
class PushNotice:
    """A doorbell: the mailbox that changed. The history id it brings is never used as a cursor."""

    mailbox_key: str
    notice_id: str


def read_notice(body: bytes) -> PushNotice | None:
    """The notice, or None for what is none. Google writes the history id as text or number, the data padded or not."""
    try:
        message = orjson.loads(body)["message"]
        data = _json(str(message["data"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    history_id = data.get("historyId")
    if isinstance(history_id, bool) or not str(history_id or "").isdigit():
        return None
    key = match_key(str(data.get("emailAddress") or ""))
    return PushNotice(key, str(message.get("messageId") or message.get("message_id") or "")[:100]) if key else None


def _json(text: str) -> dict[str, Any]:
    """The inner JSON. Raises ValueError."""
    if not BASE64.fullmatch(text):
        raise ValueError("no base64")
    plain = text.replace("+", "-").replace("/", "_").rstrip("=")
    try:
        value = orjson.loads(base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4)))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise ValueError("no JSON") from error
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
