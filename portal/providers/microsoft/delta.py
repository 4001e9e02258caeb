"""What happened in an Outlook mailbox: the delta of two folders read side by side, or their lists when it is lost.

Source: Graph's pages on delta queries for messages. A delta belongs to one folder and its state is a link, kept whole; a
page may be empty, may name a message again, and may end in the middle, whose link stands for what is still to come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from portal.lib.clock import now
from portal.providers.errors import CursorExpired, Gone, Refused, Temporary
from portal.providers.microsoft.client import GraphClient, rows_of, together
from portal.providers.types import Change, ChangePage

FOLDERS = ("inbox", "sentitems")
WANTED = "id,receivedDateTime,isDraft"  # a delta names messages; their headers are asked for with the others
PAGE = 200
LISTED = 500  # changes in a page of a catch-up
MAX_EMPTY_PAGES = 50  # Graph gives some now and then, but never so many in a row
MAX_LISTED = 200_000  # ids of one catch-up
CLOCK_SLACK = timedelta(hours=1)  # between our clock and Graph's: a delta from too late a moment would miss mail for ever
NEXT, DONE = "@odata.nextLink", "@odata.deltaLink"


@dataclass
class _Round:
    """How far a folder's delta was followed. `is_done`: its link is the one for next time."""

    link: str
    is_done: bool = False


async def present_cursor(client: GraphClient) -> str:
    """The cursor of now: a first round of each folder, from a moment that nothing of later can be before, read to its end.

    What these rounds name lies there already and is not new.
    """
    since = _stamp(now() - CLOCK_SLACK)
    rounds = await together(_end_of_first(client, folder, since) for folder in FOLDERS)
    return _cursor(dict(zip(FOLDERS, rounds, strict=True)))


async def _end_of_first(client: GraphClient, folder: str, since: str) -> _Round:
    params = {"$filter": f"receivedDateTime ge {since}", "$select": WANTED}
    answer = await client.get(f"/me/mailFolders/{folder}/messages/delta", params, page_size=PAGE)
    links: set[str] = set()
    while not (reached := _next_of(client, answer)).is_done:
        if reached.link in links:
            raise Temporary("the pages of the first delta lead in a circle")
        links.add(reached.link)
        answer = await client.follow(reached.link, page_size=PAGE)
    return reached


async def read_changes(client: GraphClient, cursor: str) -> AsyncIterator[ChangePage]:
    """Pages of changes after `cursor`, both folders merged, each message named once in a run. Raises CursorExpired."""
    rounds = _rounds(client, cursor)
    met: set[str] = set()
    seen = {reached.link for reached in rounds.values()}
    empty = 0
    while True:
        open_folders = [folder for folder in FOLDERS if not rounds[folder].is_done]
        answers = await together(_follow(client, rounds[folder].link) for folder in open_folders)
        for folder, answer in zip(open_folders, answers, strict=True):
            rounds[folder] = reached = _next_of(client, answer)
            if not reached.is_done and reached.link in seen:
                raise Temporary("the pages of the delta lead in a circle")
            seen.add(reached.link)
        changes = _changes([row for answer in answers for row in rows_of(answer)], met)
        is_last = all(reached.is_done for reached in rounds.values())
        if changes or is_last:
            yield ChangePage(changes, _cursor(rounds), is_last)
        if is_last:
            return
        empty = 0 if changes else empty + 1
        if empty > MAX_EMPTY_PAGES:
            raise Temporary("the pages of the delta lead nowhere")


async def _follow(client: GraphClient, link: str) -> dict[str, Any]:
    try:
        return await client.follow(link, page_size=PAGE)
    except Gone as error:
        raise CursorExpired(str(error)) from error
    except Refused as error:
        if error.status == 400:
            raise CursorExpired(str(error)) from error
        raise


def _changes(rows: list[dict[str, Any]], met: set[str]) -> tuple[Change, ...]:
    """The messages that lie in their folder now and were not met before, oldest first; `met` learns them.

    What left the folder stays in the CRM; a draft counts once it has left. All are said to be moved: a delta does not
    tell a new message from one that came back from junk or trash, and for one that is decided it changes nothing.
    """
    found: dict[str, str] = {}
    for row in rows:
        message_id = str(row.get("id") or "")
        if message_id and "@removed" not in row and row.get("isDraft") is not True and message_id not in met:
            found.setdefault(message_id, str(row.get("receivedDateTime") or ""))
    met.update(found)
    return tuple(Change(message_id, moved=True) for message_id in sorted(found, key=found.__getitem__))


async def read_listing(client: GraphClient, since: datetime, cursor: str) -> AsyncIterator[ChangePage]:
    """Messages of both folders since a moment, oldest first; only the last page bears the cursor (G-03)."""
    query = {"$filter": f"receivedDateTime ge {_stamp(since)}", "$orderby": "receivedDateTime asc", "$select": WANTED}
    lists = await together(list_rows(client, f"/me/mailFolders/{name}/messages", query) for name in FOLDERS)
    changes = _changes([row for rows in lists for row in rows], set())
    for start in range(0, max(1, len(changes)), LISTED):
        is_last = start + LISTED >= len(changes)
        yield ChangePage(changes[start : start + LISTED], cursor if is_last else "", is_last)


async def list_rows(client: GraphClient, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """The entries of a list, page after page. Raises Temporary when its pages lead in a circle."""
    answer = await client.get(path, query, page_size=PAGE)
    found = rows_of(answer)
    links: set[str] = set()
    while (link := str(answer.get(NEXT) or "")) and len(found) < MAX_LISTED:
        if link in links:
            raise Temporary("the pages of a list lead in a circle")
        links.add(link)
        answer = await client.follow(link, page_size=PAGE)
        found += rows_of(answer)
    return found


def _next_of(client: GraphClient, answer: dict[str, Any]) -> _Round:
    """Where a page leads. Raises Temporary when that is nowhere, or away from Graph: such a link is never kept."""
    done = str(answer.get(DONE) or "")
    link = done or str(answer.get(NEXT) or "")
    if not client.is_own(link):
        raise Temporary("a page of a delta without a link to Graph")
    return _Round(link, is_done=bool(done))


def _rounds(client: GraphClient, cursor: str) -> dict[str, _Round]:
    """A stored cursor. Raises CursorExpired for one that is none, or that belongs to another Graph: it is not asked."""
    try:
        links = {folder: str(orjson.loads(cursor)[folder]) for folder in FOLDERS}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise CursorExpired("a cursor that is none of Graph's") from None
    if not all(client.is_own(link) for link in links.values()):
        raise CursorExpired("a cursor that leads away from Graph")
    return {folder: _Round(link) for folder, link in links.items()}


def _cursor(rounds: dict[str, _Round]) -> str:
    return orjson.dumps({folder: reached.link for folder, reached in rounds.items()}).decode()


def _stamp(moment: datetime) -> str:
    """A moment as OData writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
