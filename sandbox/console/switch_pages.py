"""Pages of the console about what goes wrong: presets, rules in force, the clock, the request log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox.control.mail import existing_mailbox
from sandbox.inputs import BadInput, whole_number
from sandbox.presets import BY_NAME, PRESETS, switch_on

if TYPE_CHECKING:
    from sandbox.app import Application

SHOWN = 300


def add_switch_pages(console: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_faults(console, application)
    _add_requests(console, application)


def _add_faults(console: Blueprint, application: Application) -> None:
    world = application.world

    @console.get("/faults")
    def list_faults() -> str:
        done = BY_NAME.get(request.args.get("done", ""))
        return render_template(
            "console/faults.html", presets=PRESETS, rules=world.faults.rules, quirks=world.quirks.active, done=done,
            people=sorted(world.mailboxes), chosen=request.args.get("mailbox", ""), clock=world.clock,
        )  # fmt: skip

    @console.post("/faults")
    def use_preset() -> BaseResponse:
        name, address = request.form.get("name", ""), request.form.get("mailbox", "")
        mailbox = existing_mailbox(world, address) if address else None
        if mailbox is None and name in BY_NAME and BY_NAME[name].needs_mailbox:
            raise BadInput("Choose a mailbox first: this happens to one person.")
        times = whole_number(request.form["times"], "times", 1) if request.form.get("times") else None
        switch_on(world, name, mailbox, times)
        return redirect(url_for("console.list_faults", done=name, mailbox=address or None), 303)

    @console.post("/faults/off")
    def remove_faults() -> BaseResponse:
        number = request.form.get("id", "")
        world.faults.remove(whole_number(number, "id") if number else None)
        if not number:
            world.quirks.clear()
        return redirect(url_for("console.list_faults"), 303)

    @console.post("/clock")
    def move_clock() -> BaseResponse:
        days = request.form.get("days", "").strip() or "0"
        try:
            world.clock.offset_seconds = max(-3650.0, min(3650.0, float(days))) * 86_400
        except ValueError:
            raise BadInput("Days must be a number.") from None
        return redirect(url_for("console.list_faults"), 303)


def _add_requests(console: Blueprint, application: Application) -> None:
    world, pusher = application.world, application.pusher

    @console.get("/requests")
    def list_requests() -> str:
        mailbox, path = request.args.get("mailbox", ""), request.args.get("path", "")
        rows = list(world.log.rows(mailbox.lower(), path))[: -SHOWN - 1 : -1]
        return render_template(
            "console/requests.html", rows=rows, notices=pusher.sent[:-21:-1], people=sorted(world.mailboxes),
            mailbox=mailbox, path=path,
        )  # fmt: skip

    @console.post("/requests/forget")
    def forget_requests() -> BaseResponse:
        world.log.clear()
        return redirect(url_for("console.list_requests"), 303)
