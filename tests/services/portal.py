"""The whole product as real processes: web, worker, schedule, intake and the stand-in with push, on either database."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools import programs
from devtools.settings import PUSH, Addresses
from devtools.supervisor import Supervisor
from tests.conftest import Backend
from tests.services.programs import Sandbox


@dataclass(frozen=True)
class RunningPortal:
    """Where it is reached, and its processes.

    `backend.app` is the same application in the test's own process, for rows made beforehand and looked at after.
    """

    url: str
    sandbox: Sandbox
    backend: Backend
    supervisor: Supervisor

    @property
    def console_url(self) -> str:
        """The stand-in's pages for people."""
        return self.sandbox.url

    def log(self, name: str) -> str:
        """The end of the output of `web`, `worker-1`, `schedule` or `intake`."""
        return self.supervisor.tail(name)


@pytest.fixture
def portal(
    backend: Backend, ports: tuple[int, int, int, int], sandbox: Sandbox, tmp_path: Path
) -> Iterator[RunningPortal]:
    """A portal with empty tables that is ready (/readyz), and a stand-in that pushes to it."""
    environ = backend.environ
    addresses = Addresses(*ports, redis_url=environ["REDIS_URL"], database_url=environ["DATABASE_URL"])
    supervisor = Supervisor(os.environ | environ, tmp_path / "log")
    try:
        supervisor.start(
            *programs.workers(sys.executable, 1),
            programs.schedule(sys.executable),
            programs.intake(sys.executable, addresses),
            programs.web(sys.executable, addresses, processes=1),
        )
        sandbox.call("POST", "/knobs", json={"push_url": addresses.base_url + PUSH})
        yield RunningPortal(addresses.base_url, sandbox, backend, supervisor)
    finally:
        sandbox.call("POST", "/knobs", json={"push_url": ""})
        supervisor.stop()
        for name in ("web", "worker-1", "schedule", "intake"):
            print(f"--- {name}\n{supervisor.tail(name)}")  # pytest shows it beside a failure
