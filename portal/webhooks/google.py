"""Gmail's push notices by Pub/Sub (developers.google.com/workspace/gmail/api/guides/push)."""

from __future__ import annotations

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from portal.access.decorators import public
from portal.extensions import csrf
from portal.sync.service import notice_change
from portal.webhooks.notices import read_notice
from portal.webhooks.remembering import is_known, remember
from portal.webhooks.tokens import KeysUnavailable, PushKeys, is_genuine

blueprint = Blueprint("google_webhooks", __name__)
MAX_BODY = 256 * 1024


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
    if not is_known(notice.notice_id):
        notice_change(notice.mailbox_key)
        remember(notice.notice_id)
    return "", 204


def _keys() -> PushKeys:
    found: PushKeys | None = current_app.extensions.get("push_keys")
    if found is None:
        url = current_app.extensions["settings"].pubsub_jwks_url
        found = current_app.extensions["push_keys"] = PushKeys(url)
    return found
