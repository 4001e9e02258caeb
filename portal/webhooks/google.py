"""Gmail's push notices by Pub/Sub (developers.google.com/workspace/gmail/api/guides/push)."""

from __future__ import annotations

from hashlib import sha256

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError

from portal.access.decorators import public
from portal.database import after_commit
from portal.extensions import csrf
from portal.queues import redis
from portal.sync.service import notice_change
from portal.webhooks.notices import read_notice
from portal.webhooks.tokens import KeysUnavailable, PushKeys, is_genuine

blueprint = Blueprint("google_webhooks", __name__)
MAX_BODY = 256 * 1024
REMEMBER_SECONDS = 72 * 3600


@blueprint.post("/webhooks/google/gmail")
@csrf.exempt
@public
def receive_notice() -> ResponseReturnValue:
    """A mailbox changed. 204 for whatever is genuine, known mailbox or not; 401 for anything else. Its body is a hint."""
    request.max_content_length = MAX_BODY
    body = request.get_data(cache=False)
    settings = current_app.extensions["settings"]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer" or not is_genuine(token.strip(), _keys(), settings):
            return "", 401
    except KeysUnavailable:
        return "", 503  # Pub/Sub comes again
    notice = read_notice(body)
    if notice is None:
        return "", 400
    if not _is_known(notice.notice_id):
        notice_change(notice.mailbox_key)
        after_commit(lambda: _remember(notice.notice_id))
    return "", 204


def _keys() -> PushKeys:
    found: PushKeys | None = current_app.extensions.get("push_keys")
    if found is None:
        url = current_app.extensions["settings"].pubsub_jwks_url
        found = current_app.extensions["push_keys"] = PushKeys(url)
    return found


def _is_known(notice_id: str) -> bool:
    """Whether this very notice had its effect already. Without Redis every notice counts as new: it does no harm twice."""
    try:
        return bool(notice_id) and bool(redis().exists(_key(notice_id)))
    except (RedisError, OSError):
        return False


def _remember(notice_id: str) -> None:
    if not notice_id:
        return
    try:
        redis().set(_key(notice_id), 1, ex=REMEMBER_SECONDS)
    except (RedisError, OSError):
        current_app.logger.info("a notice's id could not be remembered")


def _key(notice_id: str) -> str:
    return f"push:{sha256(notice_id.encode()).hexdigest()[:32]}"
