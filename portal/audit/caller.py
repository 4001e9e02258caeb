"""On whose behalf the current code runs: a signed-in person's request, a job, or a command."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Caller:
    """Who acts, in which account and session, from where. All None: the portal itself."""

    user_id: UUID | None = None
    account_id: UUID | None = None
    session_id: UUID | None = None
    ip: str = ""
    browser: str = ""
    request_id: str = ""


PORTAL = Caller()
_current: ContextVar[Caller] = ContextVar("caller", default=PORTAL)


def current_caller() -> Caller:
    """The caller of the running request or job."""
    return _current.get()


def set_caller(caller: Caller) -> None:
    """Set it at the edge: the request hook, a job's start, a test."""
    _current.set(caller)
