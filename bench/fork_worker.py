"""`python -m bench.fork_worker QUEUE`: RQ as it comes, a forked process per job and a job per mailbox (a floor).

The application is loaded before the first fork, as RQ advises; the job itself is the portal's own poll, of one mailbox.
"""

from __future__ import annotations

import sys
from uuid import UUID

from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import Worker
from sqlalchemy.orm import configure_mappers

from portal import create_app, queues
from portal.jobs import mail  # noqa: F401  everything that a job needs, imported before the fork
from portal.lib.http import Http
from portal.sync import polling


class ForkWorker(Worker):
    """RQ's default worker with the portal's application at hand in each child."""

    app = create_app() if __name__ == "__main__" else None

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run one job in the forked child."""
        assert self.app is not None
        with self.app.app_context():
            done: bool = super().perform_job(job, queue, execution)
            return done


def poll_one(connection_id: str) -> None:
    """The job: one mailbox."""
    polling.poll_shard([UUID(connection_id)])


def main(names: list[str]) -> int:
    """Work until told to stop."""
    assert ForkWorker.app is not None
    configure_mappers()  # done here and not anew in every child, like
    Http()  # reading the certificates
    connection = queues.connect(ForkWorker.app.extensions["settings"].redis_url)
    worker = ForkWorker(
        [queues.queue(name, connection) for name in names],
        connection=connection, serializer=JSONSerializer, log_job_description=False,
    )  # fmt: skip
    worker.log_result_lifespan = False
    worker.work(logging_level="WARNING")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
