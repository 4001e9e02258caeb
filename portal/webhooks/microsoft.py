"""Microsoft Graph's notices (learn.microsoft.com/graph/change-notifications-overview): changes, and life of subscriptions.

Before Graph believes an address it asks it to echo a token; notices bear the secret that the subscription was given.
"""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from portal.access.decorators import public
from portal.connections.watching import drop_held
from portal.database import limit_waits
from portal.extensions import csrf
from portal.sync.service import notice_grant
from portal.sync.watches import renew_soon
from portal.webhooks.elements import Element, genuine, read_elements
from portal.webhooks.remembering import is_known, remember

blueprint = Blueprint("microsoft_webhooks", __name__)
MAX_BODY = 256 * 1024
MAX_TOKEN = 4096
ANSWER_SECONDS = 2.5  # Graph counts an answer after three seconds as slow, and slow addresses are heard less often


@blueprint.post("/webhooks/microsoft/graph")
@csrf.exempt
@public
def receive_notice() -> ResponseReturnValue:
    """Mailboxes changed. 202 where at least one element is genuine, else 401; what it says is a hint."""
    return _echo() or _receive(is_lifecycle=False)


@blueprint.post("/webhooks/microsoft/lifecycle")
@csrf.exempt
@public
def receive_lifecycle() -> ResponseReturnValue:
    """A subscription is about to end, has ended, or notices were lost. Answered as notices are."""
    return _echo() or _receive(is_lifecycle=True)


def _echo() -> Response | None:
    """The validation token as plain text, whoever asks: Graph proves nothing, and text harms nobody (WHK-1)."""
    if "validationToken" not in request.args:
        return None
    token = request.args["validationToken"]
    return Response(token, 200, content_type="text/plain; charset=utf-8") if len(token) <= MAX_TOKEN else Response("", 400)


def _receive(*, is_lifecycle: bool) -> ResponseReturnValue:
    request.max_content_length = MAX_BODY
    elements = read_elements(request.get_data(cache=False))
    if elements is None:
        return "", 400
    limit_waits(ANSWER_SECONDS)
    found = list(genuine(elements))
    for grant_id, element in found:
        if is_lifecycle:
            _follow_event(grant_id, element)
        elif not is_known(element.notice_id):
            notice_grant(grant_id)
            remember(element.notice_id)
    return "", 202 if found else 401


def _follow_event(grant_id: UUID, element: Element) -> None:
    """Renew what is about to end, replace what has ended, and look for what was not told of."""
    if element.event == "reauthorizationRequired":
        renew_soon([grant_id])
    elif element.event == "subscriptionRemoved":
        drop_held(element.subscription_id)
        renew_soon([grant_id], has_ended=True)
        notice_grant(grant_id)
    elif element.event == "missed":
        notice_grant(grant_id)
