"""`./dev run`: the whole portal under one supervisor, and commands in the same settings beside it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from devtools import programs, setup
from devtools.places import ROOT, Places, free_port, is_taken, own_secrets
from devtools.redis_server import redis_program_or_install
from devtools.settings import Addresses, portal_environment, with_own_google
from devtools.supervisor import NotStarted, Supervisor

PORTS = {"PORT": 8000, "SANDBOX_PORT": 8001, "SANDBOX_SMTP_PORT": 8002, "INTAKE_PORT": 8003}


def say(line: str) -> None:
    """To the terminal, at once."""
    print(line, flush=True)


def run(places: Places, _arguments: list[str]) -> int:
    """Start everything, say where it is, keep it going until Ctrl-C or SIGTERM."""
    for name in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job inherits it ignored
        signal.signal(name, _interrupt)
    with not_running(places):
        setup.ensure(places, "run")
        redis_port = 0 if os.environ.get("REDIS_URL") else free_port()
        addresses = _addresses(places, redis_port)
        environ = _environment(places, addresses)
        supervisor = Supervisor(environ, places.logs, say=lambda line: say(f"dev: {line}"))
        try:
            places.run_file.touch(0o600)
            places.run_file.write_text(json.dumps({"pid": os.getpid(), "addresses": asdict(addresses)}))
            _start(places, supervisor, addresses, redis_port)
            _announce(places, environ, addresses)
            supervisor.watch(until=lambda: False)
        except NotStarted as error:
            say(f"dev: {error}")
            return 1
        except KeyboardInterrupt:
            say("\ndev: stopping ...")
        finally:
            supervisor.stop()
            places.run_file.unlink(missing_ok=True)
    return 0


def replace_by(places: Places, arguments: list[str]) -> int:
    """Replace this process by Python with these arguments, in the settings of the running or the last portal."""
    setup.ensure(places, "run")
    os.chdir(ROOT)
    environ = _environment(places, _addresses_now(places))
    os.execve(places.python, [str(places.python), *arguments], environ)


@contextmanager
def not_running(places: Places) -> Iterator[None]:
    """Hold the lock of a running portal. Raises SystemExit while another one has it."""
    with (places.var / "run.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"dev: a portal is running on the state in {places.var}; stop it first") from None
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _port(name: str) -> int:
    text = os.environ.get(name) or str(PORTS[name])
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SystemExit(f"dev: {name}={text} is no port")
    return int(text)


def _addresses(places: Places, redis_port: int) -> Addresses:
    """From the caller's environment and the defaults. Raises SystemExit when a port is taken."""
    ports = {name: _port(name) for name in PORTS}
    for name, port in ports.items():
        if is_taken(port):
            raise SystemExit(f"dev: port {port} is taken; choose another, such as: {name}={port + 100} ./dev run")
    if len(set(ports.values())) < len(ports):
        raise SystemExit(f"dev: {', '.join(ports)} must differ; they are {list(ports.values())}")
    return _at(places, redis_port)


def _at(places: Places, redis_port: int) -> Addresses:
    return Addresses(
        port=_port("PORT"),
        sandbox_port=_port("SANDBOX_PORT"),
        smtp_port=_port("SANDBOX_SMTP_PORT"),
        intake_port=_port("INTAKE_PORT"),
        redis_url=os.environ.get("REDIS_URL") or f"redis://127.0.0.1:{redis_port}/0",
        database_url=os.environ.get("DATABASE_URL") or places.database_url,
    )


def _addresses_now(places: Places) -> Addresses:
    """Of the portal that runs on this state; where none runs, those it would have (with no Redis to reach)."""
    try:
        running = json.loads(places.run_file.read_text())
        os.kill(running["pid"], 0)
    except (OSError, ValueError, KeyError):
        return _at(places, redis_port=1)
    return Addresses(**running["addresses"])


def _environment(places: Places, addresses: Addresses) -> dict[str, str]:
    built = portal_environment(addresses, var_dir=places.var, secrets=own_secrets(places))
    built["SANDBOX_DATA_DIR"] = str(places.var / "sandbox")
    return setup.clean_environment(places) | with_own_google(built, os.environ)


def _start(places: Places, supervisor: Supervisor, addresses: Addresses, redis_port: int) -> None:
    python = str(places.python)
    if redis_port:
        server = redis_program_or_install(python)
        supervisor.start(programs.embedded_redis(server, redis_port, places.var / "redis"))
    supervisor.start(programs.stand_in(python, addresses))
    _flask(places, supervisor.environ, "db", "upgrade")
    _flask(places, supervisor.environ, "demo", "seed")
    supervisor.start(
        *programs.workers(python), programs.schedule(python), programs.intake(python, addresses),
        programs.web(python, addresses),
    )  # fmt: skip


def _flask(places: Places, environ: dict[str, str], *arguments: str) -> str:
    """A command of the portal, in a process of its own; its output. Raises NotStarted with its last words."""
    done = subprocess.run(
        [str(places.python), "-m", "flask", *arguments], env=environ, cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise NotStarted(f"flask {' '.join(arguments)} failed:\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout


def _announce(places: Places, environ: dict[str, str], addresses: Addresses) -> None:
    say(f"Portal ready at {addresses.base_url}")
    say(f"Console of the stand-in's mailboxes at {addresses.sandbox_url}")
    say("Sign in as")
    for line in _flask(places, environ, "demo", "people").splitlines():
        say(f"  {line}")
    say(f"Logs in {_short(places.logs)}; Ctrl-C ends everything")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


