"""Hand work to the RQ workers: names and ids only, and only after the commit of what the job will read.

Redis is transport. The database owns every state that matters, the schedule hands over again what is due, and a job
that its worker left behind is replaced here, so nothing waits for what Redis remembers of a dead process.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import current_app
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, get_current_job
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job
from rq.registry import clean_registries
from rq.serializers import JSONSerializer
from rq.utils import now as machine_now  # RQ stamps by the machine's clock, so its stamps are compared with that
from rq.utils import utcparse
from rq.worker_registration import get_keys

from portal.database import after_commit

PUSH, SENDING, DEFAULT, POLL, BULK = "push", "sending", "default", "poll", "bulk"
QUEUES = (PUSH, SENDING, DEFAULT, POLL, BULK)  # in the order in which workers look at them
JOB_SECONDS = 900  # a job that runs longer is ended
FAILURE_SECONDS = 24 * 3600
HEARTBEAT_SECONDS = 5  # how often a worker says that its job is alive
LOST_SECONDS = 30  # without a sign of life for so long, a job counts as left behind by a dead worker
WORKER_SECONDS = 60  # without a sign of life for so long, a worker counts as dead


def connect(url: str) -> Redis:
    """A client that gives up on a Redis which does not answer within 2 seconds.

    The client's own default tries ten times more. Here only a broken connection is tried once more, since a server's
    restart leaves some in the pool; a time-out is not.
    """
    retry = Retry(NoBackoff(), 1, supported_errors=(Unreachable,))
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2, retry=retry)


def redis() -> Redis:
    """The application's Redis. Nothing in it may be needed to rebuild state (the database owns that)."""
    found: Redis = current_app.extensions["redis"]
    return found


def queue(name: str, connection: Redis | None = None) -> Queue:
    """One of QUEUES, over the application's connection or the given one."""
    return Queue(name, connection=connection or redis(), serializer=JSONSerializer, default_timeout=JOB_SECONDS)


def enqueue(job: str, *ids: Any, on: str = DEFAULT, once: str | None = None) -> None:
    """Enqueue `portal.jobs.<job>` with ids after the current transaction commits.

    `once` is a key (letters, digits, `_`, `-`): while a job with it waits or runs, another is not added. Redis being
    away is no error here: the schedule picks up due work from the database.
    """
    plain = tuple(str(item) for item in ids)

    def push() -> None:
        try:
            _push(job, plain, on, once)
        except DuplicateJobError:
            if once is not None and _remove_if_lost(once):
                _push_unless_present(job, plain, on, once)
        except (RedisError, OSError):
            current_app.logger.warning("queue unreachable; the schedule will pick up %s", job)

    after_commit(push)


def current_job_id() -> str:
    """The name of the job that this worker runs now; "" outside a job. A job cannot put itself into its queue again."""
    job = get_current_job()
    return str(job.id) if job is not None else ""


def _push(job: str, ids: tuple[str, ...], on: str, once: str | None) -> None:
    queue(on).enqueue_call(
        f"portal.jobs.{job}",
        args=ids,
        job_id=once,
        unique=once is not None,
        result_ttl=0,
        failure_ttl=0 if once else FAILURE_SECONDS,
        description=job,
    )


def _push_unless_present(job: str, ids: tuple[str, ...], on: str, once: str) -> None:
    try:
        _push(job, ids, on, once)
    except DuplicateJobError:
        return  # someone else has just replaced it


def _remove_if_lost(job_id: str) -> bool:
    """Whether RQ's memory of this job is only that, and is now forgotten.

    A worker that is killed leaves its job "started", or "queued" in no queue (killed between taking and starting).
    RQ itself would call it a duplicate for as long as the job's time limit, or for ever.
    """
    try:
        if _is_alive(job_id):
            return False
        redis().delete(Job.key_for(job_id))
    except (RedisError, OSError):
        return False
    return True


def _is_alive(job_id: str) -> bool:
    try:
        job = Job.fetch(job_id, connection=redis(), serializer=JSONSerializer)
    except NoSuchJobError:
        return False
    if redis().lpos(queue(job.origin).key, job_id) is not None:
        return True
    signs = [sign for sign in (job.created_at, job.enqueued_at, job.last_heartbeat) if sign is not None]
    return bool(signs) and machine_now() - max(signs) < timedelta(seconds=LOST_SECONDS)


def forget_dead() -> None:
    """Clear what dead workers left in RQ's registries (hygiene: nothing depends on it)."""
    for name in QUEUES:
        clean_registries(queue(name))


def live_workers() -> int:
    """How many workers gave a sign of life lately. Raises RedisError.

    Read by hand: RQ's `Worker.all` would lengthen the time-outs of the connection that it is given.
    """
    keys = sorted(get_keys(connection=redis()))
    with redis().pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, "last_heartbeat", "death")
        found = pipeline.execute()
    since = machine_now() - timedelta(seconds=WORKER_SECONDS)
    return sum(1 for beat, death in found if beat and not death and utcparse(beat.decode()) > since)


def may_lose_keys(connection: Redis) -> str:
    """The eviction policy by which this Redis throws keys away when full; empty when it refuses writes instead.

    A lease that vanishes lets two workers in, so such a Redis is refused at start-up. Raises RedisError.
    """
    policy = str(connection.info("memory").get("maxmemory_policy", ""))
    return "" if policy in ("", "noeviction") else policy


def refuse_eviction(connection: Redis) -> None:
    """Raises SystemExit when Redis is set to evict keys. Does not wait for a Redis that is away."""
    try:
        policy = may_lose_keys(connection)
    except (RedisError, OSError):
        return
    if policy:
        raise SystemExit(f"Redis has maxmemory-policy {policy}: it may drop leases and jobs. Set it to noeviction.")
