"""Changes of one folder: rounds of pages that end with a deltaLink.

https://learn.microsoft.com/graph/delta-query-messages. A link is opaque and has everything baked in but the Prefer header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.http import ApiError, Request, Response, json_response
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.listing import link, moment_ms
from sandbox.microsoft.messages import Prefer, Shown, selected
from sandbox.state import World

_FILTER = re.compile(r"^receivedDateTime\s+(ge|gt)\s+(\S+)$", re.I)
PAGE = 10
MAX_FILTERED = 5000  # a filtered round shows no more than that
FOREIGN = "https://graph.evil.example"
Row = dict[str, Any]


@dataclass
class Round:
    """What a link says. `since` None: the first round, which lists what is there; `upto` is where the round ends."""

    folder: str
    floor: int
    wanted: list[str]
    kind: str
    since: int | None
    upto: int
    offset: int = 0
    last: tuple[int, str] = (0, "")  # of a first round: the last message shown
    shown: int = 0

    def packed(self) -> str:
        """The round as a token."""
        return ids.pack([
            self.folder, self.floor, self.wanted, self.kind, self.since, self.upto, self.offset, self.last, self.shown,
        ])  # fmt: skip


def sync_state_lost(request: Request, form: str) -> ApiError:
    """The answer for a token that Graph no longer knows: 410 with Location, or a 40x with one of several codes."""
    if form == "410":
        where = link(request, request.path, {"$deltatoken": ""})
        message = "The sync state generation is not found; continue with a full sync."
        return errors.fail(410, "syncStateNotFound", message, [("Location", where)])
    status, _, code = form.partition(" ")
    message = "The sync state could not be used any more."
    return errors.fail(int(status) if status.isdigit() else 400, code or "syncStateNotFound", message)


def _begun(mailbox: Mailbox, request: Request, folder: str) -> Round:
    text, order = request.first("$filter").strip(), request.first("$orderby").strip()
    match = _FILTER.match(text) if text else None
    if text and match is None:
        message = "Only receivedDateTime with ge or gt can be used in a filter of a delta query."
        raise errors.fail(400, "ErrorInvalidUrlQueryFilter", message)
    if order and order.lower() != "receiveddatetime desc":
        raise errors.fail(400, "ErrorInvalidUrlQuery", "Only $orderby=receivedDateTime desc can be used in a delta query.")
    if request.first("$search"):
        raise errors.fail(400, "ErrorInvalidUrlQuery", "$search cannot be used in a delta query.")
    floor = moment_ms(match.group(2)) + (match.group(1).lower() == "gt") if match else 0
    kind = request.first("changeType").lower()
    if kind not in ("", "created", "updated", "deleted"):
        raise errors.fail(400, "ErrorInvalidUrlQuery", "changeType must be created, updated or deleted.")
    return Round(folder, floor, selected(request), kind, None, mailbox.history_id)


def _resumed(world: World, mailbox: Mailbox, request: Request, token: str, is_new: bool) -> Round:
    form = world.quirks.take("ms_sync_state_lost", mailbox.address)
    if form:
        raise sync_state_lost(request, "410" if form is True else str(form))
    try:
        found = Round(*ids.unpack(token))
        found.last = tuple(found.last)  # type: ignore[assignment]
    except (ValueError, TypeError):
        raise errors.fail(400, "InvalidSyncStateData", "Badly formed token.") from None
    if (found.since if found.since is not None else found.upto) < mailbox.history_floor:
        raise sync_state_lost(request, "410")
    if is_new:
        found.upto = mailbox.history_id
    return found


def list_changes(world: World, mailbox: Mailbox, request: Request, folder: str) -> Response:
    """One page of a round. Raises ApiError (400, 410)."""
    prefer = Prefer.of(request)
    delta, skip = request.query.get("$deltatoken"), request.query.get("$skiptoken")
    size = world.quirks.take("ms_delta_page_size", mailbox.address) or prefer.page or PAGE
    with world.lock:
        if delta and delta[0]:
            found = _resumed(world, mailbox, request, delta[0], True)
        elif skip:
            found = _resumed(world, mailbox, request, skip[0], False)
        else:
            found = _begun(mailbox, request, folder)
        page = _first_page if found.since is None else _later_page
        before = found.packed()
        rows, is_last = page(mailbox, found, prefer, int(size))
    return _answer(world, mailbox, request, found, rows, is_last, before)


def _answer(
    world: World, mailbox: Mailbox, request: Request, found: Round, rows: list[Row], is_last: bool, before: str
) -> Response:
    take, address = world.quirks.take, mailbox.address
    answer: Row = {"@odata.context": f"http://{request.headers.get('host', '')}/graph/v1.0/$metadata#Collection(message)"}
    if rows and take("ms_delta_empty_page", address):
        return json_response({**answer, "value": [], "@odata.nextLink": link(request, request.path, {"$skiptoken": before})})
    if take("ms_delta_duplicate", address):
        rows = rows + rows[::-1]
    answer["value"] = rows
    if is_last:
        since = found.since if take("ms_delta_replay", address) else found.upto
        done = Round(found.folder, found.floor, found.wanted, found.kind, found.upto if since is None else since, 0)
        key, token = "@odata.deltaLink", {"$deltatoken": done.packed()}
    else:
        key, token = "@odata.nextLink", {"$skiptoken": found.packed()}
    answer[key] = link(request, request.path, token)
    if take("ms_delta_foreign_link", address):
        answer[key] = answer[key].replace(f"http://{request.headers.get('host', '')}", FOREIGN)
    return json_response(answer)


# pages ---------------------------------------------------------------------------------------------------------------


def _row(mailbox: Mailbox, message: StoredMessage, prefer: Prefer, wanted: list[str]) -> Row:
    return {"@odata.type": "#microsoft.graph.message", **Shown(mailbox, message, prefer).resource(wanted)}


def _first_page(mailbox: Mailbox, found: Round, prefer: Prefer, size: int) -> tuple[list[Row], bool]:
    """What is in the folder now, in pages; what comes meanwhile shows in the next round."""
    known = [
        message for message in mailbox.by_date()
        if message.internal_date >= found.floor and ids.folder_of(message.labels) == found.folder
        and (not found.last[1] or (message.internal_date, message.id) < found.last)
    ]  # fmt: skip
    page = known[: min(size, MAX_FILTERED - found.shown if found.floor else size)]
    found.shown += len(page)
    if page:
        found.last = (page[-1].internal_date, page[-1].id)
    is_last = len(page) == len(known) or bool(found.floor and found.shown >= MAX_FILTERED)
    return [_row(mailbox, message, prefer, found.wanted) for message in page], is_last


def _later_page(mailbox: Mailbox, found: Round, prefer: Prefer, size: int) -> tuple[list[Row], bool]:
    """What has happened to the folder since, each message once."""
    changes: dict[str, list[HistoryEntry]] = {}
    for entry in mailbox.history_after(found.since or 0):
        if entry.id <= found.upto and entry.kind != "watch":
            changes.setdefault(entry.message_id, []).append(entry)
    inside = list(changes.items())[found.offset : found.offset + size]
    found.offset += len(inside)
    made = [_change(mailbox, found, prefer, message_id, entries) for message_id, entries in inside]
    return [row for row in made if row], found.offset >= len(changes)


def _labels_before(labels: set[str], entries: list[HistoryEntry]) -> set[str] | None:
    """The labels before these changes, from those after them; None when the message came with them."""
    for entry in reversed(entries):
        if entry.kind == "messageAdded":
            return None
        if entry.kind == "labelAdded":
            labels = labels - set(entry.labels)
        elif entry.kind == "labelRemoved":
            labels = labels | set(entry.labels)
    return labels


def _change(mailbox: Mailbox, found: Round, prefer: Prefer, number: str, entries: list[HistoryEntry]) -> Row | None:
    message = mailbox.messages.get(number)
    after = message.labels if message else set(entries[-1].labels)
    before = _labels_before(after, entries)
    was_here = before is not None and ids.folder_of(before) == found.folder
    if message is not None and ids.folder_of(after) == found.folder:
        kind = "updated" if was_here else "created"
        is_wanted = message.internal_date >= found.floor and found.kind in ("", kind)
        return _row(mailbox, message, prefer, found.wanted) if is_wanted else None
    if not was_here or found.kind not in ("", "deleted"):
        return None
    reason = "deleted" if message is None else "changed"
    return {
        "@odata.type": "#microsoft.graph.message", "id": ids.gone_id(number, prefer.immutable),
        "@removed": {"reason": reason},
    }  # fmt: skip
