"""The control plane under `/__ctl`: what tests and the console do to the stand-in, apart from the providers' own APIs.

All bodies and answers are JSON (but for a mail's own bytes). A wrong input answers 400 with `{"error": "<what>"}`, an
unknown mailbox or message 404. Nothing here is ever delayed or broken by the fault rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response

from sandbox.control.accounts import add_account_routes
from sandbox.control.dns import add_dns_routes
from sandbox.control.graph import add_graph_routes
from sandbox.control.mail import add_mail_routes
from sandbox.control.mailboxes import add_mailbox_routes
from sandbox.control.switches import add_switch_routes
from sandbox.http import ApiError
from sandbox.inputs import BadInput

if TYPE_CHECKING:
    from sandbox.app import Application


def build_control(application: Application) -> Blueprint:
    """The blueprint of the control plane over one application."""
    control = Blueprint("control", __name__, url_prefix="/__ctl")
    add_mail_routes(control, application)
    add_mailbox_routes(control, application)
    add_account_routes(control, application)
    add_switch_routes(control, application)
    add_dns_routes(control, application)
    add_graph_routes(control, application)

    @control.errorhandler(BadInput)
    def say_what_is_wrong(error: BadInput) -> tuple[dict[str, str], int]:
        return {"error": str(error)}, error.status

    @control.errorhandler(ApiError)
    def pass_the_refusal_on(error: ApiError) -> Response:
        return Response(error.response.body, error.response.status, content_type="application/json")

    return control
