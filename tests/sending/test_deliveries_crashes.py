"""A worker that dies, or is doubled, in the middle of a campaign: nobody gets it twice, nothing is lost (NET-4)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask

from portal import queues
from portal.campaigns import preparing
from portal.database import db
from portal.jobs.worker import PortalWorker
from portal.lib import clock
from portal.lib.clock import now
from portal.sending import deliveries, delivery_claims
from tests import factories
from tests.conftest import Backend
from tests.sending.bulk_desk import Practice
from tests.services.processes import die_with_parent

SCRIPT = """
import sys
from uuid import UUID
from portal import create_app
from portal.sending import deliveries
with create_app().app_context():
    print(deliveries.run(UUID(sys.argv[1]), 30))
"""
PEOPLE, BEFORE = 40, 15


def worker(backend: Backend, account_id: UUID, **environ: str) -> subprocess.Popen[str]:
    """One run of the engine in a process of its own. The caller's session holds no lock meanwhile."""
    db.session.commit()
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(account_id)], env=backend.environ | environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
    )  # fmt: skip


@pytest.mark.fault(2)
@pytest.mark.rule("S-02")
@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize(
    ("point", "arrived", "unsure"),
    [("mail-claimed", 0, 0), ("mail-handed", 0, 1), ("mail-taken", 1, 1), ("mail-settled", 1, 1)],
)
def test_kill_9_in_the_middle_of_a_campaign(
    practice: Practice, backend: Backend, point: str, arrived: int, unsure: int
) -> None:
    campaign = practice.campaign(PEOPLE)
    for row in practice.rows()[BEFORE:]:
        row.next_try_at = now() + timedelta(hours=1)
    assert practice.run() == BEFORE
    for row in practice.rows()[BEFORE:]:
        row.next_try_at = now()
    killed = worker(backend, practice.account.id, CRASH_AT=point)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert practice.sandbox.sink_count() == BEFORE + arrived
    assert practice.states()["sending"] > 0
    assert practice.run() == PEOPLE - BEFORE - arrived - (point == "mail-handed") - (point == "mail-settled")
    clock.set_offset(131, allowed=True)  # what was handed over is uncertain from now on
    practice.run()
    assert practice.states() == Counter({"sent": PEOPLE - unsure, "unknown": unsure}) - Counter()
    assert practice.state(campaign) == "done"
    assert max(Counter(practice.recipients()).values()) == 1  # nobody twice
    assert practice.sandbox.sink_count() == PEOPLE - (point in ("mail-handed", "mail-settled"))


@pytest.mark.fault(3)
@pytest.mark.rule("S-02")
def test_two_workers_at_once(practice: Practice, backend: Backend) -> None:
    campaign = practice.campaign(PEOPLE)
    workers = [worker(backend, practice.account.id) for _ in range(2)]
    sent = [int(process.communicate(timeout=60)[0].strip() or 0) for process in workers]
    practice.run()
    assert sum(sent) == PEOPLE
    assert practice.states() == {"sent": PEOPLE}
    assert practice.state(campaign) == "done"
    assert Counter(practice.recipients()).total() == PEOPLE
    assert max(Counter(practice.recipients()).values()) == 1


def test_a_run_that_was_thought_dead_settles_what_it_sent(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail server thought long about it; meanwhile the mail was called uncertain, and is sent after all."""
    practice.campaign(1)
    monkeypatch.setattr(delivery_claims, "HANDED_LEASE", timedelta(0))
    real = delivery_claims.settle_sent

    def called_uncertain_first(run_id: UUID, claim: delivery_claims.Claim) -> None:
        delivery_claims.take_back()
        real(run_id, claim)

    monkeypatch.setattr("portal.sending.delivery_shift.settle_sent", called_uncertain_first)
    practice.run()
    assert practice.states() == {"sent": 1}


@pytest.mark.fault(2)
@pytest.mark.rule("S-02")
def test_preparing_survives_a_crash_and_doubles_nobody(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with duplicate contacts: one mail an address, to the contact that was created first (G-10)."""
    for number in range(7):
        factories.make_contact(practice.account, f"p{number % 5}@mail.example", name=f"P{number} Raman")
    campaign = factories.make_campaign(practice.account, practice.user, state="preparing")
    campaign_id = campaign.id
    db.session.commit()
    monkeypatch.setattr(preparing, "CHUNK", 2)
    real, calls = preparing.add_deliveries, []

    def die_at_the_second(*args: object, **values: object) -> int:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(preparing, "add_deliveries", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        preparing.prepare(campaign_id)
    assert len(practice.rows()) == 2
    assert preparing.sweep() == 1
    db.session.rollback()
    assert preparing.prepare(campaign_id) == "running"
    assert preparing.prepare(campaign_id) == "running"
    assert [row.contact.first_name for row in practice.rows()] == ["P0", "P1", "P2", "P3", "P4"]
    db.session.expire_all()
    assert (campaign.total, campaign.audience["left_out"]) == (5, {"twice": 2})
    assert practice.run() == 5


def test_a_campaign_that_was_stopped_while_it_was_prepared_does_not_run(practice: Practice) -> None:
    factories.make_contact(practice.account)
    campaign = factories.make_campaign(practice.account, practice.user, state="stopped")
    campaign_id = campaign.id
    db.session.commit()
    assert preparing.prepare(campaign_id) == "stopped"
    assert deliveries.sweep() == 0
    assert practice.rows() == []


@pytest.mark.fault(32)
def test_a_worker_goes_on_until_everybody_has_it(practice: Practice, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job cannot put itself into its queue again, so runs take turns under two names."""
    campaign = practice.campaign(PEOPLE)
    practice.sandbox.smtp_fault("stall", seconds=0.05)  # so that no machine is fast enough to end in one turn
    real, names = deliveries.run, []

    def run_shortly(account_id: UUID) -> int:
        names.append(queues.current_job_id())
        return real(account_id, 1)

    monkeypatch.setattr(deliveries, "run", run_shortly)
    assert deliveries.sweep() == 1
    db.session.remove()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    rq = PortalWorker(app)
    rq.work(burst=True, logging_level="WARNING")
    rq.connection.close()
    for number, handler in kept.items():
        signal.signal(number, handler)
    campaign, practice.account = db.session.merge(campaign), db.session.merge(practice.account)
    assert practice.state(campaign) == "done"
    assert len(names) > 1
    assert set(names) == {f"bulk-{practice.account.id}", f"bulk-{practice.account.id}-next"}
    assert max(Counter(practice.recipients()).values()) == 1
