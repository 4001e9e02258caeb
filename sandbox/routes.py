"""Mail for domains that another program of this machine receives: handed over by SMTP, in the background.

`SANDBOX_ROUTES=replies.demo.example=127.0.0.1:8003` plays the MX record of the portal's own domain. What is put off (4xx, or
nobody listens) is tried again; what is refused for good (5xx) is dropped with a line in the request log.
"""

from __future__ import annotations

import heapq
import itertools
import smtplib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sandbox.http import Request, Response
from sandbox.requestlog import RequestLog

PAUSES = (0.2, 0.3, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)  # seconds before the next try; then it is dropped
TIMEOUT = 30


@dataclass(order=True)
class _Handover:
    due: float
    number: int
    address: str = field(compare=False)
    mail_from: str = field(compare=False)
    raw: bytes = field(compare=False)
    tries: int = field(compare=False, default=0)


def parse_routes(text: str) -> dict[str, tuple[str, int]]:
    """`domain=host:port[,…]` as {domain: (host, port)}. Raises ValueError."""
    routes = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        domain, _, place = item.partition("=")
        host, _, port = place.rpartition(":")
        if not domain or not host or not port.isdigit():
            raise ValueError(f"a route is domain=host:port, not {item!r}")
        routes[domain.lower()] = (host, int(port))
    return routes


class Router:
    """Hands mail over to the programs that receive for their domains."""

    def __init__(self, routes: dict[str, tuple[str, int]], log: RequestLog) -> None:
        self.routes, self._log = routes, log
        self._numbers = itertools.count(1)
        self._queue: list[_Handover] = []
        self._wake = threading.Condition()
        self._resets = 0
        self._thread: threading.Thread | None = None

    def is_routed(self, address: str) -> bool:
        """Whether another program receives for the address's domain."""
        return address.rpartition("@")[2].lower() in self.routes

    def hand_over(self, raw: bytes, mail_from: str, recipients: Iterable[str]) -> list[str]:
        """Queue the mail for each routed recipient. Returns the recipients that are not routed."""
        rest: list[str] = []
        routed: list[str] = []
        for address in recipients:
            (routed if self.is_routed(address) else rest).append(address)
        with self._wake:
            for address in routed:
                heapq.heappush(self._queue, _Handover(time.monotonic(), next(self._numbers), address, mail_from, raw))
            if routed:
                self._start()
                self._wake.notify()
        return rest

    def clear(self) -> None:
        """Forget what waits."""
        with self._wake:
            self._resets += 1
            self._queue.clear()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work_for_ever, name="routes", daemon=True)
            self._thread.start()

    def _work_for_ever(self) -> None:
        while True:
            with self._wake:
                while not self._queue or self._queue[0].due > time.monotonic():
                    self._wake.wait(self._queue[0].due - time.monotonic() if self._queue else None)
                mail, resets = heapq.heappop(self._queue), self._resets
            status, said = self._try(mail)
            with self._wake:
                if resets == self._resets:  # else the world has begun anew meanwhile
                    self._note(mail, status, said)

    def _note(self, mail: _Handover, status: int, said: str) -> None:
        """Write a line into the request log, and queue the mail again when it shall be tried again. With the lock held."""
        is_settled = 200 <= status < 300 or status >= 500 or mail.tries >= len(PAUSES)
        note = "" if status == 250 else f"{said}; {'dropped' if is_settled else 'tried again'}"
        request = Request("SMTP", f"/routes/{mail.address.rpartition('@')[2].lower()}", {}, {})
        self._log.add(request, Response(status, mailbox=mail.address), note)
        if not is_settled:
            mail.due = time.monotonic() + PAUSES[mail.tries]
            mail.tries += 1
            heapq.heappush(self._queue, mail)

    def _try(self, mail: _Handover) -> tuple[int, str]:
        """(the receiver's code, what it said); code 0 when it cannot be reached."""
        host, port = self.routes[mail.address.rpartition("@")[2].lower()]
        try:
            with smtplib.SMTP(host, port, local_hostname="mx.practice.example", timeout=TIMEOUT) as client:
                client.ehlo_or_helo_if_needed()
                client.sendmail(mail.mail_from, [mail.address], mail.raw)
        except smtplib.SMTPRecipientsRefused as error:
            return _answer(*next(iter(error.recipients.values())))
        except smtplib.SMTPResponseException as error:
            return _answer(error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            return 0, type(error).__name__
        return 250, ""


def _answer(code: int, text: bytes | str) -> tuple[int, str]:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return max(0, code), f"{code} {shown[:200]}"
