"""Google's contract for the methods played: paths, scopes, parameters, body fields (Gmail's discovery document)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.google import errors

AUTH = "https://www.googleapis.com/auth/"
FULL = "https://mail.google.com/"


def _scopes(*names: str) -> frozenset[str]:
    return frozenset({FULL, *(f"{AUTH}gmail.{name}" for name in names)})


READ = _scopes("metadata", "modify", "readonly")
SCOPES = {
    "users.getProfile": _scopes("compose", "metadata", "modify", "readonly"),
    "users.labels.list": _scopes("labels", "metadata", "modify", "readonly"),
    "users.history.list": READ,
    "users.messages.list": READ,
    "users.messages.get": READ,
    "users.threads.get": READ,
    "users.watch": READ,
    "users.stop": READ,
    "users.messages.attachments.get": _scopes("modify", "readonly"),
    "users.messages.send": _scopes("compose", "modify", "send"),
    "users.messages.insert": _scopes("insert", "modify"),
    "users.settings.sendAs.list": _scopes("modify", "readonly", "settings.basic"),
}
ROUTES: list[tuple[str, tuple[str, ...], str]] = [
    ("GET", ("messages", "*"), "users.messages.get"),
    ("GET", ("history",), "users.history.list"),
    ("GET", ("messages",), "users.messages.list"),
    ("GET", ("profile",), "users.getProfile"),
    ("GET", ("messages", "*", "attachments", "*"), "users.messages.attachments.get"),
    ("POST", ("messages", "send"), "users.messages.send"),
    ("POST", ("messages",), "users.messages.insert"),
    ("GET", ("threads", "*"), "users.threads.get"),
    ("GET", ("labels",), "users.labels.list"),
    ("GET", ("settings", "sendAs"), "users.settings.sendAs.list"),
    ("POST", ("watch",), "users.watch"),
    ("POST", ("stop",), "users.stop"),
]

COMMON_PARAMETERS = frozenset({
    "$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser",
    "upload_protocol", "uploadType", "upload_id",
})  # fmt: skip
_FORMAT = frozenset({"format", "metadataHeaders"})
PARAMETERS = {
    "users.history.list": frozenset({"historyTypes", "labelId", "maxResults", "pageToken", "startHistoryId"}),
    "users.messages.list": frozenset({"includeSpamTrash", "labelIds", "maxResults", "pageToken", "q"}),
    "users.messages.get": _FORMAT,
    "users.threads.get": _FORMAT,
    "users.messages.insert": frozenset({"deleted", "internalDateSource"}),
}
_MESSAGE = frozenset({
    "classificationLabelValues", "historyId", "id", "internalDate", "labelIds", "payload", "raw", "sizeEstimate",
    "snippet", "threadId",
})  # fmt: skip
BODY_FIELDS = {
    "users.messages.send": _MESSAGE,
    "users.messages.insert": _MESSAGE,
    "users.watch": frozenset({"labelFilterAction", "labelFilterBehavior", "labelIds", "topicName"}),
}


def check_parameters(method: str, given: Iterable[str]) -> None:
    """Refuse query parameters that the method does not have, in Google's words. Raises ApiError (400)."""
    for name in given:
        if name not in COMMON_PARAMETERS and name not in PARAMETERS.get(method, ()):
            text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
            raise errors.invalid_argument(f"{text} Field '{name}' could not be found in request message.")


def check_fields(given: dict[str, Any], known: frozenset[str]) -> None:
    """Refuse fields of a JSON body that its schema does not have. Raises ApiError (400)."""
    for name in given:
        if name not in known:
            raise errors.invalid_argument(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')


def find_route(http_method: str, rest: list[str]) -> tuple[str, list[str]]:
    """The method and its path arguments. Raises ApiError (404)."""
    for verb, pattern, name in ROUTES:
        if verb != http_method or len(pattern) != len(rest):
            continue
        if all(part in ("*", given) for part, given in zip(pattern, rest, strict=True)):
            return name, [given for part, given in zip(pattern, rest, strict=True) if part == "*"]
    raise errors.fail(404, "Method not found.", "notFound")
