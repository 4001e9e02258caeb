"""Messages as Gmail's JSON, made from raw mail by the stand-in's own reader or written by hand."""

from __future__ import annotations

import base64
import time
from typing import Any

import orjson

from portal.providers.google.parse import facts_of, mail_of
from portal.providers.headers import HEADER_NAMES
from portal.rules.facts import MailFacts
from sandbox.google.messages import attachment_id
from sandbox.mime import fill_attachment_ids, parse_mail

OWN = frozenset({"amy@practice.example"})
NOW_MS = 1_795_000_000_000


def shown(raw: bytes, *labels: str, whole: bool = True, **outer: Any) -> dict[str, Any]:
    """A raw mail as users.messages.get shows it; `whole=False` is the metadata format with the headers we ask for."""
    parsed = parse_mail(raw)
    payload = orjson.loads(fill_attachment_ids(parsed.payload_json, attachment_id))
    if not whole:
        wanted = {name.lower() for name in HEADER_NAMES}
        payload = {"headers": [h for h in payload["headers"] if h["name"].lower() in wanted]}
    return message(payload, *labels, sizeEstimate=len(raw), **outer)


def message(payload: dict[str, Any], *labels: str, **outer: Any) -> dict[str, Any]:
    """The outer resource around a payload."""
    return {
        "id": "1a", "threadId": "1a", "labelIds": list(labels or ("INBOX",)), "internalDate": str(NOW_MS), "payload": payload,
        **outer,
    }  # fmt: skip


def headers(**fields: str) -> list[dict[str, str]]:
    """Header fields by name (`Message_ID`)."""
    return [{"name": name.replace("_", "-"), "value": value} for name, value in fields.items()]


def part(mime: str, content: bytes | str, *, filename: str = "", **fields: str) -> dict[str, Any]:
    """A leaf with its content along."""
    data = content.encode() if isinstance(content, str) else content
    body = {"size": len(data), "data": base64.urlsafe_b64encode(data).decode()}
    return {"mimeType": mime, "filename": filename, "headers": headers(**fields), "body": body}


def mime(*lines: str, body: str = "Good morning") -> bytes:
    """A mail of the given header lines; From and To are added where they are missing."""
    names = {line.partition(":")[0].lower() for line in lines}
    usual = [
        line
        for line in ("From: pat@gmail.com", "To: amy@practice.example")
        if line[:2].lower() not in {n[:2] for n in names}
    ]
    return "\r\n".join([*usual, *lines, "", body, ""]).encode("utf-8", "surrogateescape")


def facts(raw: bytes, *labels: str) -> MailFacts:
    """The facts from the headers alone; the whole mail must tell the same."""
    headers_only = shown(raw, *labels, whole=False)
    started = time.perf_counter()
    found = facts_of(headers_only, OWN)
    assert time.perf_counter() - started < 10
    assert mail_of(shown(raw, *labels), OWN).facts == found
    return found


def from_headers(*pairs: tuple[str, str]) -> MailFacts:
    return facts_of(message({"headers": [{"name": name, "value": value} for name, value in pairs]}), OWN)
