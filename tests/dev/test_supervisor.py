"""The supervisor: readiness before the next, restarts with a pause, and an end for everything."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from devtools.supervisor import NotStarted, Program, Supervisor


def python(name: str, code: str, **values: object) -> Program:
    return Program(name, [sys.executable, "-c", code], **values)  # type: ignore[arg-type]


def test_the_next_starts_when_the_first_is_ready(tmp_path: Path) -> None:
    supervisor = Supervisor(os.environ, tmp_path)
    mark = tmp_path / "mark"
    code = f"import time, pathlib; time.sleep(0.3); pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    try:
        supervisor.start(python("first", code, is_ready=mark.exists))
        assert mark.exists()
    finally:
        supervisor.stop()


def test_a_program_that_ends_at_once_shows_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor(os.environ, tmp_path)
    with pytest.raises(NotStarted, match="no such setting"):
        supervisor.start(python("broken", "raise SystemExit('no such setting')", is_ready=lambda: False))
    supervisor.stop()


def test_what_ends_comes_back_at_once_when_clean_and_later_when_not(tmp_path: Path) -> None:
    lines: list[str] = []
    supervisor = Supervisor(os.environ, tmp_path, say=lines.append)
    supervisor.start(python("clean", "print('again')"), python("broken", "raise SystemExit(3)"))
    deadline = time.monotonic() + 2
    supervisor.watch(until=lambda: time.monotonic() > deadline)
    supervisor.stop()
    assert supervisor.tail("clean").count("again") >= 3
    assert 1 <= len(lines) <= 2, lines
    assert "broken ended (3)" in lines[0]


def test_what_ignores_its_end_is_killed_with_all_it_started(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    supervisor = Supervisor(os.environ, tmp_path)
    supervisor.start(python("deaf", code, is_ready=lambda: bool(supervisor.tail("deaf")), grace_seconds=0.2))
    grandchild = int(supervisor.tail("deaf"))
    supervisor.stop()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{grandchild}/cmdline").exists():
        if not Path(f"/proc/{grandchild}/cmdline").read_bytes():
            break  # dead, and not yet collected by the system
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{grandchild}").exists()
