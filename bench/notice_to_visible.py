"""Metric 4: from a push notice to the message's row, through real web, worker and schedule processes, at 50 ms per request.

Counted from the moment the notice is sent to the web server, so that its own handling is part of the time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import httpx2
import psycopg

from bench.corpus import OWN, address_of, build_mail, deliver
from bench.practice import Mailbox, connect, open_mailbox
from bench.report import Line
from bench.stage import Stage, fresh, wait_until
from devtools import programs
from devtools.settings import PUSH
from devtools.supervisor import Supervisor

FULL = {"notices": 60, "latency_ms": 50, "pause_ms": 30}
QUICK = {"notices": 5, "latency_ms": 50, "pause_ms": 30}
VISIBLE = "SELECT count(*) FROM message WHERE provider_message_id = %s"
IS_QUIET = "SELECT count(*) = 0 FROM connection WHERE lease IS NOT NULL OR change_noticed_at IS NOT NULL"


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """One mail, one notice, one wait, again and again; two bare round trips of the provider in between."""
    with fresh(stage, "bench_notice") as ready:
        mailbox = open_mailbox(ready.sandbox)
        connect(mailbox, 1.0)
        with _portal(ready) as base_url:
            _notice(ready, mailbox, base_url, 0)  # connections and statements are ready
            ready.sandbox.call("POST", "/knobs", json={"latency_ms": sizes["latency_ms"]})
            waits, trips = [], []
            for number in range(1, sizes["notices"] + 1):
                waits.append(_notice(ready, mailbox, base_url, number))
                trips.append(_two_round_trips(ready, mailbox))
                time.sleep(sizes["pause_ms"] / 1000)
    floor, p95 = median(trips) * 1000, (quantiles(waits, n=20)[-1]) * 1000
    third = f"the third round trip of {sizes['latency_ms']} ms is the two steps: headers first, the body only when admitted"
    return [
        Line(4, "Notice to visible, p50", median(waits) * 1000, "ms", "ms, two round trips", floor, "<= 1.25x", at_most=1.25,
             note=f"{third}; without it {(median(waits) * 1000 - floor / 2) / floor:.2f}x"),
        Line(4, "Notice to visible, p95", p95, "ms", "ms, two round trips", floor, "<= 1.6x", at_most=1.6,
             note="a poll each minute would take 30 s on average", details={"waits_ms": [w * 1000 for w in waits]}),
    ]  # fmt: skip


@contextmanager
def _portal(stage: Stage) -> Iterator[str]:
    """Web server, one worker and the schedule, as `./dev run` starts them; the address."""
    supervisor = Supervisor(os.environ | stage.environ, stage.folder / "log")
    try:
        supervisor.start(
            *programs.workers(sys.executable, 1),
            programs.schedule(sys.executable),
            programs.web(sys.executable, stage.addresses, processes=1),
        )
        yield stage.addresses.base_url
    finally:
        supervisor.stop()


def _notice(stage: Stage, mailbox: Mailbox, base_url: str, number: int) -> float:
    """Seconds from a notice of one new mail to the row that everybody can read."""
    (message_id,) = deliver(stage.sandbox, [build_mail(number, number)], mailbox.address)
    with psycopg.connect(stage.addresses.database_url, autocommit=True) as watcher:
        wait_until(lambda: (watcher.execute(IS_QUIET).fetchone() or (False,))[0], "the run before", every=0.005)
        begun = time.perf_counter()
        said = stage.sandbox.call("POST", "/push", json={"mailbox": OWN, "history_id": "9", "url": base_url + PUSH})
        if said["status"] != 204:
            raise RuntimeError(f"the portal answered a notice with {said['status']}")
        is_there = lambda: (watcher.execute(VISIBLE, [message_id]).fetchone() or (0,))[0]  # noqa: E731
        wait_until(is_there, f"the mail of {address_of(number)}", seconds=20, every=0.002)
        return time.perf_counter() - begun


def _two_round_trips(stage: Stage, mailbox: Mailbox) -> float:
    """Seconds of what cannot be saved: ask what is new, get it."""
    headers = {"Authorization": f"Bearer {mailbox.tokens['access_token']}"}
    with httpx2.Client(base_url=f"{stage.sandbox.url}/gmail/v1/users/me", headers=headers, trust_env=False) as client:
        client.get("/profile").raise_for_status()  # the connection stands
        begun = time.perf_counter()
        client.get("/history", params={"startHistoryId": mailbox.cursor, "maxResults": 1}).raise_for_status()
        client.get("/messages", params={"maxResults": 1}).raise_for_status()
        return time.perf_counter() - begun
