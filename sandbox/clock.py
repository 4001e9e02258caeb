"""The stand-in's clock: real time plus an offset that the control plane moves."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Time as the stand-in sees it. Tokens, codes, watches, quotas and mail dates all read this one clock."""

    def __init__(self) -> None:
        self.offset_seconds: float = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset_seconds

    def now_ms(self) -> int:
        """Milliseconds since the epoch, the unit of Gmail's `internalDate`."""
        return int(self.now() * 1000)

    def iso(self, at: float | None = None) -> str:
        """RFC 3339 with milliseconds and Z, as Google writes times into error messages."""
        moment = datetime.fromtimestamp(self.now() if at is None else at, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
