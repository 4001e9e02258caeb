"""Pages of the console about the practice's mail server: what it was given, and what it shall do wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox.describe import describe_sink_mail
from sandbox.inputs import BadInput, whole_number
from sandbox.smtp_faults import KINDS

if TYPE_CHECKING:
    from sandbox.app import Application

SHOWN = 100


def add_server_pages(console: Blueprint, application: Application) -> None:
    """The routes of this module."""
    _add_sink(console, application)
    _add_faults(console, application)


def _add_sink(console: Blueprint, application: Application) -> None:
    world = application.world

    @console.get("/sink")
    def show_sink() -> str:
        mails = [describe_sink_mail(mail) for mail in world.sink.newest(SHOWN)]
        return render_template(
            "console/sink.html", mails=mails, total=len(world.sink), recipients=world.sink.recipients()
        )

    @console.post("/sink/empty")
    def empty_sink() -> BaseResponse:
        world.empty_sink()
        return redirect(url_for("console.show_sink"), 303)


def _add_faults(console: Blueprint, application: Application) -> None:
    world = application.world

    @console.get("/mail-server")
    def show_mail_server() -> str:
        return render_template(
            "console/mail_server.html", kinds=KINDS, faults=world.smtp_faults.active, settings=world.settings,
            knobs=world.knobs, done=KINDS.get(request.args.get("done", "")), total=len(world.sink),
        )  # fmt: skip

    @console.post("/mail-server")
    def add_smtp_fault() -> BaseResponse:
        given = request.form
        values: dict[str, Any] = {"kind": given.get("kind", ""), "recipient": given.get("recipient", "").strip()}
        for name in ("times", "after"):
            if given.get(name, "").strip():
                values[name] = whole_number(given[name], name, 1 if name == "times" else 0)
        try:
            values["seconds"] = float(given.get("seconds") or 5)
        except ValueError:
            raise BadInput("Seconds must be a number.") from None
        if given.get("status"):
            values["status"] = given["status"]
        fault = world.smtp_faults.add(values)
        return redirect(url_for("console.show_mail_server", done=fault.kind), 303)

    @console.post("/mail-server/off")
    def remove_smtp_faults() -> BaseResponse:
        number = request.form.get("id", "")
        world.smtp_faults.clear(whole_number(number, "id") if number else None)
        return redirect(url_for("console.show_mail_server"), 303)
