"""messages.list with its search language, and history.list with its pages and floor."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sandbox.google import errors
from sandbox.headers import first_of, values_of
from sandbox.http import Request, Response, json_response
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.state import World

HISTORY_TYPES = ("messageAdded", "messageDeleted", "labelAdded", "labelRemoved")
_TERM = re.compile(r'(-?)(?:([a-z0-9_]+):)?(?:"([^"]*)"|([^\s"]+))', re.I)
_DATE = re.compile(r"^(\d{4})[/-](\d{1,2})[/-](\d{1,2})$")
Test = Callable[[StoredMessage], bool]


def _limit(request: Request, default: int) -> int:
    text = request.first("maxResults")
    if not text:
        return default
    if not text.isdigit() or not 1 <= int(text) <= 500:
        raise errors.invalid_argument(f"Invalid maxResults value: {text}")
    return int(text)


def _page_token(kind: str, value: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{value}".encode()).decode().rstrip("=")


def _page_start(kind: str, text: str) -> int:
    if not text:
        return 0
    try:
        known, _, value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        if known != kind:
            raise ValueError
        return int(value)
    except ValueError:
        raise errors.invalid_argument("Invalid pageToken") from None


# search ------------------------------------------------------------------------------------------------------------


def _epoch_ms(value: str) -> int:
    """`after:` and `before:` take epoch seconds, or a date that means midnight Pacific (here without summer time)."""
    match = _DATE.match(value)
    if match:
        year, month, day = (int(part) for part in match.groups())
        return int(datetime(year, month, day, 8, tzinfo=UTC).timestamp() * 1000)
    return int(value) * 1000 if value.isdigit() else 0


def _in_headers(names: tuple[str, ...], value: str) -> Test:
    wanted = value.lower()
    return lambda m: any(wanted in v.lower() for n in names for v in values_of(m.parsed.headers, n))


def _labelled(value: str) -> Test:
    label = {"drafts": "DRAFT", "draft": "DRAFT", "sent": "SENT"}.get(value.lower(), value.upper())
    return (lambda m: True) if label == "ANYWHERE" else (lambda m: label in m.labels)


def _term(operator: str, value: str) -> Test:
    match operator.lower():
        case "in" | "label" | "is":
            if value.lower() == "read":
                return lambda m: "UNREAD" not in m.labels
            return _labelled(value)
        case "after" | "newer":
            floor = _epoch_ms(value)
            return lambda m: m.internal_date >= floor
        case "before" | "older":
            ceiling = _epoch_ms(value)
            return lambda m: m.internal_date < ceiling
        case "rfc822msgid":
            wanted = value.strip("<>")
            return lambda m: m.internet_message_id.strip("<>") == wanted
        case "from" | "to" | "cc" | "bcc" | "subject":
            names = ("To", "Cc", "Bcc") if operator.lower() == "to" else (operator,)
            return _in_headers(names, value)
        case "has":
            return lambda m: bool(m.parsed.attachment_names)
        case "filename":
            return lambda m: any(value.lower() in name.lower() for name in m.parsed.attachment_names)
    word = (f"{operator}:{value}" if operator else value).lower()
    return lambda m: word in m.subject.lower() or word in m.parsed.text.lower() or word in _people(m)


def _people(message: StoredMessage) -> str:
    return " ".join(first_of(message.parsed.headers, name) for name in ("From", "To", "Cc")).lower()


def matcher(query: str) -> Test:
    """A test for the search `query` (the operators of Gmail's search box that programs use)."""
    tests: list[Test] = []
    for sign, operator, quoted, word in _TERM.findall(query):
        test = _term(operator or "", quoted or word)
        tests.append((lambda m, t=test: not t(m)) if sign else test)  # type: ignore[misc]
    return lambda message: all(test(message) for test in tests)


def _shows_hidden(query: str) -> bool:
    return bool(re.search(r"\bin:(spam|trash|anywhere)\b", query, re.I))


def list_messages(world: World, mailbox: Mailbox, request: Request, metadata_only: bool) -> Response:
    """messages.list, newest first. Raises ApiError for bad parameters and for `q` under a metadata token."""
    query = request.first("q")
    if query and metadata_only:
        raise errors.fail(403, "Metadata scope does not support 'q' parameter", "forbidden")
    limit, start = _limit(request, 100), _page_start("m", request.first("pageToken"))
    wanted = set(request.query.get("labelIds", ()))
    hidden = request.first("includeSpamTrash").lower() == "true" or _shows_hidden(query)
    hidden = hidden or bool(wanted & {"SPAM", "TRASH"})
    test = matcher(query)
    with world.lock:
        found = [
            message
            for message in mailbox.by_date()
            if (hidden or not message.labels & {"SPAM", "TRASH"}) and wanted <= message.labels and test(message)
        ]
    page = found[start : start + limit]
    answer: dict[str, Any] = {}
    if page:
        answer["messages"] = [{"id": message.id, "threadId": message.thread_id} for message in page]
    if start + limit < len(found):
        answer["nextPageToken"] = _page_token("m", start + limit)
    answer["resultSizeEstimate"] = min(len(found), 201) if answer.get("nextPageToken") else len(found)
    return json_response(answer)


# history -----------------------------------------------------------------------------------------------------------


def _history_item(mailbox: Mailbox, entry: HistoryEntry) -> dict[str, Any]:
    short = {"id": entry.message_id, "threadId": entry.thread_id}
    message = mailbox.messages.get(entry.message_id)
    labels = sorted(message.labels) if message else list(entry.labels)
    change: dict[str, Any] = {"message": {**short, "labelIds": labels} if labels else short}
    if entry.kind.startswith("label"):
        change["labelIds"] = list(entry.labels)
    key = {
        "messageAdded": "messagesAdded", "messageDeleted": "messagesDeleted",
        "labelAdded": "labelsAdded", "labelRemoved": "labelsRemoved",
    }[entry.kind]  # fmt: skip
    return {"id": str(entry.id), "messages": [short], key: [change]}


def _selected(mailbox: Mailbox, request: Request, start_id: int) -> list[HistoryEntry]:
    kinds = request.query.get("historyTypes") or list(HISTORY_TYPES)
    unknown = [kind for kind in kinds if kind not in HISTORY_TYPES]
    if unknown:
        raise errors.invalid_argument(f"Invalid value at 'history_types', \"{unknown[0]}\"")
    label = request.first("labelId")
    entries = [entry for entry in mailbox.history_after(start_id) if entry.kind in kinds]
    if label:
        entries = [
            entry
            for entry in entries
            if label in entry.labels
            or ((message := mailbox.messages.get(entry.message_id)) is not None and label in message.labels)
        ]
    return entries


def list_history(world: World, mailbox: Mailbox, request: Request) -> Response:
    """history.list. Raises ApiError: 404 below the floor, 400 for bad parameters."""
    text = request.first("startHistoryId")
    if not text.isdigit():
        raise errors.invalid_argument("Missing or invalid required field: startHistoryId")
    start_id = int(text)
    limit = world.quirks.take("history_page_size", mailbox.address) or _limit(request, 100)
    offset = _page_start("h", request.first("pageToken"))
    with world.lock:
        if start_id < mailbox.history_floor or start_id > mailbox.history_id:
            raise errors.not_found()
        entries = _selected(mailbox, request, start_id)
        page = [_history_item(mailbox, entry) for entry in entries[offset : offset + limit]]
        latest = str(mailbox.history_id)
    more = _page_token("h", offset + limit) if offset + limit < len(entries) else ""
    page, more = _odd_history(world, mailbox, page, more, offset)
    answer: dict[str, Any] = {"history": page} if page else {}
    if more:
        answer["nextPageToken"] = more
    return json_response({**answer, "historyId": latest})


def _odd_history(
    world: World, mailbox: Mailbox, page: list[dict[str, Any]], more: str, offset: int
) -> tuple[list[dict[str, Any]], str]:
    """The oddities of real history answers, when switched on."""
    take, address = world.quirks.take, mailbox.address
    if page and take("history_empty_page", address):
        return [], _page_token("h", offset)
    if page and take("history_ghost", address):
        ghost = {"id": mailbox.new_id(world.clock.now_ms()), "threadId": mailbox.new_id(world.clock.now_ms())}
        added = {"message": {**ghost, "labelIds": ["INBOX", "UNREAD"]}}
        page.insert(0, {"id": page[0]["id"], "messages": [ghost], "messagesAdded": [added]})
    if take("history_duplicate", address):
        page = page + page
    if take("history_unordered", address):
        page = page[::-1]
    if take("history_page_loop", address):
        more = _page_token("h", offset)
    return page, more
