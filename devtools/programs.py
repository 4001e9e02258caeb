"""The programs that make up one running portal."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from devtools.redis_server import redis_command
from devtools.settings import Addresses
from devtools.supervisor import Program

WORKERS = 2
WEB_PROCESSES, WEB_THREADS = 2, 8


def listens(port: int) -> Callable[[], bool]:
    """Whether something answers on a port of loopback."""

    def ask() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            return False
        return True

    return ask


def readiness(base_url: str) -> dict[str, object]:
    """What /readyz says, also when it says 503; empty while nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{base_url}/readyz", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            found = json.loads(error.read() or b"{}")
    except (OSError, ValueError):
        return {}
    return found


def embedded_redis(program: str, port: int, folder: Path) -> Program:
    """Redis on loopback with its data in `folder`."""
    return Program("redis", redis_command(program, port, folder), is_ready=listens(port))


def stand_in(python: str, addresses: Addresses) -> Program:
    """The providers' stand-in."""
    return Program("sandbox", [python, "-m", "sandbox"], is_ready=listens(addresses.sandbox_port))


def workers(python: str, count: int = WORKERS) -> list[Program]:
    """RQ workers. They get time to finish a job; what they cannot finish is taken up again later."""
    return [
        Program(f"worker-{number}", [python, "-m", "portal.jobs.worker"], grace_seconds=10)
        for number in range(1, count + 1)
    ]


def schedule(python: str) -> Program:
    """The schedule."""
    return Program("schedule", [python, "-m", "portal.jobs.schedule"])


def intake(python: str, addresses: Addresses) -> Program:
    """The SMTP intake. It gets time to keep a mail whose data has just come."""
    return Program("intake", [python, "-m", "portal.intake"], is_ready=listens(addresses.intake_port), grace_seconds=10)


def web(python: str, addresses: Addresses, processes: int = WEB_PROCESSES) -> Program:
    """The web server; ready when the whole portal is."""
    command = [
        python, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{addresses.port}", "--no-control-socket", "--preload",
        "--workers", str(processes), "--worker-class", "gthread", "--threads", str(WEB_THREADS),
        "--graceful-timeout", "5", "--log-level", "warning",
    ]  # fmt: skip
    return Program("web", command, is_ready=lambda: readiness(addresses.base_url).get("status") == "ready")
