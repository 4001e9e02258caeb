"""A worker that is killed, doubled or frozen at any point of a send: nothing is lost, and nothing leaves twice (NET-4)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from portal import queues
from portal.database import db
from portal.faultpoint import SEND_POINTS
from portal.lib import clock
from portal.providers.smtp import relay
from portal.sending import outbox, relayed
from tests.conftest import Backend
from tests.sending.conftest import Desk
from tests.sending.test_cap_line import fill_cap, subjects, waiting
from tests.services.processes import die_with_parent

Press = Callable[..., Any]
SCRIPT = """
import sys
from uuid import UUID
from portal import create_app
from portal.sending import outbox
with create_app().app_context():
    print(outbox.deliver(UUID(sys.argv[1])))
"""


def start_worker(backend: Backend, outbox_id: UUID, **environ: str) -> subprocess.Popen[str]:
    """One delivery in a process of its own. The caller's session holds no lock meanwhile."""
    db.session.commit()
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(outbox_id)], env=backend.environ | environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
    )  # fmt: skip


def kill_at(backend: Backend, outbox_id: UUID, point: str) -> None:
    """Let a worker try a mail and die at a point."""
    worker = start_worker(backend, outbox_id, CRASH_AT=point)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == -signal.SIGKILL, errors


@pytest.mark.fault(2)
@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize("point", [point for point in SEND_POINTS if point != "mail-handed"])
def test_kill_9_on_the_way_to_the_mailbox(desk: Desk, press: Press, backend: Backend, point: str) -> None:
    press()
    kill_at(backend, desk.mails()[0].id, point)
    assert len(desk.received()) == (0 if point == "mail-claimed" else 1)
    desk.pass_time(101)
    desk.deliver()
    desk.pass_time(300)
    desk.deliver()
    assert desk.mails()[0].state == "sent"
    assert (len(desk.received()), desk.sends()) == (1, 1)


@pytest.mark.fault(2)
@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize(
    ("point", "in_sink", "state"),
    [("mail-claimed", 0, "sent"), ("mail-handed", 0, "unknown"), ("mail-taken", 1, "unknown"), ("mail-settled", 1, "sent")],
)
def test_kill_9_on_the_way_to_the_mail_server(
    desk: Desk, press: Press, backend: Backend, point: str, in_sink: int, state: str
) -> None:
    """Handed and not answered is shown as perhaps sent, whether it left or not; it is never sent twice."""
    desk.use_relay()
    press()
    kill_at(backend, desk.mails()[0].id, point)
    assert desk.sandbox.sink_count() == in_sink
    assert desk.deliver() == [""]  # nobody touches it while its worker may live
    for _ in range(3):
        desk.pass_time(181)
        outbox.sweep()
        desk.deliver()
    assert (desk.mails()[0].state, desk.message().state) == (state, state)
    assert desk.sandbox.sink_count() == (1 if state == "sent" else in_sink)


@pytest.mark.fault(3)
@pytest.mark.requirement("NET-4")
def test_two_workers_with_one_mail_send_it_once(desk: Desk, press: Press, backend: Backend) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("stall", times=1, seconds=1)
    workers = [start_worker(backend, desk.mails()[0].id) for _ in range(2)]
    words = sorted(worker.communicate(timeout=60)[0].strip() for worker in workers)
    assert words == ["", "sent"]
    assert desk.sandbox.sink_count() == 1


@pytest.mark.fault(3)
@pytest.mark.rule("G-14")
def test_two_workers_at_the_line_keep_its_order(desk: Desk, press: Press, backend: Backend) -> None:
    """Two places free up while two workers look at two mails at once: neither waits for the other for ever."""
    desk.account.send_cap = 2
    fill_cap(desk, 23.999, 23.999)
    press(token="t1", subject="n 1", action="queue")
    press(token="t2", subject="n 2", action="queue")
    first, second = (mail.id for mail in waiting(desk))
    desk.pass_time(10)
    for mail in waiting(desk):
        mail.next_try_at = clock.now()
    workers = [start_worker(backend, mail_id, CLOCK_OFFSET_SECONDS="60") for mail_id in (second, first)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    desk.pass_time(60)
    desk.deliver()
    assert sorted(mail["headers"]["subject"] for mail in desk.sent()) == ["n 1", "n 2"]
    assert subjects(desk)[0] == "n 1"


@pytest.mark.fault(3)
def test_a_frozen_worker_hands_nothing_over_after_another_took_the_mail(desk: Desk, press: Press) -> None:
    desk.use_relay()
    press()
    frozen = outbox.claim_mail(desk.mails()[0].id)
    assert isinstance(frozen, relayed.RelayClaim)
    desk.pass_time(101)
    assert desk.deliver() == ["sent"]
    assert relayed.hand_to_relay(frozen) == ""
    assert desk.sandbox.sink_count() == 1


@pytest.mark.fault(14)
def test_a_server_that_never_answers_leaves_the_worker_free(
    desk: Desk, press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.use_relay()
    press()
    monkeypatch.setattr(relay, "FINAL_SECONDS", 0.3)
    desk.sandbox.smtp_fault("stall", times=1, seconds=3)
    assert desk.deliver() == ["unknown"]


@pytest.mark.fault(5)
@pytest.mark.fault(4)
def test_what_redis_has_lost_is_enqueued_again(desk: Desk, press: Press) -> None:
    desk.use_relay()
    press()
    queues.redis().flushall()
    assert outbox.sweep() == 1
    assert queues.queue(queues.SENDING).job_ids == [f"send-{desk.mails()[0].id}"]
    assert desk.deliver() == ["sent"]
    assert outbox.sweep() == 0
