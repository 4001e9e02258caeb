"""A handful of programs under one parent: started in order of readiness, restarted, ended in reverse.

The caller must stay in the thread that started them: Linux ties "end with your parent" to the parent's thread.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from devtools.places import ROOT
from devtools.processes import die_with_parent

POLL_SECONDS = 0.1
STEADY_SECONDS = 60  # a program that ran so long may fail anew from the shortest pause
LONGEST_PAUSE = 30.0
LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class Program:
    """What to run, when it counts as ready, and how long it may take to end."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool] = lambda: True
    start_seconds: float = 40
    grace_seconds: float = 8


@dataclass
class Child:
    """A program's current process and its record of failures."""

    program: Program
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    restart_at: float | None = None


class NotStarted(Exception):
    """A program ended, or was not ready in time. Carries the end of its log."""


class Supervisor:
    """Programs with the same environment, each with its output in a file of `logs`."""

    def __init__(
        self, environ: Mapping[str, str], logs: Path, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.environ, self.logs, self.say = dict(environ), logs, say
        self.stages: list[list[Child]] = []  # what was started side by side, in the order of starting
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, *programs: Program) -> None:
        """Start these side by side and wait until all are ready. Raises NotStarted."""
        stage: list[Child] = []
        self.stages.append(stage)
        for program in programs:
            stage.append(Child(program, self._spawn(program)))
        for child in stage:
            self._wait_until_ready(child)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        log = self.log_of(program.name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with log.open("ab") as output:
            return subprocess.Popen(
                program.command, env=self.environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + child.program.start_seconds
        while not child.program.is_ready():
            if child.process.poll() is not None:
                raise NotStarted(f"{child.program.name} ended at once:\n{self.tail(child.program.name)}")
            if time.monotonic() > deadline:
                raise NotStarted(f"{child.program.name} is not ready:\n{self.tail(child.program.name)}")
            time.sleep(0.05)

    def watch(self, until: Callable[[], bool]) -> None:
        """Restart what ends, until `until()` is true. A clean end is a recycled worker: it comes back at once."""
        while not until():
            for child in chain(*self.stages):
                self._look_after(child)
            time.sleep(POLL_SECONDS)

    def _look_after(self, child: Child) -> None:
        status, now = child.process.poll(), time.monotonic()
        if status is None:
            return
        if child.restart_at is None:
            child.failures = 0 if status == 0 or now - child.started > STEADY_SECONDS else child.failures + 1
            pause = min(LONGEST_PAUSE, 0.5 * 2**child.failures) if status else 0.0
            child.restart_at = now + pause
            if status:
                self.say(f"{child.program.name} ended ({status}), again in {pause:.0f} s; {self.log_of(child.program.name)}")
        if now >= child.restart_at:
            child.process, child.started, child.restart_at = self._spawn(child.program), now, None

    def stop(self) -> None:
        """End all, the last started first, each with its grace; what hangs is killed with all it started."""
        while self.stages:
            stage = self.stages[-1]
            for child in stage:
                if child.process.poll() is None:
                    child.process.send_signal(signal.SIGTERM)
            for child in stage:
                self._await_end(child)
            self.stages.pop()

    def _await_end(self, child: Child) -> None:
        try:
            child.process.wait(child.program.grace_seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.say(f"{child.program.name} does not end; killing it")
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)  # its session: what it may have left behind too
        child.process.wait()

    def log_of(self, name: str) -> Path:
        """Where a program's output stands."""
        return self.logs / f"{name}.log"

    def tail(self, name: str, characters: int = 3000) -> str:
        """The end of a program's output."""
        try:
            return self.log_of(name).read_text(errors="replace")[-characters:]
        except OSError:
            return ""
