"""Graph's notices under `/__ctl/graph`: what was sent, lifecycle events on request, odd and forged notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from sandbox.control.mail import existing_mailbox
from sandbox.inputs import BadInput, check_fields, json_object
from sandbox.microsoft.subscriptions import LIFECYCLE

if TYPE_CHECKING:
    from sandbox.app import Application


def add_graph_routes(control: Blueprint, application: Application) -> None:
    """The routes of this module."""
    subscriptions, world = application.graph.subscriptions, application.world

    @control.get("/graph/subscriptions")
    def list_subscriptions() -> dict[str, Any]:
        boxes = list(world.mailboxes.values())
        return {"subscriptions": [{**s, "mailbox": box.address} for box in boxes for s in box.subscriptions.values()]}

    @control.get("/graph/notices")
    def list_graph_notices() -> dict[str, Any]:
        return {"sent": list(subscriptions.sent)}

    @control.post("/graph/lifecycle")
    def send_lifecycle() -> dict[str, Any]:
        known: dict[str, Any] = {"mailbox": str, "event": str, "values": dict}
        given = check_fields(json_object(request.get_data()), known, ("mailbox", "event"))
        if given["event"] not in LIFECYCLE:
            raise BadInput(f"event must be one of {', '.join(LIFECYCLE)}")
        mailbox = existing_mailbox(world, given["mailbox"])
        return {"answers": subscriptions.lifecycle(mailbox, given["event"], given.get("values"))}

    @control.post("/graph/notices")
    def send_graph_notice() -> dict[str, Any]:
        given = check_fields(json_object(request.get_data()), {"url": str, "notice": dict}, ("url", "notice"))
        return subscriptions.post(given["url"], given["notice"])
