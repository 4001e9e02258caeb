"""`python -m portal.jobs.schedule`: everything that happens by the clock, in one list.

Any number of instances may run. A lease in Redis elects the one that works; the row of each entry in the database,
changed only from the value that was read, is what makes a double run impossible even when two believe to lead. An
entry that was missed while nothing ran is run once, late.
"""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask
from redis import Redis
from redis.exceptions import LockError, RedisError
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from portal import create_app, queues
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import ScheduleTick

LEASE = "portal:schedule"
LEASE_SECONDS = 10  # a dead leader is followed after this long at most, plus one beat
BEAT_SECONDS = 3


@dataclass(frozen=True)
class Entry:
    """Every `seconds`, enqueue `portal.jobs.<job>` on a queue. Without a job it only leaves its row as a heartbeat."""

    name: str
    seconds: int
    job: str = ""
    on: str = queues.DEFAULT


SCHEDULE = (
    Entry("tick", 15),  # what /readyz looks at
    Entry("poll", 3, "mail.poll_tick", queues.POLL),
    Entry("sending", 15, "sending.sweep", queues.SENDING),
    Entry("bulk", 15, "bulk.sweep", queues.BULK),
    Entry("intake", 15, "intake.sweep"),
    Entry("workflows", 30, "workflows.sweep"),
    Entry("watches", 3600, "mail.renew_watches"),
    Entry("revocations", 300, "mail.retry_revocations"),
    Entry("imports", 60, "contacts.sweep_imports"),
    Entry("registries", 60, "upkeep.clean_registries"),
)


def run_due(entries: tuple[Entry, ...] = SCHEDULE) -> list[str]:
    """Enqueue what is due now and note it, in one transaction; names of what this instance has claimed."""
    moment = now()
    with transaction():
        claimed = [entry for entry in entries if _claim(entry, moment)]
        for entry in claimed:
            if entry.job:
                queues.enqueue(entry.job, on=entry.on, once=f"schedule-{entry.name}")
    return [entry.name for entry in claimed]


def _claim(entry: Entry, moment: datetime) -> bool:
    """Whether the entry is due and this transaction is the one that runs it."""
    row = db.session.get(ScheduleTick, entry.name, populate_existing=True)
    if row is None:
        db.session.add(ScheduleTick(name=entry.name, ran_at=moment))
        db.session.flush()
        return True
    if abs(moment - row.ran_at) < timedelta(seconds=entry.seconds):
        return False  # far in the future means that the clock was set back: then it is due
    swap = (
        update(ScheduleTick)
        .where(ScheduleTick.name == entry.name, ScheduleTick.ran_at == row.ran_at)
        .values(ran_at=moment)
        .execution_options(synchronize_session=False)
    )
    return db.session.connection().execute(swap).rowcount == 1


class Leadership:
    """The lease by which one of several instances works."""

    def __init__(self, redis: Redis, seconds: float = LEASE_SECONDS) -> None:
        self._lock = redis.lock(LEASE, timeout=seconds, blocking=False, thread_local=False)

    def hold(self) -> bool:
        """Take or renew the lease; False while another instance has it. Raises RedisError."""
        if self._lock.local.token is not None:
            try:
                return bool(self._lock.reacquire())
            except LockError:
                self._lock.local.token = None  # it ran out, as after a long pause of this process
        return bool(self._lock.acquire())

    def give_up(self) -> None:
        """Let another instance follow at once."""
        try:
            self._lock.release()
        except (LockError, RedisError, OSError):
            return


def run(app: Flask, stop: threading.Event, *, beat: float = BEAT_SECONDS, lease: float = LEASE_SECONDS) -> None:
    """Beat until `stop` is set. An unreachable Redis or database costs the beat, not the process."""
    leadership = Leadership(app.extensions["redis"], lease)
    while not stop.is_set():
        try:
            if leadership.hold():
                with app.app_context():
                    run_due()
        except (RedisError, SQLAlchemyError, OSError) as error:
            app.logger.warning("the schedule missed a beat: %s", type(error).__name__)
        stop.wait(beat)
    leadership.give_up()


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    app, stop = create_app(), threading.Event()
    queues.refuse_eviction(app.extensions["redis"])
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    run(app, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
