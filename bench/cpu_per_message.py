"""Metric 1: CPU per message of worker and database together, against the naive loop."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.naive import Looped, run_loop
from bench.practice import Mailbox, connect
from bench.report import Line
from bench.stage import Stage, fresh
from bench.sync_run import Synced, filled_mailbox, middle, sync, warm_up

FULL = {"mails": 5_000, "naive_mails": 300, "rounds": 3}
QUICK = {"mails": 500, "naive_mails": 60, "rounds": 1}
SHARE = 0.22  # of the mails are written by contacts
TARGET = "<= 1/10 of the naive loop"


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Two shares of admitted mail, each in interleaved rounds with the loop."""
    with fresh(stage, "bench_cpu") as ready:
        mailbox, ids = filled_mailbox(ready, sizes["mails"], SHARE)
        with ready.workers("push") as (worker,):
            warm_up(ready, worker)
            return [_compare(ready, worker, mailbox, ids, share, sizes) for share in (SHARE, 1.0)]


def _compare(
    stage: Stage, worker: int, mailbox: Mailbox, ids: list[str], share: float, sizes: dict[str, Any]
) -> Line:
    runs: list[Synced] = []
    loops: list[Looped] = []
    for _round in range(sizes["rounds"]):
        runs.append(sync(stage, worker, connect(mailbox, share), len(ids)))
        loops.append(run_loop(stage, mailbox, connect(mailbox, share), ids[: sizes["naive_mails"]]))
    run = middle(runs)
    worker_ms, database_ms = run.worker * 1000 / run.mails, run.database * 1000 / run.mails
    expected = round(len(ids) * share)
    if any(one.logged != expected for one in runs):
        raise RuntimeError(f"logged {[one.logged for one in runs]} of {expected} mails")
    return Line(
        1, f"CPU per message, {share:.0%} admitted", run.cpu_ms, "ms", "ms, naive loop",
        median(loop.cpu_ms for loop in loops), TARGET, at_most=1 / 10,
        note=f"worker {worker_ms:.2f} ms ({run.memory_mb:.0f} MB), database {database_ms:.2f} ms; the stand-in itself takes "
        f"{run.stand_in * 1000 / run.mails:.2f} ms; {run.rate:,.0f} msgs/s without latency",
        details={"worker_ms": worker_ms, "database_ms": database_ms,
                 "rounds_ms": [one.cpu_ms for one in runs], "naive_rounds_ms": [loop.cpu_ms for loop in loops]},
    )  # fmt: skip

