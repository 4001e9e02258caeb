"""The schedule: what is due runs once, however many instances there are and however often they die."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from importlib import import_module

import pytest
import time_machine
from flask import Flask
from redis import Redis

from portal import queues
from portal.database import db, transaction
from portal.jobs import schedule
from portal.jobs.schedule import SCHEDULE, Entry, Leadership, run_due
from portal.lib.clock import now
from portal.models import ScheduleTick

ENTRIES = (Entry("tick", 15), Entry("short", 15, "upkeep.clean_registries"), Entry("long", 3600, "upkeep.clean_registries"))


@pytest.mark.parametrize("entry", [entry for entry in SCHEDULE if entry.job], ids=lambda entry: entry.name)
def test_every_entry_names_a_job_and_a_queue(entry: Entry) -> None:
    module, _, name = entry.job.rpartition(".")
    assert callable(getattr(import_module(f"portal.jobs.{module}"), name))
    assert entry.on in queues.QUEUES


def test_what_is_due_is_enqueued_and_noted(app: Flask, frozen_clock: time_machine.Coordinates) -> None:
    assert run_due(ENTRIES) == ["tick", "short", "long"]
    assert queues.queue(queues.DEFAULT).job_ids == ["schedule-short", "schedule-long"]
    assert run_due(ENTRIES) == []
    frozen_clock.shift(15)
    assert run_due(ENTRIES) == ["tick", "short"]
    tick = db.session.get(ScheduleTick, "tick")
    assert tick is not None
    assert tick.ran_at == now()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_was_missed_runs_once_and_a_clock_set_back_stops_nothing(
    app: Flask, frozen_clock: time_machine.Coordinates
) -> None:
    run_due(ENTRIES)
    frozen_clock.shift(timedelta(hours=9))
    assert run_due(ENTRIES) == ["tick", "short", "long"]
    assert run_due(ENTRIES) == []
    frozen_clock.shift(timedelta(minutes=-10))
    assert run_due(ENTRIES) == ["tick", "short"]


def test_two_instances_never_run_an_entry_twice(app: Flask) -> None:
    """Even without the lease: both find the same entries due at the same moment, and share them."""
    with transaction() as session:
        for entry in ENTRIES:
            session.add(ScheduleTick(name=entry.name, ran_at=now() - timedelta(days=1)))
    barrier, claimed = threading.Barrier(4), []

    def instance() -> None:
        with app.app_context():
            barrier.wait()
            claimed.extend(run_due(ENTRIES))

    threads = [threading.Thread(target=instance) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == ["long", "short", "tick"]


def test_the_lease_has_one_holder_and_passes_on(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    redis.delete(schedule.LEASE)
    first, second = Leadership(redis, 0.3), Leadership(redis, 0.3)
    assert first.hold()
    assert not second.hold()
    assert first.hold(), "its holder renews it"
    time.sleep(0.35)  # the first one died
    assert second.hold()
    assert not first.hold(), "it does not take back what has passed on"
    second.give_up()
    assert first.hold()
    first.give_up()
    assert schedule.LEASE_SECONDS + schedule.BEAT_SECONDS <= 15


@pytest.mark.fault(5)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_redis_that_is_away_costs_beats_and_not_the_process(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    away, there = queues.connect("redis://127.0.0.1:1/0"), app.extensions["redis"]
    monkeypatch.setitem(app.extensions, "redis", away)
    stop = threading.Event()
    thread = threading.Thread(target=schedule.run, args=(app, stop), kwargs={"beat": 0.05})
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    away.connection_pool = there.connection_pool  # it is back
    deadline = time.monotonic() + 5
    while db.session.get(ScheduleTick, "tick") is None and time.monotonic() < deadline:
        db.session.rollback()
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert db.session.get(ScheduleTick, "tick") is not None
