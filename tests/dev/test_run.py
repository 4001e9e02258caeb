"""`./dev run` from the outside: one life of a portal on a state of its own, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from devtools.places import ROOT, free_port
from tests.services.processes import running

START_SECONDS = 120  # on a loaded machine; 5 on an idle one


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Free ports, a state folder of the test's own, and the virtual environment that runs this test."""
    given = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL", "GOOGLE_CLIENT_ID")}
    ports = {name: str(free_port()) for name in ("PORT", "SANDBOX_PORT", "SANDBOX_SMTP_PORT", "INTAKE_PORT")}
    compiled = os.environ.get("PYTHONPYCACHEPREFIX", str(ROOT / "var" / "pycache"))
    own = {"VAR_DIR": str(tmp_path / "state"), "DEV_VENV": sys.prefix, "PYTHONPYCACHEPREFIX": compiled}
    return given | ports | own


def dev(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "dev", *arguments], env=environ, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@contextmanager
def a_running_portal(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`./dev run` that has said that it is ready."""
    log.write_bytes(b"")
    with running([sys.executable, "dev", "run"], log=log, env=environ, cwd=ROOT, grace=60) as process:
        until(
            lambda: b"Ctrl-C ends everything" in log.read_bytes() or process.poll() is not None, START_SECONDS,
            log.read_text(),
        )  # fmt: skip
        assert process.poll() is None, log.read_text()
        yield process


def processes_on(state: str) -> dict[int, str]:
    """Every process whose settings name this state folder: its id and command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"VAR_DIR={state}\0".encode() in (folder / "environ").read_bytes() + b"\0":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:  # a zombie has none
                    found[int(folder.name)] = command
        except OSError:
            continue
    return found


def test_one_life_of_a_portal(environ: dict[str, str], tmp_path: Path) -> None:
    """Ready, used beside, healed, stopped without a trace, started again with its data, killed without a trace."""
    url, state, log = f"http://127.0.0.1:{environ['PORT']}", environ["VAR_DIR"], tmp_path / "run.log"
    with a_running_portal(environ, log) as process:
        said = log.read_text()
        assert f"Portal ready at {url}\n" in said
        assert f"at http://127.0.0.1:{environ['SANDBOX_PORT']}\n" in said
        assert httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert httpx2.get(f"{url}/readyz", trust_env=False).json()["status"] == "ready"

        people = json.loads(dev(environ, "flask", "demo", "people", "--json").stdout)
        assert all(person["sign_in"] in said for person in people)
        asked = dev(environ, "python", "-c", "import os; print(os.environ['REDIS_URL'], os.environ['BASE_URL'])")
        assert asked.stdout.split() == [json.loads((Path(state) / "run.json").read_text())["addresses"]["redis_url"], url]

        for command in ("run", "reset"):
            refused = dev(environ, command)
            assert refused.returncode != 0
            assert "is running" in refused.stderr

        worker = next(number for number, command in processes_on(state).items() if "portal.jobs.worker" in command)
        os.kill(worker, signal.SIGKILL)
        until(lambda: "worker-" in log.read_text().split("ends everything")[1], 30, "a dead worker is named")

        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    assert processes_on(state) == {}
    assert not (Path(state) / "run.json").exists()

    with a_running_portal(environ, log) as process:
        assert json.loads(dev(environ, "flask", "demo", "people", "--json").stdout) == people, "the data was kept"
        process.kill()
        process.wait()
        until(lambda: processes_on(state) == {}, 30, f"left behind: {processes_on(state)}")

    assert dev(environ, "reset").returncode == 0
    assert {path.name for path in Path(state).iterdir()} <= {"run.lock"}
    assert Path(sys.prefix, "pyvenv.cfg").exists()


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT", "SANDBOX_SMTP_PORT"])
def test_a_taken_port_is_named_with_the_way_out(environ: dict[str, str], name: str) -> None:
    with socket.create_server(("127.0.0.1", int(environ[name]))):
        refused = dev(environ, "run")
    assert refused.returncode != 0
    assert f"port {environ[name]} is taken" in refused.stderr
    assert f"{name}=" in refused.stderr
    assert processes_on(environ["VAR_DIR"]) == {}


def test_an_unknown_command_is_answered_with_the_known_ones(environ: dict[str, str]) -> None:
    refused = dev(environ, "fly")
    assert refused.returncode == 2
    assert "reset" in refused.stderr
