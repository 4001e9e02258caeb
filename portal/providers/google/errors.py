"""Gmail's error answers, sorted (developers.google.com/workspace/gmail/api/guides/handle-errors)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from portal.lib.clock import now
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
NO_DETAILS = "an error without details"
DAILY = "dailyLimitExceeded"
DAY_BEGINS = 8  # UTC hour: Google's quotas of the day begin at midnight Pacific, one hour later in winter than in summer
TOO_MANY = "Too many concurrent requests"
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
        return _limited(answer, message, is_daily=DAILY in reasons)
    if 400 <= status < 500 and status != 413 and message == NO_DETAILS:
        return Temporary(f"answer {status} of somebody else")  # a proxy's page says nothing about the mailbox
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


def _limited(answer: Answer, message: str, *, is_daily: bool) -> Limited:
    """The time stands in the message, seldom in a header (seconds); a limit of the day ends with Google's day."""
    until = _told_time(message) or (_next_day() if is_daily else None)
    kind = SendCapReached if "(Mail sending)" in message else Limited
    error = kind(message, until)
    seconds = answer.headers.get("retry-after", "")
    if until is None and seconds.isdigit():
        error.seconds = min(int(seconds), 3600)
    return error


def _told_time(message: str) -> datetime | None:
    try:
        match = RETRY_AFTER.search(message)
        return datetime.fromisoformat(match.group(1)).replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def _next_day() -> datetime:
    today = now().replace(hour=DAY_BEGINS, minute=0, second=0, microsecond=0)
    return today if today > now() else today + timedelta(days=1)


def _read(body: bytes) -> tuple[str, set[str]]:
    """Message and reasons of an error body, from both places that Google uses."""
    try:
        error = orjson.loads(body).get("error", {})
    except (orjson.JSONDecodeError, AttributeError):
        return NO_DETAILS, set()
    if not isinstance(error, dict):
        return str(error)[:200], set()
    lists = (error.get("errors"), error.get("details"))
    entries: list[Any] = [entry for found in lists if isinstance(found, list) for entry in found]
    reasons = {str(entry.get("reason")) for entry in entries if isinstance(entry, dict) and entry.get("reason")}
    return str(error.get("message", ""))[:300], reasons
