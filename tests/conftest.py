"""Fixtures for every test: real database (both kinds), real Redis, the application, a client, a clock that stands.

`app` runs a test once on SQLite and once on PostgreSQL, inside an application context, with empty tables and an
empty Redis. See tests/services/ for how each part is made.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from redis import Redis
from sqlalchemy.orm import Session

from config import Settings
from devtools.places import free_port
from devtools.settings import Addresses, portal_environment
from portal import create_app
from portal.audit.caller import PORTAL, set_caller
from portal.database import db
from portal.lib import clock
from tests.services.databases import PostgresDatabase, SqliteDatabase
from tests.services.limits import count_in
from tests.services.postgres import create_database, postgres_server
from tests.services.unavailable import MISSING
from tests.services.valkey import redis_server
from tests.services.web_client import PortalClient

pytest_plugins = [
    "tests.services.ledger", "tests.services.programs", "tests.services.portal", "tests.services.browser",
]  # fmt: skip

SECRETS = {
    "SECRET_KEY": "only-for-tests-" + "x" * 32,
    "SEALING_KEYS": "t1:" + base64.b64encode(b"only-for-tests-32-bytes-long-key").decode(),
    "AUDIT_KEY": "only-for-tests",
}


@dataclass(frozen=True)
class Backend:
    """One application on one migrated database; `environ` gives other processes the same settings."""

    app: Flask
    database: SqliteDatabase | PostgresDatabase
    environ: dict[str, str]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis of this test worker's own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a real PostgreSQL server (its maintenance database).

    Not below pytest's own folder: every other run of pytest closes that to other users, and the server is one.
    """
    with (
        tempfile.TemporaryDirectory(prefix="portal-postgres-", ignore_cleanup_errors=True) as folder,
        postgres_server(Path(folder)) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def ports() -> tuple[int, int, int, int]:
    """Of the portal, the stand-in, its SMTP sink and the portal's SMTP intake, fixed for the worker so that settings can name them."""
    return free_port(), free_port(), free_port(), free_port()


def _backend(
    database: SqliteDatabase | PostgresDatabase, redis_url: str, ports: tuple[int, int, int, int], folder: Path
) -> Backend:
    addresses = Addresses(*ports, redis_url=redis_url, database_url=database.url)
    environ = portal_environment(addresses, var_dir=folder, secrets=SECRETS, app_env="test")
    app = create_app(Settings.from_environment(environ))
    app.test_client_class = PortalClient
    database.prepare(app)
    return Backend(app, database, environ)


@pytest.fixture(scope="session")
def sqlite_backend(tmp_path_factory: pytest.TempPathFactory, redis_url: str, ports: tuple[int, int, int, int]) -> Backend:
    """The application on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    return _backend(SqliteDatabase(folder), redis_url, ports, folder)


@pytest.fixture(scope="session")
def postgres_backend(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, postgres_url: str, ports: tuple[int, int, int, int]
) -> Backend:
    """The application on PostgreSQL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    url = create_database(postgres_url, f"portal_{worker}")
    return _backend(PostgresDatabase(url), redis_url, ports, tmp_path_factory.mktemp("postgres_state"))


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Both in turn, with empty tables, an empty Redis, nobody calling and the clock not moved."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    found.database.clean(found.app)
    Redis.from_url(found.environ["REDIS_URL"]).flushall()
    count_in(found.environ["REDIS_URL"])
    yield found
    set_caller(PORTAL)
    clock.set_offset(0, allowed=True)


@pytest.fixture
def app(backend: Backend) -> Iterator[Flask]:
    """The application, with an application context pushed for the test itself."""
    with backend.app.app_context():
        yield backend.app
        db.session.rollback()


@pytest.fixture
def db_session(app: Flask) -> Session:
    """The test's own session. Commit what other sessions shall see; `client` commits it for you."""
    return db.session()


@pytest.fixture
def client(app: Flask) -> Any:
    """A browser without pages; `client.sign_in(user)` signs it in."""
    return app.test_client()


@pytest.fixture
def frozen_clock() -> Iterator[time_machine.Coordinates]:
    """Time stands at 2026-11-24 15:00 UTC; `frozen_clock.shift(seconds)` and `.move_to(moment)` move it."""
    with time_machine.travel(datetime(2026, 11, 24, 15, 0, tzinfo=UTC), tick=False) as coordinates:
        yield coordinates


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several workers tells the main process what it could not run."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["missing"] = MISSING


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The main process hears it."""
    MISSING.extend(set(getattr(node, "workeroutput", {}).get("missing", ())) - set(MISSING))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say once more, at the end, what could not run here."""
    for line in MISSING:
        terminalreporter.write_line(f"NOT RUN: {line}", red=True, bold=True)
