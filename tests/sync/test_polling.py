"""Polls of many mailboxes in one loop; push subscriptions and what happens when they end unnoticed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from rq import Queue
from sqlalchemy import event, update

from portal import queues
from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.models import Connection, Grant
from portal.sync import polling, service, watches
from tests import factories
from tests.sync.conftest import OWN, Practice, connect


def jobs(name: str) -> list[tuple[str, Any]]:
    """What waits in a queue: (job, ids)."""
    return [
        (job.func_name, job.args) for job in Queue(name, connection=queues.redis(), serializer=queues.JSONSerializer).jobs
    ]


def crowd(practice: Practice, count: int) -> list[Connection]:
    """More people with connected mailboxes, in the same account."""
    found = []
    for number in range(count):
        address = f"person{number}@gmail.example"
        practice.sandbox.add_mailbox(address)
        user = factories.make_member(practice.account, email=f"person{number}@lumen.example")
        found.append(connect(practice.sandbox, practice.account, user, address))
    return found


@pytest.mark.fault(19)
def test_polling_backs_up_a_lost_notice(practice: Practice) -> None:
    others = crowd(practice, 3)
    mail = practice.arrives()
    ids = [practice.connection.id, *(row.id for row in others)]
    assert polling.poll_shard(ids) == 1
    assert practice.reason(mail) == "contact_wrote"
    assert polling.due_connection_ids() == []
    assert polling.poll_shard(ids) == 0  # not due any more: nothing is asked
    asked = len(practice.calls("history"))
    clock.set_offset(70, allowed=True)
    assert set(polling.due_connection_ids()) == set(ids)
    assert polling.poll_shard(ids) == 0
    assert len(practice.calls("history")) == asked + 4
    db.session.expire_all()
    assert all(row.last_success_at and row.last_success_at > now() - timedelta(seconds=30) for row in others)


def test_an_idle_mailbox_costs_no_statement_of_its_own(practice: Practice) -> None:
    """The statements of a shard do not grow with the mailboxes in it."""
    others = crowd(practice, 6)
    for row in (practice.connection, *others):
        service.sync_mailbox(row.id)
    counts = []
    for size in (2, 7):
        db.session.execute(update(Connection).values(next_poll_at=now() - timedelta(seconds=1)))
        db.session.commit()
        ids = [row.id for row in (practice.connection, *others)][:size]
        db.session.rollback()
        statements: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)  # noqa: B023

        event.listen(db.engine, "before_cursor_execute", note)
        assert polling.poll_shard(ids) == 0
        event.remove(db.engine, "before_cursor_execute", note)
        counts.append(len([s for s in statements if not s.startswith("BEGIN")]))
    assert counts[0] == counts[1] <= 8


def test_one_trouble_stalls_no_other_mailbox(practice: Practice) -> None:
    [other] = crowd(practice, 1)
    practice.sandbox.fault(path="*/history", mailbox="person0@gmail.example", status=503)
    mail = practice.arrives()
    assert polling.poll_shard([other.id, practice.connection.id]) == 1
    assert practice.reason(mail) == "contact_wrote"
    db.session.expire_all()
    assert (other.failures, other.state) == (1, "connected")
    assert other.next_poll_at > now()


@pytest.mark.fault(13)
def test_one_mailboxs_limit_does_not_stall_others(practice: Practice) -> None:
    [other] = crowd(practice, 1)
    body = {"error": {"code": 429, "message": "limit", "errors": [{"reason": "rateLimitExceeded"}]}}
    practice.sandbox.fault(path="*/history", mailbox="person0@gmail.example", status=429, body=body)
    mail = practice.arrives()
    polling.poll_shard([other.id, practice.connection.id])
    assert practice.reason(mail) == "contact_wrote"
    db.session.expire_all()
    assert other.next_poll_at - now() > timedelta(seconds=50)


def test_a_cursor_goes_ahead_although_nothing_concerns_us(practice: Practice) -> None:
    practice.arrives()
    practice.sync()
    cursor = practice.connection.cursor
    mail = practice.messages()[0].provider_message_id
    practice.sandbox.call("POST", f"/mailboxes/{OWN}/messages/{mail}/labels", json={"remove": ["UNREAD"]})
    clock.set_offset(70, allowed=True)
    assert polling.poll_shard([practice.connection.id]) == 0
    db.session.expire_all()
    assert int(practice.connection.cursor) > int(cursor)


@pytest.mark.fault(5)
@pytest.mark.fault(4)
def test_the_tick_makes_shards_of_what_is_due(practice: Practice) -> None:
    """Also after Redis lost everything: the database knows what is due."""
    db.session.commit()
    queues.redis().flushall()
    assert polling.poll_tick() == 1
    [(name, ids)] = jobs(queues.POLL)
    assert (name, [UUID(i) for i in ids]) == ("portal.jobs.mail.poll_shard", [practice.connection.id])
    assert polling.poll_tick() == 1
    assert len(jobs(queues.POLL)) == 1  # the same shard is not doubled


def test_a_notice_enqueues_one_job_on_its_own_queue(practice: Practice) -> None:
    for _ in range(5):
        service.notice_change(practice.connection.mailbox_key)
        db.session.commit()
    assert jobs(queues.PUSH) == [("portal.jobs.mail.sync_mailbox", [str(practice.connection.id)])]
    assert polling.due_connection_ids() == [practice.connection.id]


def test_check_now(practice: Practice) -> None:
    practice.sync()
    service.request_check(practice.connection)
    db.session.commit()
    assert jobs(queues.PUSH) == [("portal.jobs.mail.sync_mailbox", [str(practice.connection.id)])]
    assert polling.due_connection_ids() == [practice.connection.id]


@pytest.mark.requirement("WHK-3")
@pytest.mark.provider_fault(23)
def test_watches_are_asked_for_and_renewed_daily(practice: Practice) -> None:
    assert watches.renew_watches() == 1
    db.session.expire_all()
    grant = practice.connection.grant
    assert grant.watch_expires_at is not None
    assert grant.watch_expires_at > now() + timedelta(days=6)
    assert watches.renew_watches() == 0
    clock.set_offset(25 * 3600, allowed=True)
    assert watches.renew_watches() == 1
    assert len(practice.calls("/watch")) == 2
    practice.sync()
    db.session.expire_all()
    assert practice.connection.next_poll_at - now() > timedelta(minutes=9)  # push is alive: polling is only the net


@pytest.mark.rule("G-04")
def test_new_aliases_are_learned_with_the_renewal(practice: Practice) -> None:
    practice.sandbox.add_mailbox(OWN, aliases=["clinic@lumen.example", {"email": "mine@evil.example", "verified": False}])
    watches.renew_watches()
    db.session.expire_all()
    assert set(practice.connection.aliases) == {OWN, "clinic@lumen.example"}


@pytest.mark.fault(20)
@pytest.mark.provider_fault(23)
def test_a_watch_that_ended_silently_is_noticed(practice: Practice, app: Flask) -> None:
    """News that no notice told of: the watch counts as ended, polls come by the minute, it is asked for again."""
    watches.renew_watches()
    practice.sync()
    mail = practice.arrives()
    earlier = now() - timedelta(minutes=10)
    db.session.execute(update(Connection).values(next_poll_at=earlier, change_noticed_at=None, last_success_at=earlier))
    db.session.commit()
    assert polling.poll_shard([practice.connection.id]) == 1
    assert practice.reason(mail) == "contact_wrote"
    db.session.expire_all()
    assert practice.connection.grant.watch_expires_at is None
    assert practice.connection.next_poll_at - now() < timedelta(seconds=61)
    assert ("portal.jobs.mail.renew_watches", []) in [(name, list(args)) for name, args in jobs(queues.DEFAULT)]
    assert watches.renew_watches() == 1


@pytest.mark.provider_fault(23)
def test_a_watch_that_is_refused_leaves_polling(practice: Practice) -> None:
    practice.sandbox.fault(path="*/watch", status=403, body={"error": {"code": 403, "message": "topic", "errors": []}})
    assert watches.renew_watches() == 0
    db.session.expire_all()
    assert practice.connection.state == "connected"
    practice.sync()
    assert practice.connection.next_poll_at - now() < timedelta(seconds=61)
    assert watches.renew_watches() == 0  # not at once again
    practice.sandbox.clear_faults()
    clock.set_offset(3600, allowed=True)
    assert watches.renew_watches() == 1


@pytest.mark.rule("G-18")
def test_a_renewal_that_meets_a_lost_grant_is_not_silent(practice: Practice) -> None:
    practice.sandbox.call("POST", f"/users/{OWN}/revoke", json={})
    assert watches.renew_watches() == 0
    db.session.expire_all()
    assert practice.connection.state == "needs_attention"
    assert db.session.get_one(Grant, practice.connection.grant_id).watch_expires_at is None


def test_without_a_topic_there_is_no_push(practice: Practice, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], google_pubsub_topic=""))
    assert watches.renew_watches() == 0
    assert not practice.calls("/watch")
