"""One migrated database per backend and test worker, made pristine again before each test.

Tests commit for real: what a test writes is seen by requests, threads and other processes, as in life.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import psycopg
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import event

from portal.database import db

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


class SqliteDatabase:
    """A file, replaced by a copy of the freshly migrated one."""

    def __init__(self, folder: Path) -> None:
        self.path, self.pristine = folder / "portal.sqlite3", folder / "pristine.sqlite3"
        self.url = f"sqlite:///{self.path}"

    def prepare(self, app: Flask) -> None:
        """Migrate, keep a copy, and do without waiting for the disk."""
        with app.app_context():
            upgrade(str(MIGRATIONS))
            db.session.remove()
            db.engine.dispose()
            event.listen(db.engine, "connect", self._do_not_wait_for_disk)
        with sqlite3.connect(self.path) as source, sqlite3.connect(self.pristine) as target:
            source.backup(target)
        source.close()
        target.close()

    @staticmethod
    def _do_not_wait_for_disk(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    def clean(self, app: Flask) -> None:
        """Close every connection and put the pristine file in place."""
        with app.app_context():
            db.engine.dispose()
        for ending in ("", "-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
        shutil.copyfile(self.pristine, self.path)


class PostgresDatabase:
    """A database whose rows are deleted, past triggers and foreign keys (`session_replication_role`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._delete = ""
        self._connection: psycopg.Connection | None = None

    def prepare(self, app: Flask) -> None:
        """Migrate, and remember what the migrations themselves wrote nothing into."""
        with app.app_context():
            upgrade(str(MIGRATIONS))
            db.session.remove()
            db.engine.dispose()
            tables = [table.name for table in db.metadata.sorted_tables]
        deletes = "".join(f'DELETE FROM "{table}";' for table in tables)
        self._delete = f"SET session_replication_role = replica; SET lock_timeout = '2s'; {deletes}"
        self._connection = psycopg.connect(self.url, autocommit=True)

    def clean(self, app: Flask) -> None:
        """Delete all rows; connections that a test left open in a transaction are ended first when they stand in the way."""
        assert self._connection is not None
        try:
            self._connection.execute(self._delete.encode())
        except psycopg.errors.LockNotAvailable:
            self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with app.app_context():
                db.engine.dispose()
            self._connection.execute(self._delete.encode())
