"""What was asked of the stand-in: for assertions in tests and for the console. Never holds a secret."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from sandbox.clock import Clock
from sandbox.http import Request, Response

SECRET = frozenset(
    ("code", "token", "access_token", "refresh_token", "client_secret", "code_verifier", "password",
     "state", "nonce", "id_token", "key", "oauth_token")
)  # fmt: skip


class RequestLog:
    """The last twenty thousand calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: deque[tuple[Any, ...]] = deque(maxlen=20_000)
        self._number = 0

    def add(self, request: Request, response: Response | None, fault: str = "") -> None:
        """Note one call; `response` None means that the connection was dropped."""
        self._number += 1
        form = tuple(sorted(request.form())) if request.method == "POST" and not request.in_batch else ()
        self._rows.append((
            self._number, self._clock.now(), request.method, request.path,
            response.mailbox if response else "", response.status if response else 0,
            request.query, form, request.in_batch, len(response.body) if response else 0, fault,
            request.headers.get("user-agent", ""),
        ))  # fmt: skip

    def clear(self) -> None:
        """Forget all."""
        self._rows.clear()

    def rows(self, mailbox: str = "", path: str = "", after: int = 0) -> Iterable[dict[str, Any]]:
        """Calls in order, optionally of one mailbox, with `path` inside their path, with a number above `after`."""
        for row in list(self._rows):
            if row[0] <= after or (mailbox and row[4] != mailbox) or (path and path not in row[3]):
                continue
            yield {
                "number": row[0], "at": row[1], "method": row[2], "path": row[3], "mailbox": row[4],
                "status": row[5], "query": {k: ["***"] if k in SECRET else v for k, v in row[6].items()},
                "form": list(row[7]), "in_batch": row[8], "response_bytes": row[9], "fault": row[10],
                "user_agent": row[11],
            }  # fmt: skip
