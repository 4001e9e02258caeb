"""Metric 2: how fast one mailbox catches up at 50 ms per request, against the latency bound and the naive loop.

A batch takes 50 ms and 2 ms more for each of its calls, so 4 batches of 50 in flight carry at most 1,333 messages a second.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from bench.cpu_per_message import SHARE
from bench.naive import Looped, run_loop
from bench.practice import Mailbox, connect
from bench.report import Line
from bench.stage import Stage, fresh
from bench.sync_run import Synced, filled_mailbox, middle, sync, warm_up
from portal.lib.http import Http
from portal.providers.google.batch import build_batch, read_batch

FULL = {"mails": 5_000, "naive_mails": 100, "rounds": 3, "latency_ms": 50, "part_latency_ms": 2, "units_per_minute": 60_000}
QUICK = {"mails": 500, "naive_mails": 20, "rounds": 1, "latency_ms": 50, "part_latency_ms": 2, "units_per_minute": 10_000}
LANES, BATCH = 4, 50
BOUNDARY = "batch_of_the_bench"


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """The rate without a quota in interleaved rounds with its floors, then once under the quota."""
    with fresh(stage, "bench_catch_up") as ready:
        mailbox, ids = filled_mailbox(ready, sizes["mails"], SHARE)
        with ready.workers("push") as (worker,):
            warm_up(ready, worker)
            lines = _without_quota(ready, worker, mailbox, ids, sizes)
        units = str(sizes["units_per_minute"])
        with ready.workers("push", GMAIL_UNITS_PER_MINUTE=units) as (worker,):
            return [*lines, *_with_quota(ready, worker, mailbox, ids, sizes)]


def _without_quota(
    stage: Stage, worker: int, mailbox: Mailbox, ids: list[str], sizes: dict[str, Any]
) -> list[Line]:
    runs: list[Synced] = []
    flat: list[Synced] = []
    loops: list[Looped] = []
    bare: list[float] = []
    for _round in range(sizes["rounds"]):
        _set_latency(stage, sizes["latency_ms"], sizes["part_latency_ms"])
        bare.append(asyncio.run(fetch_bare(stage, mailbox, ids)))
        runs.append(sync(stage, worker, connect(mailbox, SHARE), len(ids)))
        loops.append(run_loop(stage, mailbox, connect(mailbox, SHARE), ids[: sizes["naive_mails"]]))
        _set_latency(stage, sizes["latency_ms"], 0)
        flat.append(sync(stage, worker, connect(mailbox, SHARE), len(ids)))
    run, bound = middle(runs), bound_per_second(sizes["latency_ms"], sizes["part_latency_ms"])
    naive = median(loop.rate for loop in loops)
    name = "Catch-up of one mailbox, 22% admitted"
    fast, fast_bound = middle(flat).rate, bound_per_second(sizes["latency_ms"], 0)
    return [
        Line(2, name, run.rate, "msgs/s", "msgs/s, latency bound", bound, ">= .65 of the bound", at_least=0.65,
             note=f"bare fetch of every header, stored nowhere: {median(bare):,.0f} msgs/s; the rest is {run.cpu_ms:.2f} ms "
             "CPU per mail, during whose database part the event loop stands still; at 50 ms per batch whatever its size: "
             f"{fast:,.0f} msgs/s (bound {fast_bound:,.0f})",
             details={"rounds": [one.rate for one in runs], "bare_fetch": median(bare), "flat_latency": fast}),
        Line(2, name, run.rate, "msgs/s", "msgs/s, naive loop", naive, ">= 30x the naive loop", at_least=30,
             details={"naive_rounds": [loop.rate for loop in loops]}),
    ]  # fmt: skip


def _with_quota(stage: Stage, worker: int, mailbox: Mailbox, ids: list[str], sizes: dict[str, Any]) -> list[Line]:
    """One run with the stand-in's quota in force, as a share of the units that it would have given in that time."""
    per_minute = sizes["units_per_minute"]
    _set_latency(stage, sizes["latency_ms"], sizes["part_latency_ms"])
    limits = {"enabled": True, "per_user_per_minute": per_minute}
    before = stage.sandbox.call("POST", "/quota", json=limits)["spent"].get(mailbox.address, 0)
    stage.sandbox.call("DELETE", "/requests")
    run = sync(stage, worker, connect(mailbox, SHARE), len(ids))
    spent = stage.sandbox.call("GET", "/quota")["spent"][mailbox.address] - before
    refused = len(stage.sandbox.requests(status=429))
    expected = round(len(ids) * SHARE)
    if run.logged != expected:
        raise RuntimeError(f"logged {run.logged} of {expected} mails under the quota")
    offered = per_minute + per_minute / 60 * run.seconds
    return [
        Line(2, f"Units used, quota of {per_minute:,} a minute", spent, "units", "units, all that the quota gave", offered,
             ">= 97% of the units, none lost", at_least=0.97,
             note=f"{len(ids):,} mails in {run.seconds:.0f} s, {spent / len(ids):.1f} units per mail; none lost; "
             f"{refused} calls were refused (429)",
             details={"seconds": run.seconds, "refused": refused}),
    ]  # fmt: skip


def bound_per_second(latency_ms: float, part_latency_ms: float) -> float:
    """Messages a second with LANES batches of BATCH always in flight."""
    return LANES * BATCH / ((latency_ms + BATCH * part_latency_ms) / 1000)


def _set_latency(stage: Stage, request_ms: int, part_ms: int) -> None:
    stage.sandbox.call("POST", "/knobs", json={"latency_ms": request_ms, "part_latency_ms": part_ms})


async def fetch_bare(stage: Stage, mailbox: Mailbox, ids: list[str]) -> float:
    """Messages a second when headers are only fetched: what stand-in, machine and HTTP client give."""
    groups = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    headers = {
        "Authorization": f"Bearer {mailbox.tokens['access_token']}",
        "Content-Type": f"multipart/mixed; boundary={BOUNDARY}",
    }
    async with Http(max_connections=LANES) as http:

        async def lane() -> None:
            while groups:
                parts = [(number, f"messages/{i}?format=metadata") for number, i in enumerate(groups.pop())]
                answer = await http.request(
                    "POST", f"{stage.sandbox.url}/batch/gmail/v1", headers=headers, content=build_batch(BOUNDARY, parts)
                )
                if any(part.status != 200 for part in read_batch(answer).values()):
                    raise RuntimeError("the stand-in refused a part of a batch")

        begun = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(LANES)))
        return len(ids) / (time.perf_counter() - begun)
