"""Gmail's error answers, sorted (developers.google.com/workspace/gmail/api/guides/handle-errors)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from portal.lib.http import Answer
from portal.providers.errors import (
    AuthorizationLost,
    Gone,
    Limited,
    MissingPermission,
    OperatorFault,
    ProviderError,
    Refused,
    SendCapReached,
    Temporary,
    TokenRefused,
)

RETRY_AFTER = re.compile(r"[Rr]etry after (\d{4}-\d\d-\d\dT[\d:.]+)Z")
LIMITS = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "RATE_LIMIT_EXCEEDED"}
SCOPES = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}


def error_of(answer: Answer) -> ProviderError | None:
    """What an answer says went wrong; None for a good one. Redirects and the like count as no usable answer."""
    status = answer.status
    if 200 <= status < 300:
        return None
    message, reasons = _read(answer.body)
    if status == 401:
        return TokenRefused(message)
    if status == 429 or (status == 403 and (reasons & LIMITS or message.startswith("Quota exceeded"))):
        return _limited(answer, message)
    if status == 403:
        return _forbidden(message, reasons)
    if status in (404, 410):
        return Gone(message)
    if status == 400 and "Mail service not enabled" in message:
        return AuthorizationLost(message, cause="mailbox_gone")
    if 400 <= status < 500:
        return Refused(message, status)
    return Temporary(f"answer {status}")


def _forbidden(message: str, reasons: set[str]) -> ProviderError:
    if reasons & SCOPES or "insufficient authentication scopes" in message:
        return MissingPermission(message)
    if "domainPolicy" in reasons:
        return AuthorizationLost(message, cause="refused_by_provider_admin")
    if reasons & {"accessNotConfigured", "SERVICE_DISABLED"}:
        return OperatorFault(message)
    return Refused(message, 403)


def _limited(answer: Answer, message: str) -> Limited:
    """The time stands in the message, seldom in a header; a header holds seconds."""
    until: datetime | None = None
    if match := RETRY_AFTER.search(message):
        until = datetime.fromisoformat(match.group(1)).replace(tzinfo=UTC)
    kind = SendCapReached if "(Mail sending)" in message else Limited
    error = kind(message, until)
    seconds = answer.headers.get("retry-after", "")
    if until is None and seconds.isdigit():
        error.seconds = min(int(seconds), 3600)
    return error


def _read(body: bytes) -> tuple[str, set[str]]:
    """Message and reasons of an error body, from both places that Google uses."""
    try:
        error = orjson.loads(body).get("error", {})
    except (orjson.JSONDecodeError, AttributeError):
        return "an error without details", set()
    if not isinstance(error, dict):
        return str(error)[:200], set()
    entries: list[Any] = [*(error.get("errors") or ()), *(error.get("details") or ())]
    reasons = {str(entry.get("reason")) for entry in entries if isinstance(entry, dict) and entry.get("reason")}
    return str(error.get("message", ""))[:300], reasons
