"""Sets of values in queries: one array on PostgreSQL, so that the statement stays the same; a bounded IN elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Select, any_, literal
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from portal.database import db, transaction

MOST = 10_000  # values in one statement; SQLite takes 32,766 parameters, PostgreSQL 65,535


@contextmanager
def reading() -> Iterator[None]:
    """A transaction that only reads, so that on SQLite it does not queue behind writers."""
    with transaction():
        db.session.connection(execution_options={"readonly": True})
        yield


def is_postgres() -> bool:
    """Whether the session talks to PostgreSQL."""
    return db.engine.dialect.name == "postgresql"


def among(column: InstrumentedAttribute[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """`column` is one of `values`."""
    if is_postgres():
        return column == any_(literal(list(values), ARRAY(column.type)))
    return column.in_(values)


def rows_among(
    query: Select[*tuple[Any, ...]], column: InstrumentedAttribute[Any], values: Collection[Any]
) -> Iterator[Any]:
    """The rows of `query` whose `column` is one of `values`: one statement, more only beyond MOST values; none for none."""
    wanted = list(values)
    for start in range(0, len(wanted), MOST):
        with planned_anew():
            found = db.session.execute(query.where(among(column, wanted[start : start + MOST]))).all()
        yield from found


@contextmanager
def planned_anew() -> Iterator[None]:
    """Let PostgreSQL plan for these very values.

    A plan that psycopg lets it keep from the time when the tables were small reads all rows of an account for each page.
    """
    if not is_postgres():
        yield
        return
    driver: Any = db.session.connection().connection.driver_connection
    kept, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = kept


def insert_new(table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, leaving alone those whose unique key stands already."""
    if rows:
        dialect = postgresql if is_postgres() else sqlite
        db.session.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))
