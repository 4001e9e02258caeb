"""Gmail's quota: units per minute for each user and for the project, as buckets that refill steadily.

Google publishes the numbers (6,000 units a minute and user for projects made since 2026-05-01), not the shape of the
window. Here it is a bucket that holds one minute's units and refills by a sixtieth of them each second.
"""

from __future__ import annotations

import threading
from typing import Any

from sandbox.clock import Clock

UNITS = {
    "users.getProfile": 1, "users.labels.list": 1, "users.settings.sendAs.list": 1, "users.history.list": 2,
    "users.messages.list": 5, "users.messages.get": 20, "users.messages.attachments.get": 20,
    "users.messages.send": 100, "users.messages.insert": 25, "users.threads.get": 40, "users.watch": 100,
    "users.stop": 50,
}  # fmt: skip


FORMS = ("429", "429-retry-after", "403")  # how Google says that the units are spent


class _Bucket:
    __slots__ = ("at", "units")

    def __init__(self, units: float, at: float) -> None:
        self.units, self.at = units, at

    def refill(self, per_minute: int, now: float) -> None:
        self.units = min(per_minute, self.units + max(0.0, now - self.at) * per_minute / 60)
        self.at = now


class Quota:
    """Spends units per user and project; also counts calls in flight per user when a cap is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """The defaults of a new project."""
        self.enabled = True
        self.per_user_per_minute = 6000
        self.per_project_per_minute = 1_200_000
        self.max_concurrent_per_user = 0  # 0: not limited
        self.form = "429"  # one of FORMS
        self.spent: dict[str, int] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._flying: dict[str, int] = {}

    def spend(self, user: str, units: int) -> float | None:
        """Take `units` for `user`. None when there were enough, else the seconds until there will be."""
        if not self.enabled:
            return None
        now = self._clock.now()
        with self._lock:
            wait = 0.0
            limits = ((user, self.per_user_per_minute), ("", self.per_project_per_minute))
            for name, per_minute in limits:
                bucket = self._buckets.setdefault(name, _Bucket(per_minute, now))
                bucket.refill(per_minute, now)
                if bucket.units < units:
                    wait = max(wait, (units - bucket.units) * 60 / per_minute)
            if wait:
                return wait
            for name, _ in limits:
                self._buckets[name].units -= units
            self.spent[user] = self.spent.get(user, 0) + units
        return None

    def enter(self, user: str) -> bool:
        """Count a call in flight; False when the user has too many already."""
        with self._lock:
            flying = self._flying.get(user, 0)
            if self.max_concurrent_per_user and flying >= self.max_concurrent_per_user:
                return False
            self._flying[user] = flying + 1
        return True

    def leave(self, user: str) -> None:
        """A call of the user has ended."""
        with self._lock:
            self._flying[user] -= 1

    def set(self, values: dict[str, Any]) -> None:
        """Change limits by name; everybody's buckets are full again."""
        with self._lock:
            for name, value in values.items():
                setattr(self, name, value)
            self._buckets.clear()
