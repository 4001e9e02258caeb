"""Google's error bodies, word for word where clients read them."""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.http import ApiError, Response, json_response

_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    413: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip


def body(code: int, message: str, reason: str, domain: str = "global", **more: Any) -> dict[str, Any]:
    """The JSON of an API error. `more` goes into the entry of `errors`; `status` and `details` replace the outer ones."""
    outer = {"status": more.pop("status", _STATUS.get(code, "UNKNOWN"))}
    details = more.pop("details", None)
    entry = {"message": more.pop("inner", message), "domain": domain, "reason": reason, **more}
    error: dict[str, Any] = {"code": code, "message": message, "errors": [entry], **outer}
    if details:
        error["details"] = details
    return {"error": error}


def fail(code: int, message: str, reason: str, **more: Any) -> ApiError:
    """An ApiError to raise."""
    headers = more.pop("headers", None)
    return ApiError(json_response(body(code, message, reason, **more), code, headers))


def not_found() -> ApiError:
    """404 of a message, thread, attachment or history id."""
    return fail(404, "Requested entity was not found.", "notFound")


def invalid_argument(message: str) -> ApiError:
    """400 for a bad parameter or body."""
    return fail(400, message, "invalidArgument")


def unauthenticated() -> ApiError:
    """401: no token, or one that is dead or unknown."""
    message = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    return fail(
        401, message, "authError", inner="Invalid Credentials", locationType="header", location="Authorization",
        headers=[("WWW-Authenticate", 'Bearer realm="https://accounts.google.com/", error="invalid_token"')],
    )  # fmt: skip


def insufficient_scope(form: str, method: str) -> ApiError:
    """403 for a missing permission. Google sends it with `errors[].reason`, with `details[].reason`, or with both."""
    message = "Request had insufficient authentication scopes."
    error: dict[str, Any] = {"code": 403, "message": message, "status": "PERMISSION_DENIED"}
    if form in ("errors", "both"):
        error["errors"] = [{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}]
    if form in ("details", "both"):
        error["details"] = [{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "domain": "googleapis.com", "metadata": {"method": method, "service": "gmail.googleapis.com"},
        }]  # fmt: skip
    challenge = 'Bearer realm="https://accounts.google.com/", error="insufficient_scope"'
    return ApiError(json_response({"error": error}, 403, [("WWW-Authenticate", challenge)]))


def over_quota(form: str, until: str, wait: float) -> ApiError:
    """The user's units are spent; `form` is one of the ways Google says so."""
    if form == "403":
        message = (
            "Quota exceeded for quota metric 'Total Query Cost' and limit 'Total Query Cost per minute per user' of "
            "service 'gmail.googleapis.com' for consumer 'project_number:100200300400'."
        )
        return fail(403, message, "rateLimitExceeded", domain="usageLimits")
    headers = [("Retry-After", str(max(1, int(wait + 0.999))))] if form == "429-retry-after" else None
    message = f"User-rate limit exceeded.  Retry after {until}"
    return fail(429, message, "rateLimitExceeded", domain="usageLimits", headers=headers)


def too_many_concurrent() -> ApiError:
    """429 of a user with too many calls in flight."""
    message = "Too many concurrent requests for user"
    return fail(429, message, "rateLimitExceeded", domain="usageLimits")


def send_cap(until: str) -> ApiError:
    """429 of a mailbox that may not send more today."""
    message = f"User-rate limit exceeded.  Retry after {until} (Mail sending)"
    return fail(429, message, "rateLimitExceeded", domain="usageLimits")


_BARE = {
    400: ("Bad Request", "badRequest", "global"), 403: ("Forbidden", "forbidden", "global"),
    429: ("Too many requests", "rateLimitExceeded", "usageLimits"),
    500: ("Internal error encountered.", "backendError", "global"),
    503: ("The service is currently unavailable.", "backendError", "global"),
}  # fmt: skip


def standard_body(status: int, path: str) -> Any:
    """What Google says beside a status when a fault rule names no body; None where it says nothing."""
    if status < 400:
        return None
    if path.startswith("/google/"):
        return {"error": "invalid_grant" if status < 500 else "internal_failure"}
    if status == 401:
        return orjson.loads(unauthenticated().response.body)
    if status == 404:
        return orjson.loads(not_found().response.body)
    return body(status, *_BARE.get(status, ("Error", "backendError" if status >= 500 else "badRequest", "global")))


def oauth_error(code: str, description: str = "", status: int = 400, **more: str) -> Response:
    """An error of the token or revoke endpoint (RFC 6749 section 5.2, with Google's additions)."""
    value = {"error": code}
    if description:
        value["error_description"] = description
    return json_response({**value, **more}, status)
