"""Switches under `/__ctl`: faults, quirks, presets, quota, knobs, the clock, push notices, the request log, reset."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from flask import Blueprint, request

from sandbox.control.mail import existing_mailbox
from sandbox.faults import FaultRule
from sandbox.inputs import BadInput, check_fields, json_object, whole_number
from sandbox.presets import PRESETS, switch_on
from sandbox.quota import FORMS
from sandbox.smtp_faults import KINDS
from sandbox.state import SCOPE_ERROR_FORMS

if TYPE_CHECKING:
    from sandbox.app import Application

KNOBS: dict[str, Any] = {
    "latency_ms": int, "part_latency_ms": int, "push_min_interval_ms": int, "scope_error_form": str, "encoded_headers": bool,
    "push_url": str, "push_audience": str, "push_email": str, "smtp_user": str, "smtp_password": str,
}  # fmt: skip
QUOTA: dict[str, Any] = {
    "enabled": bool, "per_user_per_minute": int, "per_project_per_minute": int, "max_concurrent_per_user": int,
    "form": str,
}  # fmt: skip
PUSH: dict[str, Any] = {
    "mailbox": str, "history_id": (str, int), "numeric": bool, "padded": bool, "data": str, "raw_body": str,
    "subscription": str, "audience": str, "email": str, "email_verified": bool, "expired": bool, "issuer": str,
    "issued_offset": int, "alg_none": bool, "bad_signature": bool, "no_auth": bool, "token": str,
    "message_id": str, "url": str,
}  # fmt: skip


def _given(known: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return check_fields(json_object(request.get_data()), known, required)


def _shown(rule: FaultRule) -> dict[str, Any]:
    return dataclasses.asdict(rule)


def add_switch_routes(control: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_faults(control, application)
    _add_quirks_and_presets(control, application)
    _add_limits(control, application)
    _add_log_and_push(control, application)


def _add_faults(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/faults")
    def list_faults() -> dict[str, Any]:
        return {"faults": [_shown(rule) for rule in world.faults.rules]}

    @control.post("/faults")
    def add_fault() -> tuple[dict[str, Any], int]:
        return _shown(world.faults.add(json_object(request.get_data()))), 201

    @control.delete("/faults")
    @control.delete("/faults/<int:rule_id>")
    def remove_faults(rule_id: int | None = None) -> tuple[str, int]:
        if rule_id is None and request.args.get("id"):
            rule_id = whole_number(request.args["id"], "id")
        world.faults.remove(rule_id, request.args.get("name", ""))
        return "", 204

    @control.get("/smtp-faults")
    def list_smtp_faults() -> dict[str, Any]:
        return {"faults": [dataclasses.asdict(fault) for fault in world.smtp_faults.active], "known": list(KINDS)}

    @control.post("/smtp-faults")
    def add_smtp_fault() -> tuple[dict[str, Any], int]:
        return dataclasses.asdict(world.smtp_faults.add(json_object(request.get_data()))), 201

    @control.delete("/smtp-faults")
    def remove_smtp_faults() -> tuple[str, int]:
        number = request.args.get("id", "")
        world.smtp_faults.clear(whole_number(number, "id") if number else None)
        return "", 204

    @control.post("/reset")
    def reset_all() -> tuple[str, int]:
        application.reset()
        return "", 204


def _add_quirks_and_presets(control: Blueprint, application: Application) -> None:
    world = application.world

    @control.get("/quirks")
    def list_quirks() -> dict[str, Any]:
        return {"quirks": world.quirks.active, "known": sorted(world.quirks.KNOWN)}

    @control.post("/quirks")
    def add_quirk() -> tuple[dict[str, Any], int]:
        known = {"name": str, "mailbox": str, "times": int, "value": (bool, int, float, str)}
        return world.quirks.add(**_given(known, ("name",))), 201

    @control.delete("/quirks")
    def remove_quirks() -> tuple[str, int]:
        world.quirks.clear(request.args.get("name", ""))
        return "", 204

    @control.get("/presets")
    def list_presets() -> dict[str, Any]:
        return {"presets": [{"name": p.name, "title": p.title, "text": p.text} for p in PRESETS]}

    @control.post("/presets")
    def use_preset() -> tuple[dict[str, Any], int]:
        given = _given({"name": str, "mailbox": str, "times": int}, ("name",))
        mailbox = existing_mailbox(world, given["mailbox"]) if given.get("mailbox") else None
        return {"rules": switch_on(world, given["name"], mailbox, given.get("times"))}, 201


def _add_limits(control: Blueprint, application: Application) -> None:
    world = application.world

    def shown_quota() -> dict[str, Any]:
        return {**{name: getattr(world.quota, name) for name in QUOTA}, "spent": dict(world.quota.spent)}

    @control.get("/quota")
    def show_quota() -> dict[str, Any]:
        return shown_quota()

    @control.post("/quota")
    def set_quota() -> dict[str, Any]:
        given = _given(QUOTA)
        if given.get("form", FORMS[0]) not in FORMS:
            raise BadInput(f"form must be one of {', '.join(FORMS)}")
        if any(given.get(name, 1) < 1 for name in ("per_user_per_minute", "per_project_per_minute")):
            raise BadInput("the units per minute must be at least 1")
        world.quota.set(given)
        return shown_quota()

    @control.delete("/quota")
    def reset_quota() -> tuple[str, int]:
        world.quota.reset()
        return "", 204

    @control.get("/knobs")
    @control.post("/knobs")
    def turn_knobs() -> dict[str, Any]:
        given = _given(KNOBS) if request.method == "POST" else {}
        if given.get("scope_error_form", "both") not in SCOPE_ERROR_FORMS:
            raise BadInput(f"scope_error_form must be one of {', '.join(SCOPE_ERROR_FORMS)}")
        for name, value in given.items():
            setattr(world.knobs, name, value)
        return dataclasses.asdict(world.knobs)

    @control.get("/clock")
    @control.post("/clock")
    def move_clock() -> dict[str, Any]:
        if request.method == "POST":
            offset = _given({"offset_seconds": (int, float)}, ("offset_seconds",))["offset_seconds"]
            if abs(offset) > 10 * 365 * 86_400:
                raise BadInput("offset_seconds must be within ten years")
            world.clock.offset_seconds = float(offset)
        return {"offset_seconds": world.clock.offset_seconds, "now": world.clock.iso()}


def _add_log_and_push(control: Blueprint, application: Application) -> None:
    world, pusher = application.world, application.pusher

    @control.get("/requests")
    def list_requests() -> dict[str, Any]:
        given = request.args
        after = whole_number(given.get("after", "0"), "after")
        rows = list(world.log.rows(given.get("mailbox", "").lower(), given.get("path", ""), after))
        if given.get("method"):
            rows = [row for row in rows if row["method"] == given["method"].upper()]
        if given.get("status"):
            rows = [row for row in rows if row["status"] == whole_number(given["status"], "status")]
        return {"requests": rows[-whole_number(given["limit"], "limit", 1) :] if given.get("limit") else rows}

    @control.delete("/requests")
    def forget_requests() -> tuple[str, int]:
        world.log.clear()
        return "", 204

    @control.get("/push")
    def list_notices() -> dict[str, Any]:
        return {"sent": list(pusher.sent)}

    @control.post("/push")
    def send_notice() -> dict[str, Any]:
        shape = _given(PUSH)
        if "mailbox" not in shape and "raw_body" not in shape and "data" not in shape:
            raise BadInput("mailbox is missing")
        shape.setdefault("mailbox", "")
        if shape.get("numeric") and not str(shape.get("history_id", "1")).isdigit():
            raise BadInput("history_id must be a number when numeric is asked for")
        return pusher.post(shape)
