"""Graph's error answers, sorted (learn.microsoft.com/graph/errors; Outlook's own codes come from Exchange)."""

from __future__ import annotations

import orjson

from portal.lib.http import Answer
from portal.providers.errors import (
    AuthorizationLost,
    CursorExpired,
    Gone,
    Limited,
    MissingPermission,
    ProviderError,
    Refused,
    SendCapReached,
    Temporary,
    TokenRefused,
)

# Codes in lower case: Graph itself is not of one mind about theirs.
LOST_CURSORS = {"syncstatenotfound", "resyncrequired", "invalidsyncstatedata", "syncstateinvalid"}
NO_MAILBOX = {"mailboxnotenabledforrestapi", "errormailboxnotenabledforrestapi"}
SEND_CAPS = {
    "errorexceededmessagelimit", "errorsubmissionquotaexceeded", "errormessagesubmissionblocked", "erroraccountsuspend",
}  # fmt: skip
LIMITS = {"applicationthrottled", "toomanyrequests", "activitylimitreached", "errorservertoobusy"}
MISSING_SCOPES = {"erroraccessdenied", "authorization_requestdenied"}
GONE = {"erroritemnotfound", "resourcenotfound"}
NOT_NOW = {409, 412, 423}  # ErrorIrresolvableConflict and its kin: two writes met
MAX_WAIT = 3600
NO_DETAILS = "an error without details"


def error_of(answer: Answer) -> ProviderError | None:
    """What an answer says went wrong; None for a good one. Redirects and the like count as no usable answer."""
    status = answer.status
    if 200 <= status < 300:
        return None
    code, message = _read(answer.body)
    if status == 401:
        return TokenRefused(message)
    if code in SEND_CAPS:
        return SendCapReached(message, seconds=seconds_told(answer) or None)
    if status == 429 or code in LIMITS or (status in (503, 504) and seconds_told(answer)):
        return Limited(message, seconds=seconds_told(answer) or None)
    if 400 <= status < 500:
        return _of_request(status, code, message)
    return Temporary(f"answer {status}")


def _of_request(status: int, code: str, message: str) -> ProviderError:
    if code in LOST_CURSORS:
        return CursorExpired(message)
    if code in NO_MAILBOX:
        return AuthorizationLost(message, cause="mailbox_gone")
    if not code and status not in (410, 413):
        return Temporary(f"answer {status} of somebody else")  # a proxy's page says nothing about the mailbox
    if status in NOT_NOW:
        return Temporary(message)
    if status == 403 and code in MISSING_SCOPES:
        return MissingPermission(message)
    if status in (404, 410) or code in GONE:
        return Gone(message)
    return Refused(message, status)


def seconds_told(answer: Answer) -> int:
    """How long Graph asks us to stay away; 0 when it does not say. At most an hour."""
    told = answer.headers.get("retry-after", "")
    return min(int(told), MAX_WAIT) if told.isdigit() and len(told) < 10 else 0


def _read(body: bytes) -> tuple[str, str]:
    """Code in lower case, and a text for the log, of an error body; no code when it is none of Graph's."""
    try:
        error = orjson.loads(body).get("error", {})
        code = str(error.get("code") or "")
    except (orjson.JSONDecodeError, AttributeError):
        return "", NO_DETAILS
    return code.lower(), f"{code}: {error.get('message') or ''}"[:300]
