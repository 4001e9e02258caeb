"""Pub/Sub push to the portal: signed notices in the background, and odd or forged ones on request."""

from __future__ import annotations

import base64
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

from sandbox.google.watching import is_watched
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.state import World

ATTEMPTS = 6  # Pub/Sub goes on for a week; here long enough for a portal that restarts


@dataclass(order=True)
class _Notice:
    due: float
    number: int
    attempt: int = field(compare=False)
    send: Callable[[], int] = field(compare=False)


class Pusher:
    """Delivers notices of watched mailboxes at least once, at most one a second and mailbox (surplus is dropped)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._numbers = itertools.count(1)
        self._queue: list[_Notice] = []
        self._wake = threading.Condition()
        self._last: dict[str, float] = {}
        self._client = httpx2.Client(timeout=10, trust_env=False)
        self._held: list[_Notice] = []
        self._resets = 0
        self.sent: list[dict[str, Any]] = []  # the last notices with the portal's answers, for tests and the console
        world.listeners.append(self.on_change)
        threading.Thread(target=self._deliver_for_ever, name="push", daemon=True).start()

    def reset(self) -> None:
        """Forget what waits and what was sent."""
        with self._wake:
            self._resets += 1
            self._queue.clear()
            self._held.clear()
            self._last.clear()
            self.sent.clear()

    # normal notices ------------------------------------------------------------------------------------------------

    def on_change(self, mailbox: Mailbox, message: StoredMessage | None, entries: list[HistoryEntry]) -> None:
        """A mailbox changed: queue a notice when its watch wants one."""
        if not self.world.knobs.push_url or not is_watched(self.world, mailbox, message, entries):
            return
        take = self.world.quirks.take
        now = time.monotonic()
        gap = self.world.knobs.push_min_interval_ms / 1000
        if now - self._last.get(mailbox.address, -gap) < gap or take("push_drop", mailbox.address):
            return
        self._last[mailbox.address] = now
        shape = {
            "mailbox": mailbox.address, "history_id": str(mailbox.history_id),
            "numeric": bool(take("push_numeric", mailbox.address)),
            "padded": not take("push_unpadded", mailbox.address),
        }  # fmt: skip
        count = 2 if take("push_duplicate", mailbox.address) else 1
        message_id = f"{next(self._numbers):016d}"
        notices = [self._notice(shape, message_id) for _ in range(count)]
        if take("push_reverse", mailbox.address):  # kept back until the next notice has gone
            self._held.extend(notices)
            return
        held, self._held = self._held, []
        for late in held:
            late.due = notices[-1].due + 1e-6
        self._enqueue(notices + held)

    def later(self, send: Callable[[], int], seconds: float = 0.0) -> None:
        """Run `send` in the background after so many seconds, again (some times) until it answers a status 2xx."""
        self._enqueue([_Notice(time.monotonic() + seconds, next(self._numbers), 1, send)])

    def _notice(self, shape: dict[str, Any], message_id: str) -> _Notice:
        number = next(self._numbers)
        return _Notice(time.monotonic(), number, 1, lambda: self.post(shape, message_id)["status"])

    def _enqueue(self, notices: list[_Notice]) -> None:
        with self._wake:
            for notice in notices:
                heapq.heappush(self._queue, notice)
            self._wake.notify()

    def _deliver_for_ever(self) -> None:
        while True:
            with self._wake:
                while not self._queue or self._queue[0].due > time.monotonic():
                    wait = self._queue[0].due - time.monotonic() if self._queue else None
                    self._wake.wait(wait)
                notice, resets = heapq.heappop(self._queue), self._resets
            status = notice.send()
            is_wanted = resets == self._resets and notice.attempt < ATTEMPTS
            if is_wanted and not 200 <= status < 300:
                due = time.monotonic() + 2 ** (notice.attempt - 1)
                self._enqueue([_Notice(due, notice.number, notice.attempt + 1, notice.send)])

    # one notice ------------------------------------------------------------------------------------------------------

    def body(self, shape: dict[str, Any], message_id: str) -> bytes:
        """The Pub/Sub envelope. `shape` may hold `data` (text in place of the usual JSON) and `raw_body`."""
        if "raw_body" in shape:
            return str(shape["raw_body"]).encode()
        history: Any = shape.get("history_id", "1")
        if shape.get("numeric"):
            history = int(history)
        inner = orjson.dumps({"emailAddress": shape["mailbox"], "historyId": history})
        if "data" in shape:
            inner = str(shape["data"]).encode()
        data = base64.urlsafe_b64encode(inner).decode()
        if not shape.get("padded", True):
            data = data.rstrip("=")
        return orjson.dumps({
            "message": {
                "data": data, "messageId": message_id, "message_id": message_id,
                "publishTime": self.world.clock.iso(), "publish_time": self.world.clock.iso(),
            },
            "subscription": shape.get("subscription", "projects/demo/subscriptions/gmail-push"),
        })  # fmt: skip

    def bearer(self, shape: dict[str, Any]) -> str:
        """The OIDC token of the push subscription, wrong in the ways that `shape` asks for."""
        now = int(self.world.clock.now()) + int(shape.get("issued_offset", 0))
        knobs = self.world.knobs
        claims = {
            "aud": shape.get("audience", knobs.push_audience), "azp": "113774264463038321964",
            "email": shape.get("email", knobs.push_email),
            "email_verified": shape.get("email_verified", True),
            "exp": now + (-60 if shape.get("expired") else 3600), "iat": now - (3700 if shape.get("expired") else 0),
            "iss": shape.get("issuer", "https://accounts.google.com"), "sub": "113774264463038321964",
        }  # fmt: skip
        if shape.get("alg_none"):
            part = [base64.urlsafe_b64encode(orjson.dumps(v)).decode().rstrip("=") for v in ({"alg": "none"}, claims)]
            return ".".join([*part, ""])
        return self.world.key.sign(claims, forged=bool(shape.get("bad_signature")))

    def post(self, shape: dict[str, Any], message_id: str = "") -> dict[str, Any]:
        """Send one notice now. Returns the portal's answer, status 0 when it could not be reached."""
        headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
        if not shape.get("no_auth"):
            headers["Authorization"] = f"Bearer {shape.get('token') or self.bearer(shape)}"
        message_id = message_id or str(shape.get("message_id") or f"{next(self._numbers):016d}")
        url = str(shape.get("url") or self.world.knobs.push_url)
        try:
            answer = self._client.post(url, content=self.body(shape, message_id), headers=headers)
            result = {"status": answer.status_code, "body": answer.text[:500]}
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            result = {"status": 0, "body": type(error).__name__}
        self.sent.append({"at": self.world.clock.now(), "mailbox": shape.get("mailbox", ""), **result})
        del self.sent[:-200]
        return result
