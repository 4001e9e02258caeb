"""Domain errors and how each is shown: one page, one status, one audit event."""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """Something the product refuses, said to a person.

    `message` says what happened, whether anything was lost, and what to press. `cause` is the word kept in the audit
    trail. Raised by services; turned into a page by `portal.error_pages`.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "This did not work"

    def __init__(self, message: str, *, cause: str, href: str = "", press: str = "") -> None:
        super().__init__(message)
        self.message, self.cause, self.href, self.press = message, cause, href, press


class NotFound(DomainError):
    """There is no such thing, or it is not yours to see; the two look alike (A-01)."""

    status = 404
    title = "There is nothing here"

    def __init__(self, cause: str = "not_found") -> None:
        super().__init__("This page does not exist, or it is not yours to see.", cause=cause)


class Forbidden(DomainError):
    """You may see it and not do this."""

    status = 403
    title = "This is not yours to do"

    def __init__(self, message: str = "Your role does not include this.", cause: str = "forbidden") -> None:
        super().__init__(message, cause=cause)


class Conflict(DomainError):
    """The state has moved on since the page was shown."""

    status = 409
    title = "Something changed in between"
