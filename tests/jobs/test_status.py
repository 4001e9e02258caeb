"""/healthz and /readyz."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from rq.utils import utcformat
from sqlalchemy.exc import OperationalError

from portal import queues
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import ScheduleTick


def make_worker(seconds_ago: float) -> None:
    beat = queues.machine_now() - timedelta(seconds=seconds_ago)
    queues.redis().sadd("rq:workers", "rq:worker:one")
    queues.redis().hset("rq:worker:one", "last_heartbeat", utcformat(beat))


def make_tick(app: Flask, seconds_ago: float) -> None:
    with transaction() as session:
        session.add(ScheduleTick(name="tick", ran_at=now() - timedelta(seconds=seconds_ago)))


def test_the_process_is_alive_without_any_part(client: Any) -> None:
    assert client.get("/healthz").json == {"status": "alive"}


def test_all_parts_make_it_ready(app: Flask, client: Any) -> None:
    make_worker(1)
    make_tick(app, 100)
    answer = client.get("/readyz")
    assert answer.json == {"status": "ready", "database": True, "redis": True, "worker": True, "schedule": True}
    assert answer.status_code == 200


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("missing", ["worker", "dead worker", "schedule", "late schedule", "redis", "evicting redis"])
def test_a_missing_part_is_named(app: Flask, client: Any, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing != "worker":
        make_worker(1 if missing != "dead worker" else 61)
    if missing != "schedule":
        make_tick(app, 1 if missing != "late schedule" else 121)
    if missing == "redis":
        monkeypatch.setitem(app.extensions, "redis", queues.connect("redis://127.0.0.1:1/0"))
    if missing == "evicting redis":
        monkeypatch.setattr("portal.status.may_lose_keys", lambda _redis: "allkeys-lru")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json[missing.split()[-1]] is False


@pytest.mark.fault(8)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_missing_database_is_named(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("select 1", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(type(db.session()), "execute", fail)
        patch.setattr(type(db.session()), "get", fail)
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["database"] is False
