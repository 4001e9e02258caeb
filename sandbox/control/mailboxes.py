"""People under `/__ctl`: mailboxes, their history, lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from sandbox.control.mail import existing_mailbox
from sandbox.describe import describe_mailbox
from sandbox.inputs import BadInput, check_fields, json_object, mail_address
from sandbox.presets import expire_history

if TYPE_CHECKING:
    from sandbox.app import Application

PROVIDERS = ("google", "microsoft")
KINDS = ("consumer", "workspace")
MAILBOX: dict[str, Any] = {
    "address": str, "name": str, "provider": str, "kind": str, "password": str, "aliases": list, "forward_to": str,
    "auto_reply": str, "mail_enabled": bool, "send_cap": dict, "sub": str, "needs_approval": bool, "is_disabled": bool,
}  # fmt: skip


def _alias(item: Any) -> dict[str, Any]:
    given = check_fields({"email": item} if isinstance(item, str) else item if isinstance(item, dict) else {},
                         {"email": str, "name": str, "verified": bool}, required=("email",))  # fmt: skip
    return {**given, "email": mail_address(given["email"], "aliases")}


def mailbox_values(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a mailbox to make or change. Raises BadInput."""
    given = check_fields(values, MAILBOX, required=("address",))
    given["address"] = mail_address(given["address"])
    if given.get("kind", "consumer") not in KINDS:
        raise BadInput(f"kind must be one of {', '.join(KINDS)}")
    if given.get("provider", "google") not in PROVIDERS:
        raise BadInput(f"provider must be one of {', '.join(PROVIDERS)}")
    if "aliases" in given:
        given["aliases"] = [_alias(item) for item in given["aliases"]]
    if given.get("forward_to"):
        given["forward_to"] = mail_address(given["forward_to"], "forward_to")
    if given.get("send_cap"):
        cap = check_fields(given["send_cap"], {"mode": str, "limit": int})
        if cap.get("mode", "429") not in ("429", "bounce"):
            raise BadInput("send_cap.mode must be 429 or bounce")
        given["send_cap"] = cap
    elif "send_cap" in given or values.get("send_cap", ...) is None:
        given["send_cap"] = None
    return given


def add_mailbox_routes(control: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_mailboxes(control, application)
    _add_history(control, application)


def _add_mailboxes(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/mailboxes")
    def list_mailboxes() -> dict[str, Any]:
        boxes = sorted(world.mailboxes.values(), key=lambda box: box.address)
        return {"mailboxes": [describe_mailbox(world, box) for box in boxes]}

    @control.post("/mailboxes")
    def create_mailbox() -> tuple[dict[str, Any], int]:
        given = mailbox_values(json_object(request.get_data()))
        is_new = given["address"] not in world.mailboxes
        return describe_mailbox(world, world.create_mailbox(**given)), 201 if is_new else 200

    @control.get("/mailboxes/<address>")
    def show_mailbox(address: str) -> dict[str, Any]:
        return describe_mailbox(world, existing_mailbox(world, address))

    @control.post("/lists")
    def create_list() -> tuple[dict[str, Any], int]:
        given = check_fields(json_object(request.get_data()), {"address": str, "members": list}, ("address", "members"))
        members = [mail_address(member, "members") for member in given["members"]]
        world.create_list(mail_address(given["address"]), members)
        return {"lists": world.lists}, 201


def _add_history(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.post("/mailboxes/<address>/history-floor")
    @control.post("/users/<address>/history-floor")
    def raise_history_floor(address: str) -> dict[str, Any]:
        given = check_fields(json_object(request.get_data()), {"floor": int})
        mailbox = existing_mailbox(world, address)
        expire_history(world, mailbox, given.get("floor"))
        return {"history_floor": mailbox.history_floor, "history_id": mailbox.history_id}
