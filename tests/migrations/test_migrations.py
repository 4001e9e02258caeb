"""Migrations on both databases: there and back and there again, equal to the models, and what may never change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from config import Settings
from devtools.settings import Addresses, portal_environment
from portal import create_app
from portal.audit import events
from portal.audit.service import record
from portal.database import db, transaction
from portal.lib.ids import new_id
from portal.models import Acknowledgement, AcknowledgementText
from tests.conftest import SECRETS
from tests.factories import make_account, make_member
from tests.services.databases import MIGRATIONS
from tests.services.postgres import create_database

APPEND_ONLY = ("audit_event", "acknowledgement", "acknowledgement_text")


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The application on a database of its own without any table."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    else:
        url = create_database(request.getfixturevalue("postgres_url"), f"empty_{tmp_path.name.lower()}"[:60])
    addresses = Addresses(1, 2, 3, 4, redis_url="redis://127.0.0.1:1/0", database_url=url)
    app = create_app(
        Settings.from_environment(portal_environment(addresses, var_dir=tmp_path, secrets=SECRETS, app_env="test"))
    )
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def tables() -> set[str]:
    with db.engine.connect() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_up_down_up(empty: Flask) -> None:
    upgrade(str(MIGRATIONS))
    first = tables()
    assert first == set(db.metadata.tables)
    downgrade(str(MIGRATIONS), "base")
    assert tables() == set()
    upgrade(str(MIGRATIONS))
    assert tables() == first


def differences(connection: sqlalchemy.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
    return compare_metadata(context, db.metadata)


def test_the_models_are_what_the_migrations_make(app: Flask) -> None:
    with db.engine.connect() as connection:
        assert differences(connection) == []


def test_that_comparison_can_fail(app: Flask) -> None:
    with db.engine.connect() as connection:
        connection.execute(text("ALTER TABLE notice ADD COLUMN planted VARCHAR(3)"))
        found = differences(connection)
        connection.rollback()
    assert [change[0] for change in found] == ["remove_column"]


@pytest.fixture
def written(app: Flask) -> None:
    """One row in each table that only grows."""
    with transaction() as session:
        account = make_account()
        user = make_member(account)
        record(events.ACCESS_REFUSED, outcome="refused", account_id=account.id, endpoint="x", cause="y")
        session.add(AcknowledgementText(id=new_id(), version=901, sha256="0" * 64, html="<p>Risks</p>"))
        session.add(
            Acknowledgement(
                id=new_id(), account_id=account.id, user_id=user.id, provider="google", text_version=901,
                text_sha256="0" * 64, items=["A"], typed_name="Mia Torres", ip="127.0.0.1", browser="test",
            )
        )  # fmt: skip


@pytest.mark.rule("A-02")
@pytest.mark.rule("H-06")
@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_what_only_grows_cannot_be_changed_or_deleted(app: Flask, table: str, change: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
        session.execute(text(change.format(table)))
    assert db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() >= 1


@pytest.mark.rule("A-02")
@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_what_only_grows_cannot_be_emptied(app: Flask, table: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
        session.execute(text(f"TRUNCATE {table} CASCADE"))
