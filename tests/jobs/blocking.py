"""Jobs for the tests of the worker, run by real worker processes."""

from __future__ import annotations

import time

from flask import current_app

from portal.audit.caller import PORTAL, current_caller
from portal.database import db, transaction
from portal.models import ScheduleTick


def block(seconds: str) -> None:
    """Take time."""
    time.sleep(float(seconds))


def fail(secret: str) -> None:
    """Break with a text that must not be logged, leaving a row uncommitted."""
    with transaction() as session:
        session.add(ScheduleTick(name="never", ran_at=None))
        raise ValueError(f"mail content: {secret}")


def leave_open() -> None:
    """End with a transaction still open, as a careless job would."""
    assert current_app.name == "portal"
    assert current_caller() == PORTAL
    db.session.add(ScheduleTick(name="open", ran_at=None))
