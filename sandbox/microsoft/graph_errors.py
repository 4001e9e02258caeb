"""Microsoft Graph's error bodies (https://learn.microsoft.com/graph/errors), word for word where clients read them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.http import ApiError, json_response

_BARE = {
    400: ("ErrorInvalidRequest", "The request is invalid."),
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorItemNotFound", "The specified object was not found in the store."),
    410: ("SyncStateNotFound", "The sync state generation is not found; continue with a full sync."),
    413: ("ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."),
    429: ("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    500: ("InternalServerError", "An internal server error occurred. The operation failed."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable."),
    504: ("GatewayTimeout", "The server did not receive a timely response."),
}
CAP_TEXT = (
    "Cannot send mail. Daily Message/Recipient limit exceeded. Follow the instructions in your Inbox to verify your account."
)


def body(code: str, message: str) -> dict[str, Any]:
    """The JSON of an error."""
    number = str(uuid.uuid4())
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "request-id": number, "client-request-id": number,
    }  # fmt: skip
    return {"error": {"code": code, "message": message, "innerError": inner}}


def fail(status: int, code: str = "", message: str = "", headers: list[tuple[str, str]] | None = None) -> ApiError:
    """An ApiError to raise; without a code the one that Graph usually sends with the status."""
    usual = _BARE.get(status, _BARE[500])
    return ApiError(json_response(body(code or usual[0], message or usual[1]), status, headers))


def standard_body(status: int) -> Any:
    """What Graph says beside a status when a fault rule names no body; None where it says nothing."""
    return None if status < 400 else body(*_BARE.get(status, _BARE[500 if status >= 500 else 400]))


def unauthenticated(text: str = "") -> ApiError:
    """401: no token, or one that is dead or unknown."""
    message = text or "Lifetime validation failed, the token is expired."
    challenge = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    return fail(401, "InvalidAuthenticationToken", message, [("WWW-Authenticate", challenge)])


def access_denied() -> ApiError:
    """403: the token lacks the permission."""
    return fail(403)


def not_found() -> ApiError:
    """404 of a message, folder or attachment."""
    return fail(404)


def malformed_id() -> ApiError:
    """400 for an id that is none."""
    return fail(400, "ErrorInvalidIdMalformed", "Id is malformed.")


def invalid_request(message: str) -> ApiError:
    """400 for a body that makes no sense."""
    return fail(400, "ErrorInvalidRequest", message)


def bad_query(message: str) -> ApiError:
    """400 for a query that cannot be read."""
    return fail(400, "RequestBroker--ParseUri", message)


def too_many_in_flight(retry_after: int | None) -> ApiError:
    """429: a fifth call while four are in flight for the mailbox."""
    headers = [("Retry-After", str(retry_after))] if retry_after is not None else None
    return fail(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.", headers)


def no_such_path(path: str) -> ApiError:
    """400: Graph's answer for a path that it does not have."""
    segment = path.rstrip("/").rpartition("/")[2]
    return fail(400, "BadRequest", f"Resource not found for the segment '{segment}'.")
