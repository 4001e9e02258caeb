"""One mailbox through one real worker, from the job's enqueueing to the last row, with what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from uuid import UUID

import psycopg

from bench import cpu
from bench.corpus import build_mails, deliver
from bench.practice import Mailbox, connect, open_mailbox
from bench.stage import Stage, wait_until
from portal.database import transaction
from portal.sync.service import enqueue_sync

STATE = "SELECT seen, lease IS NULL AND last_success_at IS NOT NULL, last_error FROM connection WHERE id = %s"
LOGGED = "SELECT count(*) FROM decision WHERE connection_id = %s AND outcome = 'logged'"
WARM_UP = 300  # mails of a first mailbox: a worker that has run for a while has its statements compiled


@dataclass(frozen=True)
class Synced:
    """One run: how many mails were met and logged, how long it took, and whose CPU seconds it cost."""

    mails: int
    logged: int
    seconds: float
    worker: float
    database: float
    stand_in: float
    memory_mb: float

    @property
    def rate(self) -> float:
        """Mails a second."""
        return self.mails / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Of worker and database together, per mail met."""
        return (self.worker + self.database) * 1000 / self.mails


def sync(stage: Stage, worker: int, connection_id: UUID, mails: int) -> Synced:
    """Let the worker bring a mailbox with so many new mails up to date. Raises RuntimeError when it stops before."""
    with psycopg.connect(stage.addresses.database_url, autocommit=True) as watcher:
        own = (watcher.info.backend_pid,)

        def is_done() -> bool:
            seen, is_over, error = watcher.execute(STATE, [connection_id]).fetchone() or (0, False, "gone")
            if error:
                raise RuntimeError(f"the sync stopped: {error}")
            return bool(is_over) and seen >= mails

        before = (cpu.cpu_seconds([worker]), stage.database_cpu(own), cpu.cpu_seconds([stage.sandbox_pid]))
        begun = time.perf_counter()
        with transaction():
            enqueue_sync(connection_id)
        wait_until(is_done, f"{mails} mails")
        seconds = time.perf_counter() - begun
        after = (cpu.cpu_seconds([worker]), stage.database_cpu(own), cpu.cpu_seconds([stage.sandbox_pid]))
        logged = (watcher.execute(LOGGED, [connection_id]).fetchone() or (0,))[0]
    spent, database, stand_in = (late - early for early, late in zip(before, after, strict=True))
    return Synced(mails, logged, seconds, spent, database, stand_in, cpu.resident_mb(worker))


def warm_up(stage: Stage, worker: int) -> None:
    """A mailbox of another person, synced and forgotten."""
    mailbox = open_mailbox(stage.sandbox, "warm@gmail.example")
    deliver(stage.sandbox, build_mails(WARM_UP, 0.22), mailbox.address)
    sync(stage, worker, connect(mailbox, 0.5, 100), WARM_UP)


def filled_mailbox(stage: Stage, mails: int, admitted: float) -> tuple[Mailbox, list[str]]:
    """The mailbox with its mails, and their ids."""
    mailbox = open_mailbox(stage.sandbox)
    return mailbox, deliver(stage.sandbox, build_mails(mails, admitted))


def middle(runs: list[Synced]) -> Synced:
    """The run with the median of each figure."""
    names = ("seconds", "worker", "database", "stand_in", "memory_mb")
    return Synced(runs[0].mails, runs[0].logged, **{name: median(getattr(run, name) for run in runs) for name in names})
