"""Graph's paths that are played: which is which operation, and which permissions allow it.

https://learn.microsoft.com/graph/permissions-reference; the paths are held against Graph's OpenAPI in the tests.
"""

from __future__ import annotations

import re

from sandbox.microsoft import graph_errors as errors

_READ = ("mail.read", "mail.readwrite")
_WRITE = ("mail.readwrite",)
_SEND = ("mail.send",)
_MESSAGE = "me/messages/*"
ROUTES: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("GET", "me", "me", ("user.read", "user.readwrite")),
    ("GET", "me/messages", "list_messages", _READ),
    ("POST", "me/messages", "create_message", _WRITE),
    ("GET", _MESSAGE, "get_message", _READ),
    ("PATCH", _MESSAGE, "update_message", _WRITE),
    ("DELETE", _MESSAGE, "delete_message", _WRITE),
    ("GET", f"{_MESSAGE}/$value", "get_mime", _READ),
    ("POST", f"{_MESSAGE}/send", "send_draft", _SEND),
    ("POST", f"{_MESSAGE}/createReply", "create_reply", _WRITE),
    ("POST", f"{_MESSAGE}/createReplyAll", "create_reply_all", _WRITE),
    ("POST", f"{_MESSAGE}/move", "move_message", _WRITE),
    ("GET", f"{_MESSAGE}/attachments", "list_attachments", _READ),
    ("POST", f"{_MESSAGE}/attachments", "add_attachment", _WRITE),
    ("POST", f"{_MESSAGE}/attachments/createUploadSession", "create_upload", _WRITE),
    ("GET", f"{_MESSAGE}/attachments/*", "get_attachment", _READ),
    ("DELETE", f"{_MESSAGE}/attachments/*", "remove_attachment", _WRITE),
    ("GET", f"{_MESSAGE}/attachments/*/$value", "get_attachment_value", _READ),
    ("POST", "me/sendMail", "send_mail", _SEND),
    ("GET", "me/mailFolders", "list_folders", _READ),
    ("GET", "me/mailFolders/*", "get_folder", _READ),
    ("GET", "me/mailFolders/*/messages", "list_folder", _READ),
    ("GET", "me/mailFolders/*/messages/delta", "list_changes", _READ),
    ("GET", "subscriptions", "list_subscriptions", _READ),
    ("POST", "subscriptions", "create_subscription", _READ),
    ("GET", "subscriptions/*", "get_subscription", _READ),
    ("PATCH", "subscriptions/*", "renew_subscription", _READ),
    ("DELETE", "subscriptions/*", "delete_subscription", _READ),
    ("POST", "subscriptions/*/reauthorize", "reauthorize_subscription", _READ),
]
_KEY = re.compile(r"\('([^']*)'\)(?=/|$)")
_IN_FOLDER = re.compile(r"^me/mailFolders/[^/]+/messages/(?!delta$)(?=.)", re.I)


def simplified(path: str) -> str:
    """The path with `x('key')` as `x/key`, without `()` and the namespace, and of a message without its folder."""
    path = _KEY.sub(r"/\1", path.strip("/")).replace("()", "").replace("microsoft.graph.", "")
    return _IN_FOLDER.sub("me/messages/", path)


def find_route(method: str, path: str) -> tuple[str, list[str], tuple[str, ...]]:
    """(operation, arguments, permissions of which one is enough). Raises ApiError (400, 405)."""
    given = simplified(path).split("/")
    other = ""
    for verb, pattern, name, scopes in ROUTES:
        parts = pattern.split("/")
        if len(parts) != len(given):
            continue
        if all(part == "*" or part.lower() == text.lower() for part, text in zip(parts, given, strict=True)):
            if verb == method:
                return name, [text for part, text in zip(parts, given, strict=True) if part == "*"], scopes
            other = name
    if other:
        raise errors.fail(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    raise errors.no_such_path(path)
