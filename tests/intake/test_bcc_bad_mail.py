"""The bad mails of the catalogue to a BCC address, and a worker that dies: each is answered once and ends with one reason."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from uuid import UUID

import pytest
from sqlalchemy import func, select

from devtools.processes import die_with_parent
from portal.database import db
from portal.intake import filing
from portal.lib.clock import now
from portal.models import Attachment, Contact, Conversation, TrackedContact
from tests.conftest import Backend
from tests.intake.bcc_owner import OWNER, PATIENT, Owner
from tests.intake.conftest import Intake
from tests.intake.test_bad_mail import LARGE
from tests.intake.test_bcc_filing import with_file
from tests.intake.test_crashes import SCRIPT
from tests.sync.conftest import OWN
from tests.sync.test_bad_mail import BAD

WRITTEN_BY_OTHERS = ("11", "12", "13", "14", "15 look", "15 full", "19", "6 ", "10 ", "24", "20 nothing", "20 no headers", "9 ")


def from_owner(raw: bytes) -> bytes:
    """The same mail, as if the owner had written it to the patient."""
    marked = raw.replace(PATIENT.encode(), b"\x00to\x00").replace(OWN.encode(), PATIENT.encode())
    return marked.replace(b"\x00to\x00", OWNER.encode()).replace(PATIENT.upper().encode(), OWNER.upper().encode())


@pytest.mark.requirement("SMT-5")
@pytest.mark.rule("E-01")
@pytest.mark.provider_fault(36)
@pytest.mark.fault(23)
@pytest.mark.bad_input(1)
@pytest.mark.bad_input(3)
@pytest.mark.bad_input(8)
@pytest.mark.bad_input(10)
@pytest.mark.bad_input(13)
@pytest.mark.bad_input(18)
@pytest.mark.bad_input(22)
@pytest.mark.bad_input(24)
@pytest.mark.bad_input(28)
@pytest.mark.bad_input(31)
def test_every_bad_mail_is_answered_once_and_decided(bcc_intake: Intake, owner: Owner) -> None:
    mails = {name: from_owner(raw) for name, (raw, _) in (BAD | LARGE).items()}
    answers: dict[str, int] = {}
    with bcc_intake.client() as wire:
        for name, raw in mails.items():
            wire.mail(OWNER)
            wire.rcpt(owner.address)
            answers[name] = wire.data(raw)[0]
    assert set(answers.values()) == {250, 550}
    assert [name for name, code in answers.items() if code == 550 and not name.startswith(WRITTEN_BY_OTHERS)] == []
    assert bcc_intake.send(owner.mail(text="a good one behind them"), owner.address, sender=OWNER)[0] == 250
    started = time.monotonic()
    reasons = owner.file()
    assert time.monotonic() - started < 60
    assert reasons[-1] == "bcc_logged"
    assert "" not in reasons
    for row in owner.rows():
        assert (row.raw is None) == (row.state == "decided")
        assert row.state in ("decided", "unverified", "unmatched", "unreadable")
    assert {row.state for row in owner.rows()} >= {"decided", "unverified"}


def run_worker(backend: Backend, row_id: UUID, **environ: str) -> int:
    """File a kept mail in a process of its own; its return code."""
    db.session.commit()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(row_id)], env=backend.environ | environ, capture_output=True, timeout=60,
        preexec_fn=die_with_parent, check=False,
    )  # fmt: skip
    return done.returncode


@pytest.mark.fault(1)
@pytest.mark.rule("B-02")
@pytest.mark.rule("B-06")
@pytest.mark.requirement("SYN-2")
def test_kill_9_while_filing(owner: Owner, backend: Backend) -> None:
    """Contact, conversation, message, tracking and decision are one transaction: all of it or nothing, and once."""
    owner.post(with_file(owner, b"%PDF-1.4 plan").replace(PATIENT.encode(), b"new@mail.example"))
    (row,) = owner.rows()
    row.authentication = "proven"  # the process of the worker has no DNS of the test's
    assert run_worker(backend, row.id, CRASH_AT="intake-filed") == -signal.SIGKILL
    counted = (Contact, Conversation, TrackedContact, Attachment)
    assert [db.session.scalar(select(func.count()).select_from(model)) for model in counted] == [1, 0, 0, 0]
    owner.rows()[0].next_try_at = now()
    db.session.commit()
    assert filing.sweep() == 1
    assert owner.file() == ["bcc_logged"]
    assert owner.file() == ["bcc_logged"]
    assert [db.session.scalar(select(func.count()).select_from(model)) for model in counted] == [2, 1, 1, 1]
