"""For guards whose subject is the application's surface, not its database: one backend is enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from portal.audit.caller import PORTAL, set_caller
from portal.database import db
from tests.services.limits import count_in


@pytest.fixture
def sqlite_app(sqlite_backend: Any) -> Iterator[Flask]:
    """The application on SQLite, with empty tables and an empty Redis, in an application context."""
    sqlite_backend.database.clean(sqlite_backend.app)
    Redis.from_url(sqlite_backend.environ["REDIS_URL"]).flushall()
    count_in(sqlite_backend.environ["REDIS_URL"])
    with sqlite_backend.app.app_context():
        yield sqlite_backend.app
        db.session.rollback()
    set_caller(PORTAL)
