"""The one clock. All code asks `now()`; nothing else reads the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_offset = timedelta()


def now() -> datetime:
    """The current moment, aware, in UTC, moved by the offset that a demo or test has set."""
    return datetime.now(UTC) + _offset


def set_offset(seconds: int, *, allowed: bool) -> None:
    """Move the clock by `seconds`. Raises ValueError where `allowed` is false (production) and seconds is not 0."""
    global _offset
    if seconds and not allowed:
        raise ValueError("the clock may be moved in demo and test only")
    _offset = timedelta(seconds=seconds)


def offset_seconds() -> int:
    """By how many seconds the clock is moved."""
    return int(_offset.total_seconds())
