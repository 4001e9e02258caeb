"""Lists of messages: `$filter`, `$orderby`, `$top`, `$skip`, pages by `@odata.nextLink`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sandbox.http import Request, Response, json_response
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.messages import Prefer, Shown, expanded, property_value, selected
from sandbox.state import World

Test = Callable[[StoredMessage], bool]
_AND = re.compile(r"\s+and\s+", re.I)
_COMPARED = re.compile(r"^([A-Za-z]+(?:/[A-Za-z]+)*)\s+(eq|ne|ge|gt|le|lt)\s+(.+)$", re.I)
_ANY = re.compile(
    r"singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\1/id\s+eq\s+'((?:[^']|'')*)'\s+and\s+\1/value\s+eq\s+"
    r"'((?:[^']|'')*)'\s*\)", re.I,
)  # fmt: skip
_ORDER = re.compile(r"^(receivedDateTime|sentDateTime|lastModifiedDateTime)(\s+(asc|desc))?$", re.I)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "ge": lambda a, b: a >= b, "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b, "lt": lambda a, b: a < b,
}  # fmt: skip
MAX_TOP = 1000


def moment_ms(text: str) -> int:
    """Epoch milliseconds of an OData time. Raises ApiError (400)."""
    try:
        moment = datetime.fromisoformat(text.strip().strip("'"))
    except ValueError:
        raise errors.bad_query(f"Invalid filter clause: '{text}' is not a valid time.") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _literal(text: str) -> Any:
    text = text.strip()
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    known = {"true": True, "false": False, "null": None}
    if text.lower() in known:
        return known[text.lower()]
    raise errors.bad_query(f"Invalid filter clause: '{text}' is no value.")


def _comparison(mailbox: Mailbox, name: str, operator: str, value: str) -> Test:
    compare = _OPERATORS[operator.lower()]
    if name in ("receivedDateTime", "sentDateTime", "lastModifiedDateTime"):
        floor = moment_ms(value)
        return lambda message: compare(message.internal_date, floor)
    wanted = _literal(value)
    if operator.lower() not in ("eq", "ne"):
        raise errors.bad_query(f"Invalid filter clause: {name} {operator}")
    if name == "from/emailAddress/address":
        wanted = str(wanted).lower()
        return lambda m: compare(str((Shown(mailbox, m, Prefer()).sender("From") or {})
                                     .get("emailAddress", {}).get("address", "")).lower(), wanted)  # fmt: skip
    if name in ("conversationId", "internetMessageId", "isDraft", "isRead", "subject", "hasAttachments", "parentFolderId"):
        return lambda message: compare(Shown(mailbox, message, Prefer()).value(name), wanted)
    raise errors.bad_query(f"Could not find a property named '{name}' on type 'microsoft.graph.message'.")


def _has_property(name: str, value: str) -> Test:
    property_value(StoredMessage("", "", b"", set(), 0), name)  # an id that is none is refused, whatever is stored
    return lambda message: property_value(message, name) == value


def matcher(mailbox: Mailbox, text: str) -> Test:
    """A test for `$filter`: comparisons joined by `and`, and extended properties. Raises ApiError (400)."""
    tests: list[Test] = []

    def take(match: re.Match[str]) -> str:
        tests.append(_has_property(match.group(2).replace("''", "'"), match.group(3).replace("''", "'")))
        return ""

    rest = _ANY.sub(take, text)
    for clause in (part.strip() for part in _AND.split(rest)):
        clause = re.sub(r"^and\s+|\s+and$", "", clause.strip(), flags=re.I)
        if not clause or clause.lower() == "and":
            continue
        match = _COMPARED.match(clause.strip("()"))
        if match is None:
            raise errors.bad_query(f"Invalid filter clause: {clause[:80]}")
        tests.append(_comparison(mailbox, match.group(1), match.group(2), match.group(3)))
    return lambda message: all(test(message) for test in tests)


def _descending(request: Request) -> bool:
    order, text = request.first("$orderby").strip(), request.first("$filter")
    if not order:
        return True
    match = _ORDER.match(order)
    if match is None:
        raise errors.bad_query(f"Invalid orderby clause: {order[:60]}")
    # https://learn.microsoft.com/graph/api/user-list-messages: what is ordered by must be filtered by, and first.
    if text and not text.lstrip("( ").startswith(match.group(1)):
        message = "The restriction or sort order is too complex for this operation."
        raise errors.fail(400, "InefficientFilter", message)
    return (match.group(3) or "asc").lower() == "desc"


def number(request: Request, name: str, default: int, most: int) -> int:
    """A whole number of the query. Raises ApiError (400)."""
    text = request.first(name)
    if not text:
        return default
    if not text.isdigit() or int(text) > most or (name == "$top" and int(text) < 1):
        raise errors.bad_query(f"Invalid value '{text}' for {name}; it must be from 1 to {most}.")
    return int(text)


def link(request: Request, path: str, query: dict[str, Any]) -> str:
    """An absolute link to this same server, as Graph writes them."""
    return f"http://{request.headers.get('host', '')}{path}?{urlencode(query)}"


def list_messages(world: World, mailbox: Mailbox, request: Request, folder: str = "") -> Response:
    """Messages of the mailbox or of one folder, newest first. Raises ApiError (400)."""
    if request.first("$search"):
        raise errors.fail(501, "NotImplemented", "$search is not played here.")
    prefer, wanted, properties = Prefer.of(request), selected(request), expanded(request)
    test, newest_first = matcher(mailbox, request.first("$filter")), _descending(request)
    top = number(request, "$top", prefer.page or 10, MAX_TOP)
    skip = number(request, "$skip", 0, 10**9)
    with world.lock:
        known = mailbox.by_date() if newest_first else mailbox.by_date()[::-1]
    found = [m for m in known if (not folder or ids.folder_of(m.labels) == folder) and test(m)]
    page = found[skip : skip + top]
    answer: dict[str, Any] = {
        "@odata.context": f"http://{request.headers.get('host', '')}/graph/v1.0/$metadata#users('me')/messages",
        "value": [Shown(mailbox, message, prefer).resource(wanted, properties) for message in page],
    }  # fmt: skip
    if request.first("$count").lower() == "true":
        answer["@odata.count"] = len(found)
    if skip + top < len(found):
        query = {name: values[0] for name, values in request.query.items()}
        answer["@odata.nextLink"] = link(request, request.path, query | {"$skip": skip + top, "$top": top})
    return json_response(answer)


def folder_resource(mailbox: Mailbox, name: str) -> dict[str, Any]:
    """A mailFolder."""
    inside = [m for m in list(mailbox.messages.values()) if ids.folder_of(m.labels) == name]
    shown = ids.NAMES.get(name) or name.removeprefix("folder:")
    return {
        "id": ids.folder_id(name), "displayName": shown, "parentFolderId": ids.folder_id("root"), "childFolderCount": 0,
        "unreadItemCount": sum("UNREAD" in m.labels for m in inside), "totalItemCount": len(inside), "isHidden": False,
    }  # fmt: skip


def list_folders(mailbox: Mailbox, request: Request) -> Response:
    """The folders of a mailbox, in pages of `$top` (10)."""
    names = ids.folders_in(mailbox)
    top, skip = number(request, "$top", 10, MAX_TOP), number(request, "$skip", 0, 10**9)
    answer: dict[str, Any] = {"value": [folder_resource(mailbox, name) for name in names[skip : skip + top]]}
    if skip + top < len(names):
        answer["@odata.nextLink"] = link(request, request.path, {"$top": top, "$skip": skip + top})
    return json_response(answer)
