"""Hand work to the RQ workers: names and ids only, and only after the commit of what the job will read."""

from __future__ import annotations

from typing import Any

from flask import current_app
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from portal.database import after_commit

PUSH, SENDING, DEFAULT, POLL = "push", "sending", "default", "poll"
QUEUES = (PUSH, SENDING, DEFAULT, POLL)  # in the order in which workers look at them
FAILURE_SECONDS = 24 * 3600


def redis() -> Redis:
    """The application's Redis. Nothing in it may be needed to rebuild state (the database owns that)."""
    found: Redis = current_app.extensions["redis"]
    return found


def queue(name: str) -> Queue:
    """One of QUEUES."""
    return Queue(name, connection=redis(), serializer=JSONSerializer, default_timeout=900)


def enqueue(job: str, *ids: Any, on: str = DEFAULT, once: str | None = None) -> None:
    """Enqueue `portal.jobs.<job>` with ids after the current transaction commits.

    `once` is a key: while a job with it waits or runs, another is not added. Redis being away is no error here:
    the schedule picks up due work from the database.
    """
    plain = [str(item) for item in ids]

    def push() -> None:
        try:
            queue(on).enqueue_call(
                f"portal.jobs.{job}",
                args=tuple(plain),
                job_id=once,
                unique=once is not None,
                result_ttl=0,
                failure_ttl=0 if once else FAILURE_SECONDS,
                description=job,
            )
        except DuplicateJobError:
            return
        except (RedisError, OSError):
            current_app.logger.warning("queue unreachable; the schedule will pick up %s", job)

    after_commit(push)
