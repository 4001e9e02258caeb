"""messages.get in its four formats, threads.get, attachments.get."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import orjson

from sandbox.google import errors
from sandbox.headers import wire_headers
from sandbox.http import Response, json_response
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.mime import base64url, fill_attachment_ids, part_data
from sandbox.state import World

FORMATS = ("minimal", "full", "raw", "metadata")


def attachment_id(part_id: str) -> str:
    """A new id for a part. As with Gmail no two gets give the same one, and each stays good."""
    inner = f"{part_id}|{secrets.token_hex(18)}".encode()
    return "ANGjdJ" + base64.urlsafe_b64encode(inner).decode().rstrip("=")


def part_of_attachment_id(text: str) -> str | None:
    """The part an attachmentId stands for, or None."""
    if not text.startswith("ANGjdJ"):
        return None
    inner = text.removeprefix("ANGjdJ")
    try:
        part_id, _, nonce = base64.urlsafe_b64decode(inner + "=" * (-len(inner) % 4)).decode().partition("|")
    except ValueError:
        return None
    return part_id if len(nonce) == 36 else None


def _headers(world: World, message: StoredMessage) -> list[tuple[str, str]]:
    return wire_headers(message.raw) if world.knobs.encoded_headers else message.parsed.headers


def _metadata(world: World, message: StoredMessage, wanted: list[str]) -> bytes:
    names = {name.lower() for name in wanted}
    headers = [
        {"name": name, "value": value} for name, value in _headers(world, message) if not names or name.lower() in names
    ]
    return orjson.dumps({"mimeType": message.parsed.mime_type, "headers": headers})


def _full(world: World, message: StoredMessage) -> bytes:
    payload = message.parsed.payload_json
    if world.knobs.encoded_headers:
        tree = orjson.loads(payload)
        tree["headers"] = [{"name": name, "value": value} for name, value in wire_headers(message.raw)]
        payload = orjson.dumps(tree)
    return fill_attachment_ids(payload, attachment_id) if message.parsed.part_ids else payload


def render(world: World, message: StoredMessage, form: str, wanted: list[str]) -> bytes:
    """The Message resource as JSON bytes."""
    outer: dict[str, Any] = {"id": message.id, "threadId": message.thread_id}
    if message.labels:
        outer["labelIds"] = sorted(message.labels)
    outer |= {
        "snippet": message.parsed.snippet,
        "historyId": str(message.history_id),
        "internalDate": str(message.internal_date),
        "sizeEstimate": len(message.raw),
    }
    head = orjson.dumps(outer)
    if form == "minimal":
        return head
    if form == "raw":
        return head[:-1] + b',"raw":"' + base64url(message.raw).encode() + b'"}'
    payload = _full(world, message) if form == "full" else _metadata(world, message, wanted)
    return head[:-1] + b',"payload":' + payload + b"}"


def checked_format(form: str, metadata_only: bool, allowed: tuple[str, ...] = FORMATS) -> str:
    """The asked format, `full` by default. Raises ApiError where a metadata token asks for more."""
    form = form or "full"
    if form not in allowed:
        raise errors.invalid_argument(f"Invalid value at 'format' (type.googleapis.com/Format), \"{form}\"")
    if metadata_only and form in ("full", "raw"):
        raise errors.fail(403, f"Metadata scope doesn't allow format {form.upper()}", "forbidden")
    return form


def get_message(world: World, mailbox: Mailbox, message_id: str, form: str, wanted: list[str]) -> Response:
    """messages.get. Raises ApiError (404) for an unknown id."""
    message = mailbox.messages.get(message_id.lower())
    if message is None:
        if not message_id or len(message_id) > 20 or not all(c in "0123456789abcdefABCDEF" for c in message_id):
            raise errors.invalid_argument("Invalid id value")
        raise errors.not_found()
    return json_response(render(world, message, form, wanted))


def get_thread(world: World, mailbox: Mailbox, thread_id: str, form: str, wanted: list[str]) -> Response:
    """threads.get: the thread with its messages, oldest first. Raises ApiError (404)."""
    with world.lock:
        members = [mailbox.messages[mid] for mid in mailbox.threads.get(thread_id, [])]
    if not members:
        raise errors.not_found()
    members.sort(key=lambda message: (message.internal_date, message.id))
    rendered = b",".join(render(world, message, form, wanted) for message in members)
    newest = max(message.history_id for message in members)
    head = orjson.dumps({"id": thread_id, "snippet": members[-1].parsed.snippet, "historyId": str(newest)})
    return json_response(head[:-1] + b',"messages":[' + rendered + b"]}")


def get_attachment(mailbox: Mailbox, message_id: str, text: str) -> Response:
    """attachments.get. Raises ApiError (404 or 400)."""
    message = mailbox.messages.get(message_id)
    if message is None:
        raise errors.not_found()
    part_id = part_of_attachment_id(text)
    if part_id is None or part_id not in message.parsed.part_ids:
        raise errors.invalid_argument("Invalid attachment token")
    found = part_data(message.raw, part_id)
    if found is None:
        raise errors.not_found()
    return json_response({"size": len(found[0]), "data": base64url(found[0])})
