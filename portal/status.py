"""Is the process alive, is the portal ready: for load balancers, supervisors and people."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portal.access.decorators import public
from portal.database import db
from portal.lib.clock import now
from portal.models import ScheduleTick
from portal.queues import live_workers, may_lose_keys, redis

blueprint = Blueprint("status", __name__)
TICK_WITHIN = timedelta(minutes=2)


@blueprint.get("/healthz")
@public
def show_health() -> ResponseReturnValue:
    """The process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@public
def show_readiness() -> ResponseReturnValue:
    """Database, Redis, a live worker, a recent tick of the schedule; 503 names the part that is missing."""
    parts = {"database": _database(), "redis": _redis(), "worker": _worker(), "schedule": _schedule()}
    ready = all(parts.values())
    return jsonify(status="ready" if ready else "not ready", **parts), 200 if ready else 503


def _database() -> bool:
    try:
        return db.session.execute(text("select 1")).scalar() == 1
    except SQLAlchemyError:
        db.session.rollback()
        return False


def _redis() -> bool:
    try:
        return not may_lose_keys(redis())
    except (RedisError, OSError):
        return False


def _worker() -> bool:
    try:
        return live_workers() > 0
    except (RedisError, OSError):
        return False


def _schedule() -> bool:
    try:
        tick = db.session.get(ScheduleTick, "tick")
    except SQLAlchemyError:
        db.session.rollback()
        return False
    return tick is not None and now() - tick.ran_at < TICK_WITHIN
