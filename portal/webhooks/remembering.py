"""Which notices have had their effect: remembered for 72 hours, longer than any provider repeats one (WHK-2)."""

from __future__ import annotations

from hashlib import sha256

from flask import current_app
from redis.exceptions import RedisError

from portal.database import after_commit
from portal.queues import redis

REMEMBER_SECONDS = 72 * 3600


def is_known(notice_id: str) -> bool:
    """Whether this very notice had its effect already. Without Redis every notice counts as new: it does no harm twice."""
    try:
        return bool(notice_id) and bool(redis().exists(_key(notice_id)))
    except (RedisError, OSError):
        return False


def remember(notice_id: str) -> None:
    """Remember a notice once its effect is committed; one without an id of its own cannot be."""
    if notice_id:
        after_commit(lambda: _remember(notice_id))


def _remember(notice_id: str) -> None:
    try:
        redis().set(_key(notice_id), 1, ex=REMEMBER_SECONDS)
    except (RedisError, OSError):
        current_app.logger.info("a notice's id could not be remembered")


def _key(notice_id: str) -> str:
    return f"push:{sha256(notice_id.encode()).hexdigest()[:32]}"
