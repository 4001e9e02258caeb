"""What happened in a Gmail mailbox: history.list from a cursor, or messages.list since a moment when history is lost.

Source: Gmail's page on synchronising clients; history ids are unsigned numbers in text, growing but not contiguous.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from portal.providers.errors import CursorExpired, Gone, Refused, Temporary
from portal.providers.google.client import UNITS, GmailClient
from portal.providers.types import Change, ChangePage

PAGE = 500
MAX_EMPTY_PAGES = 50  # Gmail gives some now and then, but never so many in a row
MAX_LISTED = 200_000  # ids of one catch-up
WATCHED = frozenset({"INBOX", "SENT"})  # a label that makes a message new to us: rescued from spam or trash


async def read_history(client: GmailClient, cursor: str) -> AsyncIterator[ChangePage]:
    """Pages of changes after `cursor`. Each message is named once in a run. Raises CursorExpired."""
    met: set[str] = set()
    reached, token = _number(cursor), ""
    async for answer in _history_pages(client, cursor):
        entries = sorted(_dicts(answer.get("history")), key=lambda entry: _number(entry.get("id")))
        token = str(answer.get("nextPageToken") or "")
        newest = _number(answer.get("historyId")) if not token else _number(entries[-1].get("id")) if entries else 0
        reached = max(reached, newest)  # a cursor never goes back
        changes = _changes(entries, met)
        if changes or not token:
            yield ChangePage(changes, str(reached), is_last=not token)


async def _history_pages(client: GmailClient, cursor: str) -> AsyncIterator[dict[str, Any]]:
    """The raw answers, with guards against page tokens that lead in a circle or nowhere."""
    params: list[tuple[str, str | int]] = [
        ("startHistoryId", cursor), ("historyTypes", "messageAdded"), ("historyTypes", "labelAdded"), ("maxResults", PAGE),
    ]  # fmt: skip
    tokens: set[str] = set()
    token, empty = "", 0
    while True:
        answer = await _one_page(client, params, token)
        yield answer
        token = str(answer.get("nextPageToken") or "")
        if not token:
            return
        empty = 0 if answer.get("history") else empty + 1
        if token in tokens or empty > MAX_EMPTY_PAGES:
            raise Temporary("the pages of the history lead in a circle")
        tokens.add(token)


async def _one_page(client: GmailClient, params: list[tuple[str, str | int]], token: str) -> dict[str, Any]:
    try:
        return await client.get("history", UNITS["history"], [*params, *([("pageToken", token)] if token else [])])
    except Gone as error:
        raise CursorExpired(str(error)) from error
    except Refused as error:
        if token and error.status == 400:  # page tokens age; the next run goes on from the stored cursor
            raise Temporary("the page token is no longer known") from error
        if error.status == 400:
            raise CursorExpired(str(error)) from error
        raise


def _changes(entries: list[dict[str, Any]], met: set[str]) -> tuple[Change, ...]:
    """The messages of some entries that were not met before, in order; `met` learns them."""
    found: list[Change] = []
    for entry in entries:
        added = [(item, False) for item in _dicts(entry.get("messagesAdded"))]
        moved = [(i, True) for i in _dicts(entry.get("labelsAdded")) if WATCHED & set(i.get("labelIds") or ())]
        for item, is_moved in added + moved:
            message = item.get("message")
            message_id = str(message.get("id") or "") if isinstance(message, dict) else ""
            if message_id and message_id not in met:
                met.add(message_id)
                found.append(Change(message_id, moved=is_moved))
    return tuple(found)


async def read_listing(client: GmailClient, since: datetime, cursor: str) -> AsyncIterator[ChangePage]:
    """Messages since a moment, oldest first, spam and trash aside; only the last page bears the cursor (G-03)."""
    ids = list(reversed(await list_ids(client, f"after:{int(since.timestamp())}", MAX_LISTED)))
    for start in range(0, max(1, len(ids)), PAGE):
        is_last = start + PAGE >= len(ids)
        changes = tuple(Change(found) for found in ids[start : start + PAGE])
        yield ChangePage(changes, cursor if is_last else "", is_last)


async def list_ids(client: GmailClient, query: str, most: int, *, with_trash: bool = False) -> list[str]:
    """Ids of the messages that a search finds, newest first, each once. Raises Temporary when the pages lead in a circle."""
    ids: dict[str, None] = {}
    tokens: set[str] = set()
    token = ""
    while True:
        params = {"q": query, "maxResults": PAGE, "includeSpamTrash": str(with_trash).lower()}
        answer = await client.get("messages", UNITS["list"], params | ({"pageToken": token} if token else {}))
        ids.update((str(item["id"]), None) for item in _dicts(answer.get("messages")) if item.get("id"))
        token = str(answer.get("nextPageToken") or "")
        if not token or len(ids) >= most:
            return list(ids)[:most]
        if token in tokens:
            raise Temporary("the pages of the list lead in a circle")
        tokens.add(token)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> int:
    """A history id; 0 for what is none."""
    text = str(value or "")
    return int(text) if text.isdigit() and len(text) < 25 else 0
