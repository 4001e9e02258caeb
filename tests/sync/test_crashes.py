"""A worker that dies, freezes or is doubled: the cursor does not move, the rerun is equal, nothing is there twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from portal.connections.mailbox import open_mailbox
from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.lib.http import Http
from portal.models import Connection, Decision, Membership, Message, User
from portal.rules.reasons import Cause
from portal.sync import lease, page, polling, service, writing
from tests.conftest import Backend
from tests.services.processes import die_with_parent
from tests.sync.conftest import COLLEAGUE, STRANGER, Practice, expire_lease

SCRIPT = """
import sys
from uuid import UUID
from portal import create_app
from portal.sync import service
with create_app().app_context():
    print(service.sync_mailbox(UUID(sys.argv[1])))
"""


def run_worker(backend: Backend, connection_id: UUID, **environ: str) -> subprocess.CompletedProcess[str]:
    """One sync in a process of its own. The caller's session holds no lock meanwhile."""
    db.session.commit()
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(connection_id)], env=backend.environ | environ, capture_output=True, text=True,
        timeout=60, preexec_fn=die_with_parent,
    )  # fmt: skip


@pytest.mark.fault(1)
@pytest.mark.fault(4)
@pytest.mark.requirement("SYN-2")
@pytest.mark.parametrize("point", ["bodies-read", "page-written", "page-committed"])
def test_kill_9_between_fetch_and_commit(practice: Practice, backend: Backend, point: str) -> None:
    """The real signal, a real process: the mailbox is due again within two minutes, and the rerun is whole."""
    mails = [practice.arrives(subject=f"n {n}") for n in range(3)]
    cursor = practice.connection.cursor
    killed = run_worker(backend, practice.connection.id, CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_committed = point == "page-committed"
    db.session.expire_all()
    assert (practice.connection.cursor != cursor) is is_committed
    assert len(practice.messages()) == (3 if is_committed else 0)
    assert practice.sync() == "busy"
    assert polling.due_connection_ids() == []
    clock.set_offset(100, allowed=True)
    assert polling.due_connection_ids() == [practice.connection.id]
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(mails)
    assert len(practice.messages()) == 3
    assert practice.is_consistent()


@pytest.mark.fault(3)
def test_the_same_job_twice_at_once(practice: Practice, backend: Backend) -> None:
    """Two workers, one mailbox: one works, the other says so and leaves."""
    for number in range(5):
        practice.arrives(subject=f"n {number}")
    practice.sandbox.call("POST", "/knobs", json={"latency_ms": 150})
    command = [sys.executable, "-c", SCRIPT, str(practice.connection.id)]
    db.session.commit()
    workers = [
        subprocess.Popen(command, env=backend.environ, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        for _ in range(2)
    ]
    words = sorted(worker.communicate(timeout=60)[0].strip() for worker in workers)
    assert words in (["busy", "synced"], ["synced", "synced"])
    assert len(practice.messages()) == 5
    assert practice.is_consistent()


@pytest.mark.fault(3)
def test_a_frozen_worker_cannot_write_after_another_took_over(practice: Practice) -> None:
    mail = practice.arrives()
    db.session.commit()
    frozen = lease.take(practice.connection.id)
    assert isinstance(frozen, lease.Run)
    expire_lease(practice.connection)
    assert practice.sync() == "synced"
    practice.sandbox.call("POST", f"/mailboxes/{practice.connection.mailbox}/messages/{mail}/labels", json={})
    later = practice.arrives(subject="while it slept")

    async def wake() -> str:
        async with Http() as http:
            return await service.sync_taken(frozen, open_mailbox("google", frozen.grant_id, frozen.mailbox_key, http))

    assert asyncio.run(wake()) == "superseded"
    assert later not in practice.decisions()
    assert practice.sync() == "synced"
    assert len(practice.messages()) == 2


@pytest.mark.fault(19)
@pytest.mark.requirement("WHK-2")
def test_a_notice_during_the_run_makes_the_job_look_again(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    practice.arrives()
    late: list[str] = []

    def during(name: str) -> None:
        if not late:
            late.append(practice.arrives(subject="meanwhile"))
            service.notice_change(practice.connection.mailbox_key)
            db.session.commit()

    monkeypatch.setattr(page, "crash_point", during)  # the headers are here, the page is not written yet
    assert practice.sync() == "synced"
    assert late[0] in practice.decisions()
    assert practice.connection.change_noticed_at is None


def _disconnect(connection: Connection) -> None:
    from portal.connections.service import disconnect

    disconnect(connection, "user")


def _pause(connection: Connection) -> None:
    from portal.connections.service import pause

    pause(connection, Cause.PAUSED_BY_ADMIN)


def _deactivate(connection: Connection) -> None:
    db.session.scalars(select(Membership).where(Membership.user_id == connection.user_id)).one().state = "deactivated"


def _close_login(connection: Connection) -> None:
    db.session.get_one(User, connection.user_id).deactivated_at = now()


@pytest.mark.rule("G-17")
@pytest.mark.fault(22)
@pytest.mark.provider_fault(40)
@pytest.mark.parametrize("change", [_disconnect, _pause, _deactivate, _close_login])
def test_what_ends_during_the_run_is_not_written_to(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, change: Callable[[Connection], None]
) -> None:
    practice.arrives()

    def during(name: str) -> None:
        if name == "bodies-read":
            change(db.session.get_one(Connection, practice.connection.id))
            db.session.commit()

    monkeypatch.setattr(page, "crash_point", during)
    assert practice.sync() in ("stopped", "superseded")
    assert not practice.messages()
    assert not db.session.scalars(select(Decision)).all()
    asked = len(practice.calls())
    assert practice.sync() in ("gone", "paused", "refused")
    assert len(practice.calls()) == asked  # and nothing is read any more


def test_a_transaction_that_lost_against_another_is_repeated_whole(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 11: a deadlock victim."""
    from sqlalchemy.exc import OperationalError

    practice.arrives()
    real, calls = writing.hold, []

    def once(run: lease.Run) -> None:
        calls.append(run)
        if len(calls) == 1:
            raise OperationalError("select", {}, Exception("deadlock detected"))
        real(run)

    monkeypatch.setattr(writing, "hold", once)
    assert practice.sync() == "synced"
    assert len(practice.messages()) == 1


@pytest.mark.bad_input(32)
def test_a_mail_that_the_database_does_not_take_is_set_aside_alone(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.sync import rows

    bad, fine = practice.arrives(subject="bad"), practice.arrives(subject="fine")
    real = rows.message_row

    def broken(run: Any, prepared: Any, *rest: Any) -> dict[str, Any]:
        row = real(run, prepared, *rest)
        if prepared.mail.facts.provider_message_id == bad:
            row["direction"] = None
        return row

    monkeypatch.setattr(rows, "message_row", broken)
    assert practice.sync() == "synced"
    assert practice.reason(bad) == "unreadable_mail"
    assert practice.decisions()[fine].outcome == "logged"
    assert [m.provider_message_id for m in practice.messages()] == [fine]
    assert practice.is_consistent()


@pytest.mark.requirement("SYN-1")
def test_what_becomes_refused_between_fetch_and_write_is_dropped(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contact becomes a colleague while the body travels: the decision inside the transaction counts."""
    from tests import factories

    mail = practice.arrives()

    def during(name: str) -> None:
        if name == "bodies-read":
            practice.contact.email = practice.contact.email_key = COLLEAGUE
            factories.make_member(practice.account, email="priya@mail.example")
            db.session.commit()

    monkeypatch.setattr(page, "crash_point", during)
    practice.sync()
    assert practice.reason(mail) == "crm_user"
    assert not practice.messages()


def test_what_becomes_admitted_between_fetch_and_write_is_fetched_then(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests import factories

    mail = practice.arrives(STRANGER)
    made: list[UUID] = []

    def during(name: str) -> None:
        if name == "bodies-read" and not made:
            made.append(factories.make_contact(practice.account, STRANGER).id)
            db.session.commit()

    monkeypatch.setattr(page, "crash_point", during)
    assert practice.sync() == "synced"
    assert practice.reason(mail) == "contact_wrote"
    assert [m.provider_message_id for m in db.session.scalars(select(Message))] == [mail]


def test_a_lease_that_ran_out_is_taken_over(practice: Practice) -> None:
    db.session.commit()
    assert isinstance(lease.take(practice.connection.id), lease.Run)
    assert lease.take(practice.connection.id) == "busy"
    expire_lease(practice.connection)
    assert isinstance(lease.take(practice.connection.id), lease.Run)
    assert timedelta(seconds=100) > lease.LEASE
