"""The console for people: read and write as any mailbox, switch faults on and off, see what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template

from sandbox.console.mail_pages import add_mail_pages
from sandbox.console.server_pages import add_server_pages
from sandbox.console.switch_pages import add_switch_pages
from sandbox.describe import utc
from sandbox.http import ApiError
from sandbox.inputs import BadInput

if TYPE_CHECKING:
    from sandbox.app import Application

POLICY = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def build_console(application: Application) -> Blueprint:
    """The blueprint of the console over one application."""
    console = Blueprint("console", __name__)
    console.add_app_template_filter(utc, "utc")
    add_mail_pages(console, application)
    add_server_pages(console, application)
    add_switch_pages(console, application)

    @console.errorhandler(BadInput)
    def say_what_is_wrong(error: BadInput) -> tuple[str, int]:
        return render_template("console/problem.html", problem=str(error)), error.status

    @console.errorhandler(ApiError)
    def show_the_refusal(error: ApiError) -> tuple[str, int]:
        text = f"Gmail refused: {error.response.body.decode('utf-8', 'replace')}"
        return render_template("console/problem.html", problem=text), 400

    @console.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    return console
