"""What can go wrong at a provider, sorted by what the portal must do about it."""

from __future__ import annotations

from datetime import datetime


class ProviderError(Exception):
    """The base. `args[0]` is a short text for logs and operators; it never holds mail content or a token."""


class Temporary(ProviderError):
    """No answer, a server error or an answer that cannot be read: try again later, change nothing."""


class Unanswered(Temporary):
    """The request may have been carried out before the answer was lost: look before doing it again."""


class Limited(ProviderError):
    """Over a quota. `until` or `seconds` say when to come back, if the provider told."""

    def __init__(self, message: str, until: datetime | None = None, seconds: int | None = None) -> None:
        super().__init__(message)
        self.until, self.seconds = until, seconds

    def seconds_left(self, moment: datetime) -> float:
        """How long to stay away from `moment` on, as far as the provider told; 0 when it did not."""
        if self.until is not None:
            return max(0.0, (self.until - moment).total_seconds())
        return float(self.seconds or 0)


class SendCapReached(Limited):
    """The mailbox has sent as much as its provider allows for now (G-14)."""


class AuthorizationLost(ProviderError):
    """The grant is dead or asks for the person: needs attention. `cause` is a word of rules.reasons.Cause."""

    def __init__(self, message: str, cause: str = "revoked") -> None:
        super().__init__(message)
        self.cause = cause


class TokenRefused(ProviderError):
    """The access token was refused (401); a refreshed one may work."""


class MissingPermission(AuthorizationLost):
    """The grant lacks a scope: needs attention; repeating never helps."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause="permission_missing")


class OperatorFault(ProviderError):
    """Our own set-up is wrong (client secret, quota project): alert the operator, leave users connected."""


class CursorExpired(ProviderError):
    """The provider no longer knows the cursor: catch up within bounds (G-03)."""


class Gone(ProviderError):
    """The one thing asked for does not exist (any more)."""


class Refused(ProviderError):
    """The provider refuses this request for good: too large, malformed, not allowed."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class CodeRefused(Refused):
    """The code of a consent is not taken: used, expired, or made for another verifier."""


class IdentityRefused(Refused):
    """An id_token does not prove who consented. `args[0]` names the checks that failed."""
