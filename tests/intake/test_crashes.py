"""The intake and the worker die at every commit point: each mail is filed exactly once (faults 23 and 30)."""

from __future__ import annotations

import signal
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.processes import die_with_parent
from portal.database import db
from portal.intake import filing
from portal.lib.clock import now
from tests.conftest import Backend
from tests.intake.conftest import Intake, Practice
from tests.services.processes import running

SCRIPT = """
import sys
from uuid import UUID
from portal import create_app
from portal.jobs import intake
with create_app().app_context():
    intake.file_mail(sys.argv[1])
"""


def run_worker(backend: Backend, practice: Practice, **environ: str) -> int:
    """File the first kept mail in a process of its own; its return code. The caller's session holds no lock meanwhile."""
    row_id = practice.rows()[0].id
    db.session.commit()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(row_id)], env=backend.environ | environ, capture_output=True, timeout=60,
        preexec_fn=die_with_parent, check=False,
    )  # fmt: skip
    return done.returncode


@pytest.mark.fault(30)
@pytest.mark.requirement("SMT-5")
def test_kill_9_between_keeping_and_answering(practice: Practice, backend: Backend, tmp_path: Path) -> None:
    """The sender hears no 250 and tries again: one row, one message."""
    raw, port = practice.mail(Message_ID="<once@mail.example>"), backend.app.extensions["settings"].intake_port
    command = [sys.executable, "-m", "portal.intake"]
    db.session.commit()
    with running(command, log=tmp_path / "intake.log", port=port, env=backend.environ | {"CRASH_AT": "intake-kept"}) as process:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            Intake(port).send(raw, practice.reply_address)
        assert process.wait(10) == -signal.SIGKILL
    assert [row.state for row in practice.rows()] == ["received"]
    db.session.commit()
    with running(command, log=tmp_path / "intake.log", port=port, env=backend.environ) as process:
        assert Intake(port).send(raw, practice.reply_address)[0] == 250
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert len(practice.rows()) == 1
    assert filing.sweep() == 1
    assert run_worker(backend, practice) == 0
    assert [practice.text(message) for message in practice.answers()] == ["It feels softer today.\r\n"]


@pytest.mark.fault(1)
@pytest.mark.requirement("SMT-5")
def test_kill_9_while_filing(practice: Practice, backend: Backend, intake: Intake) -> None:
    """Nothing of a half-filed mail stays; the sweep takes it up again."""
    intake.send(practice.mail(), practice.reply_address)
    assert run_worker(backend, practice, CRASH_AT="intake-filed") == -signal.SIGKILL
    assert practice.answers() == []
    assert filing.sweep() == 0  # it may still be at work
    practice.rows()[0].next_try_at = now()
    db.session.commit()
    assert filing.sweep() == 1
    assert run_worker(backend, practice) == 0
    assert run_worker(backend, practice) == 0
    assert len(practice.answers()) == 1


@pytest.mark.fault(23)
@pytest.mark.requirement("SMT-5")
def test_a_mail_that_kills_every_worker_is_set_aside(practice: Practice, backend: Backend, intake: Intake) -> None:
    intake.send(practice.mail(), practice.reply_address)
    for _ in range(filing.TRIES):
        assert run_worker(backend, practice, CRASH_AT="intake-filed") == -signal.SIGKILL
    assert run_worker(backend, practice) == 0
    (row,) = practice.rows()
    assert (row.state, row.reason, row.raw is not None) == ("unreadable", "unreadable_mail", True)
