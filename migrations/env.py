"""Alembic's environment: the application's own engine and models, in one transaction."""

from __future__ import annotations

from typing import Any

from alembic import context
from flask import current_app

from portal.database import UtcDateTime

database = current_app.extensions["migrate"].db


def render_item(kind: str, item: Any, _autogen: Any) -> str | bool:
    """Write our own column type by its short name; the migration imports it."""
    return "UtcDateTime()" if kind == "type" and isinstance(item, UtcDateTime) else False


def run() -> None:
    """Upgrade or downgrade over a live connection; there is no offline mode here."""
    with database.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            render_item=render_item,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
