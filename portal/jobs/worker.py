"""`python -m portal.jobs.worker`: one RQ worker, with the application loaded once and no process per job.

Each job has an application context (and so a database session) of its own, acts for the portal itself, and gives a
sign of life while it runs. Errors are logged by their place, never by their text: a message may carry mail content.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import TracebackType

from flask import Flask
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

from portal import create_app, jobs, queues
from portal.audit.caller import PORTAL, set_caller
from portal.lib.traces import trace_of

WORKER_TTL = 30  # an idle worker gives a sign of life every WORKER_TTL - 15 seconds
MAX_JOBS = 2000  # then the process ends and its supervisor starts a fresh one


class PortalWorker(SimpleWorker):
    """RQ's worker without a fork, bound to one application."""

    def __init__(self, app: Flask, names: tuple[str, ...] = queues.QUEUES) -> None:
        self.app, self.failure = app, ""
        connection = queues.connect(app.extensions["settings"].redis_url)
        queues.refuse_eviction(connection)
        super().__init__(
            [queues.queue(name, connection) for name in names],
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=queues.HEARTBEAT_SECONDS,
            log_job_description=False,
        )
        self.log_result_lifespan = False

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run one job in its own application context."""
        with self.app.app_context(), self.beating(job, execution):
            set_caller(PORTAL)
            done: bool = super().perform_job(job, queue, execution)
            return done

    @contextmanager
    def beating(self, job: Job, execution: Execution) -> Iterator[None]:
        """Say every few seconds that the job is alive, from a thread beside it."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(queues.HEARTBEAT_SECONDS):
                try:
                    self.maintain_heartbeats(job, execution)
                except (RedisError, OSError):
                    continue

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def handle_exception(
        self, job: Job, *exc_info: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        """Log where a job broke."""
        error = exc_info[1]
        self.failure = trace_of(error) if isinstance(error, BaseException) else "unknown"
        self.app.logger.error("job %s (%s) failed: %s", job.description, job.id, self.failure)

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: object = None, exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:  # fmt: skip
        """Keep in Redis what was logged, in place of the whole traceback."""
        super().handle_job_failure(job, queue, started_job_registry, self.failure, execution)
        self.failure = ""


def main(arguments: list[str]) -> int:
    """Work until told to stop or until MAX_JOBS are done."""
    parser = argparse.ArgumentParser(prog="python -m portal.jobs.worker")
    parser.add_argument("queues", nargs="*", help=f"in their order; default: {' '.join(queues.QUEUES)}")
    parser.add_argument("--max-jobs", type=int, default=MAX_JOBS)
    parser.add_argument("--burst", action="store_true", help="end when the queues are empty")
    given = parser.parse_args(arguments)
    for module in pkgutil.iter_modules(jobs.__path__):
        if module.name != "worker":  # which is this one, under another name
            import_module(f"portal.jobs.{module.name}")  # now, and not while the first job waits
    worker = PortalWorker(create_app(), tuple(given.queues) or queues.QUEUES)
    worker.work(burst=given.burst, max_jobs=given.max_jobs, logging_level="WARNING")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
