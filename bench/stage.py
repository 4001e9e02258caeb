"""The real parts that a measurement runs on: PostgreSQL, Redis, the stand-in, and the portal's own processes."""

from __future__ import annotations

import base64
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from flask_migrate import upgrade
from redis import Redis

from bench import cpu
from config import Settings
from devtools.places import ROOT, free_port
from devtools.settings import Addresses, portal_environment
from portal import create_app, queues
from portal.database import db
from tests.services.postgres import create_database, postgres_server
from tests.services.processes import running
from tests.services.programs import Sandbox
from tests.services.valkey import redis_server

# A durable server as it is installed, but for the size of its cache: commits wait for the disk.
DATABASE_SETTINGS = ("shared_buffers=256MB", "max_connections=100")
TEMPLATE = "bench_template"
UNLIMITED = str(10**9)  # quota units per minute: measures the portal, not the waiting


@dataclass(frozen=True)
class Stage:
    """The parts, and one fresh database that a metric has for itself."""

    folder: Path
    server_url: str
    postmaster: int
    sandbox: Sandbox
    sandbox_pid: int
    addresses: Addresses
    environ: dict[str, str]
    app: Flask

    def database_cpu(self, without: tuple[int, ...] = ()) -> float:
        """CPU seconds of every PostgreSQL process so far; `without` are backends of the bench itself."""
        return cpu.cpu_seconds([self.postmaster], without)

    @contextmanager
    def workers(
        self, *names: str, count: int = 1, module: str = "portal.jobs.worker", **environ: str
    ) -> Iterator[list[int]]:
        """Real workers of these queues for the length of the block; their process ids once they listen."""
        with ExitStack() as stack:
            pids = []
            for number in range(count):
                command = [sys.executable, "-m", module, *names]
                log = self.folder / f"worker-{number}.log"
                env = os.environ | self.environ | environ
                pids.append(stack.enter_context(running(command, log=log, env=env, cwd=ROOT)).pid)
            with self.app.app_context():
                wait_until(lambda: queues.live_workers() >= count, "workers that listen", seconds=60)
            yield pids
        Redis.from_url(self.environ["REDIS_URL"]).flushall()  # no worker that has gone is counted again


def wait_until(is_so: Callable[[], Any], what: str, seconds: float = 300, every: float = 0.02) -> None:
    """Until `is_so()` is true. Raises TimeoutError naming `what`."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


@contextmanager
def parts(folder: Path) -> Iterator[Stage]:
    """Start everything below `folder` and end it again. The stage's database is only the migrated template."""
    os.environ.pop("TEST_DATABASE_URL", None)  # the CPU of a server elsewhere cannot be read
    with ExitStack() as stack:
        server_folder = folder / "postgres"
        server_folder.mkdir()
        server_url = stack.enter_context(postgres_server(server_folder, DATABASE_SETTINGS))
        redis_url = stack.enter_context(redis_server(folder))
        postmaster = int((server_folder / "data" / "postmaster.pid").read_text().split()[0])
        template = create_database(server_url, TEMPLATE)
        addresses = Addresses(free_port(), free_port(), free_port(), free_port(), redis_url=redis_url, database_url=template)
        environ = environment(addresses, folder)
        command = [sys.executable, "-m", "sandbox"]
        process = stack.enter_context(
            running(command, log=folder / "sandbox.log", port=addresses.sandbox_port, env=os.environ | environ)
        )
        sandbox = Sandbox(addresses.sandbox_url, addresses.smtp_port)
        stack.callback(sandbox.close)
        app = create_app(Settings.from_environment(environ))
        with app.app_context():
            upgrade(str(ROOT / "migrations"))
            db.session.remove()
            db.engine.dispose()
        yield Stage(folder, server_url, postmaster, sandbox, process.pid, addresses, environ, app)


def environment(addresses: Addresses, folder: Path) -> dict[str, str]:
    """The portal's settings, with secrets made for this run and no quota of its own."""
    keys = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SEALING_KEYS": "b1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "AUDIT_KEY": secrets.token_urlsafe(32),
    }
    built = portal_environment(addresses, var_dir=folder, secrets=keys)
    return built | {"GMAIL_UNITS_PER_MINUTE": UNLIMITED, "GMAIL_PROJECT_UNITS_PER_MINUTE": UNLIMITED}


@contextmanager
def fresh(stage: Stage, name: str) -> Iterator[Stage]:
    """The same parts with a new database, an empty Redis and an empty stand-in, inside an application context."""
    url = create_database(stage.server_url, name, TEMPLATE)
    use_lz4(url)
    Redis.from_url(stage.environ["REDIS_URL"]).flushall()
    stage.sandbox.reset()
    stage.sandbox.call("POST", "/knobs", json={"push_url": "", "latency_ms": 0, "part_latency_ms": 0})
    stage.sandbox.call("POST", "/quota", json={"enabled": False})
    environ = stage.environ | {"DATABASE_URL": url}
    app = create_app(Settings.from_environment(environ))
    with app.app_context():
        try:
            yield replace(stage, addresses=replace(stage.addresses, database_url=url), environ=environ, app=app)
        finally:
            db.session.remove()
            db.engine.dispose()


def use_lz4(url: str) -> str:
    """Let new sessions compress long values by lz4 where the server was built with it; which method is in force."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection, suppress(psycopg.errors.InvalidParameterValue):
        connection.execute(f'ALTER DATABASE "{name}" SET default_toast_compression = lz4'.encode())
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW default_toast_compression").fetchone()
    return str(row[0]) if row else ""
