"""Handing over work: after the commit, once, and past what dead workers and a sick Redis leave behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from redis import Redis
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from portal import create_app, queues
from portal.database import db, transaction
from tests.services.web_client import PortalClient

JOB = "upkeep.clean_registries"
only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def waiting(name: str = queues.DEFAULT) -> list[str]:
    return queues.queue(name).job_ids


def job(job_id: str) -> Job:
    return Job.fetch(job_id, connection=queues.redis(), serializer=JSONSerializer)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=32) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_job_is_handed_over_after_the_commit_only(app: Flask) -> None:
    with transaction():
        queues.enqueue(JOB)
        assert waiting() == []
    assert len(waiting()) == 1


@only_sqlite
def test_a_rolled_back_transaction_hands_over_nothing(app: Flask) -> None:
    queues.enqueue(JOB)
    db.session.rollback()
    db.session.commit()
    assert waiting() == []


@only_sqlite
def test_the_same_key_waits_once(app: Flask) -> None:
    for _ in range(2):
        with transaction():
            queues.enqueue(JOB, "1", on=queues.PUSH, once="mailbox-1")
    assert waiting(queues.PUSH) == ["mailbox-1"]
    assert list(job("mailbox-1").args) == ["1"]


@only_sqlite
def test_a_job_that_waits_long_is_not_lost(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOST_SECONDS", 0)
    for _ in range(2):
        with transaction():
            queues.enqueue(JOB, once="mailbox-1")
    assert waiting() == ["mailbox-1"]


@only_sqlite
@pytest.mark.fault(4)
@pytest.mark.parametrize("left_as", ["started", "queued nowhere", "failed", "half a hash"])
def test_what_a_dead_worker_left_is_replaced(app: Flask, left_as: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction():
        queues.enqueue(JOB, once="mailbox-1")
    queues.redis().delete(queues.queue(queues.DEFAULT).key)  # taken out of the queue
    match left_as:
        case "started":
            job("mailbox-1").set_status(JobStatus.STARTED)
        case "failed":
            job("mailbox-1").set_status(JobStatus.FAILED)
        case "half a hash":
            queues.redis().delete(Job.key_for("mailbox-1"))
            queues.redis().hset(Job.key_for("mailbox-1"), "last_heartbeat", "?")
    if left_as != "half a hash":
        with transaction():
            queues.enqueue(JOB, once="mailbox-1")
        assert waiting() == [], "it was handed over a moment ago and may still be alive"
    monkeypatch.setattr(queues, "LOST_SECONDS", 0)
    with transaction():
        queues.enqueue(JOB, once="mailbox-1")
    assert waiting() == ["mailbox-1"]


@only_sqlite
@pytest.mark.fault(7)
def test_a_redis_that_never_answers_costs_two_seconds(
    app: Flask, black_hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "redis", queues.connect(black_hole))
    began = time.monotonic()
    with transaction():
        queues.enqueue(JOB)
    assert time.monotonic() - began < 10


@only_sqlite
@pytest.mark.fault(7)
def test_pages_answer_beside_a_redis_that_never_does(app: Flask, black_hole: str) -> None:
    other = create_app(replace(app.extensions["settings"], redis_url=black_hole))
    other.test_client_class = PortalClient
    client = other.test_client()
    for method, path in (("GET", "/sign-in"), ("POST", "/sign-in")):
        began = time.monotonic()
        answer = client.open(path, method=method, data={"email": "a@lumen.example", "password": "wrong"})
        assert answer.status_code < 500
        assert time.monotonic() - began < 15
    assert client.get("/readyz").json["redis"] is False


@pytest.mark.fault(6)
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_keys_is_refused(redis_url: str, policy: str) -> None:
    redis = Redis.from_url(redis_url)
    queues.refuse_eviction(redis)
    redis.config_set("maxmemory-policy", policy)
    try:
        with pytest.raises(SystemExit, match=policy):
            queues.refuse_eviction(redis)
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_redis_that_is_away_is_not_called_evicting() -> None:
    queues.refuse_eviction(queues.connect("redis://127.0.0.1:1/0"))
