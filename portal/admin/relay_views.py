"""Settings > Account: the location's mail server."""

from __future__ import annotations

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.permissions import Permission
from portal.admin import relay_service as service
from portal.admin.relay_forms import SECURITY, RelayForm, StepForm
from portal.errors import Conflict
from portal.extensions import limiter
from portal.rules.addresses import domain_of, is_consumer
from portal.sending import relays

blueprint = Blueprint("relay", __name__)
TRIES = "6 per minute; 40 per hour"  # of one location: a try makes the portal connect to where somebody says
PASSED = "The mail server works and is in use."


def _place_key() -> str:
    """The location that tries."""
    return f"relay:{g.membership.account_id}" if g.membership else f"relay:{request.remote_addr}"


@blueprint.get("/settings/mail-server")
@requires(Permission.READ_POLICY)
def show_mail_server() -> ResponseReturnValue:
    """How the mail server stands; for changing where the role includes that."""
    return mail_server_page(RelayForm(relays.settings_of(g.membership.account_id)))


@blueprint.post("/settings/mail-server")
@requires(Permission.WRITE_POLICY)
@limiter.limit(TRIES, key_func=_place_key)
def save_mail_server() -> ResponseReturnValue:
    """Keep the settings, then try them."""
    form = RelayForm(relays.settings_of(g.membership.account_id))
    if not form.validate():
        return mail_server_page(form), 400
    try:
        service.save(g.membership.account, form.wanted)
    except Conflict as refused:  # the server was changed in between
        form.password.errors = [refused.message]
        return mail_server_page(form), 400
    return tried(send_test=form.send_test.data)


@blueprint.post("/settings/mail-server/test")
@requires(Permission.WRITE_POLICY)
@limiter.limit(TRIES, key_func=_place_key)
def test_mail_server() -> ResponseReturnValue:
    """Try the kept settings once more."""
    return tried(send_test=StepForm().send_test.data)


def tried(*, send_test: bool) -> ResponseReturnValue:
    """Back to the page, which says what went wrong, if anything did."""
    person = g.user_session.user.email
    passed = service.try_out(g.membership.account_id, recipient=person if send_test else "")
    if passed is None:
        flash("No mail server is set up here. Nothing was tried.", "warn")
    elif passed:
        flash(f"{PASSED} A test mail is on its way to {person}." if send_test else PASSED, "ok")
    return redirect(url_for("relay.show_mail_server"), 303)


@blueprint.get("/settings/mail-server/remove")
@requires(Permission.WRITE_POLICY)
def confirm_removal() -> ResponseReturnValue:
    """What stops and what stays, before it is taken out of use."""
    if relays.settings_of(g.membership.account_id) is None:
        return redirect(url_for("relay.show_mail_server"))
    return render_template("admin/mail_server_remove.html")


@blueprint.post("/settings/mail-server/remove")
@requires(Permission.WRITE_POLICY)
def remove_mail_server() -> ResponseReturnValue:
    """Take it out of use."""
    was_there = service.remove(g.membership.account)
    flash("The mail server is out of use. Nothing is lost: what had not left can be sent once there is one." if was_there
          else "No mail server is set up here. Nothing was changed.", "ok" if was_there else "warn")  # fmt: skip
    return redirect(url_for("relay.show_mail_server"), 303)


def mail_server_page(form: RelayForm) -> str:
    """The page, with what was typed before."""
    relay = form.relay
    return render_template(
        "admin/mail_server.html",
        form=form, relay=relay, kinds=SECURITY,
        own_address=g.user_session.user.email, domain=domain_of(relay.from_email) if relay else "",
        is_consumer=relay is not None and is_consumer(relay.from_email),
    )  # fmt: skip
