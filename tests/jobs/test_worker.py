"""The worker: one context per job, errors without their texts, and what a killed one leaves is taken up again."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from rq.job import Job
from rq.serializers import JSONSerializer

from devtools.places import ROOT
from portal import queues
from portal.database import db, transaction
from portal.jobs.worker import PortalWorker, trace_of
from portal.models import ScheduleTick
from tests.conftest import Backend
from tests.services.processes import running


@pytest.fixture
def worker(app: Flask) -> Iterator[PortalWorker]:
    """A worker in this process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    worker = PortalWorker(app)
    yield worker
    worker.connection.close()
    for number, handler in kept.items():
        signal.signal(number, handler)


def put(function: str, *arguments: str, job_id: str | None = None, on: str = queues.DEFAULT) -> Job:
    return queues.queue(on).enqueue_call(
        f"tests.jobs.blocking.{function}", args=arguments, job_id=job_id, result_ttl=0, failure_ttl=0
    )


def work(worker: PortalWorker) -> None:
    db.session.remove()
    worker.work(burst=True, logging_level="ERROR")


def test_every_job_has_its_own_session_and_the_portal_as_its_caller(worker: PortalWorker) -> None:
    put("leave_open")
    put("leave_open")
    work(worker)
    assert queues.queue(queues.DEFAULT).failed_job_registry.count == 0
    assert db.session.get(ScheduleTick, "open") is None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_error_is_logged_by_its_place_and_not_by_its_text(
    worker: PortalWorker, caplog: pytest.LogCaptureFixture
) -> None:
    queues.queue(queues.DEFAULT).enqueue_call(
        "tests.jobs.blocking.fail", args=("xyzzy",), failure_ttl=60, description="fail"
    )
    with caplog.at_level(logging.WARNING):
        work(worker)
    assert "ValueError" in caplog.text
    assert "blocking.py" in caplog.text
    assert "xyzzy" not in caplog.text
    [failed] = queues.queue(queues.DEFAULT).failed_job_registry.get_job_ids()
    result = Job.fetch(failed, connection=queues.redis(), serializer=JSONSerializer).latest_result()
    assert result is not None
    assert "ValueError" in str(result.exc_string)
    assert "xyzzy" not in str(result.exc_string)


def test_causes_are_named_without_their_texts() -> None:
    try:
        try:
            raise KeyError("a patient's name")
        except KeyError as error:
            raise RuntimeError("and more") from error
    except RuntimeError as error:
        text = trace_of(error)
    assert "RuntimeError at" in text
    assert "from KeyError at" in text
    assert "patient" not in text
    assert "more" not in text


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_queues_are_served_in_their_order(worker: PortalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    perform = PortalWorker.perform_job
    monkeypatch.setattr(
        PortalWorker, "perform_job", lambda self, job, *rest: seen.append(job.origin) or perform(self, job, *rest)
    )
    for name in reversed(queues.QUEUES):
        put("block", "0", on=name)
    work(worker)
    assert tuple(seen) == queues.QUEUES


@pytest.mark.fault(1)
@pytest.mark.fault(4)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_the_work_of_a_killed_worker_is_taken_up_again(
    backend: Backend, worker: PortalWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed without a word in the middle of a job; here after 1 s, in life after LOST_SECONDS and one sweep."""
    assert queues.LOST_SECONDS + 15 < 120
    put("block", "60", job_id="mailbox-1")
    command = [sys.executable, "-m", "portal.jobs.worker"]
    with running(command, log=tmp_path / "worker.log", env=os.environ | backend.environ, cwd=ROOT) as process:
        deadline = time.monotonic() + 20
        while not (started := queues.queue(queues.DEFAULT).started_job_registry.get_job_ids(cleanup=False)):
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.05)
        with transaction():
            queues.enqueue("upkeep.clean_registries", once="mailbox-1")
        assert queues.queue(queues.DEFAULT).job_ids == [], "the worker lives: one at a time"
        assert queues.live_workers() == 1
        process.kill()
        process.wait()
    assert started == ["mailbox-1"]
    monkeypatch.setattr(queues, "LOST_SECONDS", 1)
    time.sleep(1.1)
    with transaction():
        queues.enqueue("upkeep.clean_registries", once="mailbox-1")
    assert queues.queue(queues.DEFAULT).job_ids == ["mailbox-1"]
    work(worker)
    assert queues.queue(queues.DEFAULT).job_ids == []
    assert not Job.exists("mailbox-1", connection=queues.redis())


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_running_job_gives_signs_of_life(worker: PortalWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "HEARTBEAT_SECONDS", 0.1)
    beats: list[str] = []
    beat = PortalWorker.maintain_heartbeats
    monkeypatch.setattr(
        PortalWorker, "maintain_heartbeats", lambda self, job, execution: beats.append(job.id) or beat(self, job, execution)
    )
    put("block", "0.5", job_id="mailbox-1")
    work(worker)
    assert len(beats) >= 3
    assert not Job.exists("mailbox-1", connection=queues.redis())


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_failed_job_may_come_again_at_once(worker: PortalWorker) -> None:
    put("fail", "x", job_id="mailbox-1")
    work(worker)
    with transaction():
        queues.enqueue("upkeep.clean_registries", once="mailbox-1")
    assert queues.queue(queues.DEFAULT).job_ids == ["mailbox-1"]
    assert Job.fetch("mailbox-1", connection=queues.redis(), serializer=JSONSerializer).description
