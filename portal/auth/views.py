"""The front door: sign-in, sign-out, the location being worked in, and the way to the first page."""

from __future__ import annotations

import hashlib
from uuid import UUID

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import public, signed_in
from portal.auth import service, sessions
from portal.auth.forms import SignInForm, tidy
from portal.auth.paths import local_path
from portal.extensions import limiter
from portal.navigation import first_page
from portal.rules.addresses import match_key

blueprint = Blueprint("auth", __name__)
REFUSED = 422
PER_ADDRESS = "60 per minute; 300 per hour"  # tries from one IP address, whomever they are for
PER_PERSON = "10 per 10 minutes"  # failed tries for one person, wherever they come from


def _person_key() -> str:
    """Whom the try is for, by the address that the form will read, however it is dressed up; not readable in Redis."""
    key = match_key(tidy(request.form.get("email", "")))
    return "person:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _has_failed(response: Response) -> bool:
    return response.status_code == REFUSED


@blueprint.route("/sign-in", methods=["GET", "POST"])
@public
@limiter.limit(PER_ADDRESS, methods=["POST"])
@limiter.limit(PER_PERSON, key_func=_person_key, methods=["POST"], deduct_when=_has_failed)
def sign_in() -> ResponseReturnValue:
    """Email and password; then the page that was wanted, when it is one of ours."""
    wanted = local_path(request.args.get("next")) or url_for("auth.show_first_page")
    if g.user_session is not None and request.method == "GET":
        return redirect(wanted)
    form = SignInForm()
    is_refused = False
    if form.validate_on_submit():
        before, browser = g.user_session, request.user_agent.string[:300]
        if service.sign_in(form.email.data, form.password.data, ip=request.remote_addr or "", browser=browser):
            if before is not None:
                sessions.end(before)
            return redirect(wanted, 303)
        is_refused = True
    page = render_template("auth/sign_in.html", form=form, is_refused=is_refused)
    return page, REFUSED if request.method == "POST" else 200


@blueprint.post("/sign-out")
@signed_in
def sign_out() -> ResponseReturnValue:
    """End this browser's session."""
    service.sign_out(g.user_session)
    flash("You are signed out.", "ok")
    return redirect(url_for("auth.sign_in"), 303)


@blueprint.post("/accounts/<uuid:account_id>/switch")
@signed_in
def switch_account(account_id: UUID) -> ResponseReturnValue:
    """Work in another location; its first page, since pages of the old one are not found there."""
    account = service.switch_account(g.user_session, account_id)
    flash(f"You now work in {account.name}, {account.location}.", "ok")
    return redirect(url_for("auth.show_first_page"), 303)


@blueprint.get("/")
@signed_in
def show_first_page() -> ResponseReturnValue:
    """The first page that answers this person's first question."""
    href = first_page()
    return redirect(href) if href else render_template("auth/nowhere.html")
