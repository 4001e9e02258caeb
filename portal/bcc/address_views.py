"""My Profile > Email > BCC Sync: how to use one's address, another address, and from where one may post to it."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.bcc import service, verifying
from portal.bcc.forms import CodeForm, OwnAddressForm
from portal.bcc.page import how_to
from portal.bcc.verifying import AddressRefused, Answer
from portal.extensions import limiter
from portal.models import OwnAddress

blueprint = Blueprint("bcc_addresses", __name__)
CODES = "6 per hour; 20 per day"  # mails that one person can make the practice's mail server send to a stranger
TYPED = "30 per hour"
ANSWERS = {
    Answer.VERIFIED: ("Verified. You may write from {email} now.", "ok"),
    Answer.WRONG: ("That is not the code that was sent to {email}. Look again and type it once more.", "warn"),
    Answer.USED_UP: ("Five wrong tries: this code no longer works. Send a new one to {email}.", "warn"),
    Answer.EXPIRED: ("The code for {email} has run out. Send a new one.", "warn"),
}


def _person_key() -> str:
    """The person who asks."""
    return f"own-address:{g.user_session.user_id}" if g.get("user_session") else "own-address:nobody"


@blueprint.get("/profile/email/bcc")
@requires(Permission.WRITE_MAIL)
def show_how_to() -> ResponseReturnValue:
    """How to use one's BCC address, and what happens then (B-02 to B-05)."""
    return _how_to_page(OwnAddressForm(formdata=None))


def _how_to_page(form: OwnAddressForm) -> str:
    return render_template("bcc/how_to.html", how=how_to(g.membership), form=form)


def _back() -> ResponseReturnValue:
    return redirect(url_for("bcc_addresses.show_how_to", _anchor="own-addresses"), 303)


@blueprint.route("/profile/email/bcc/replace", methods=["GET", "POST"])
@requires(Permission.WRITE_MAIL)
def replace_address() -> ResponseReturnValue:
    """Another address; the one before stops at once (B-01)."""
    if request.method == "POST":
        service.replace_address(g.membership.account_id, g.user_session.user_id)
        flash("You have a new BCC address. The one before does not work any more.", "ok")
        return redirect(url_for("profile.show_email"), 303)
    row = service.address_of(g.membership.account_id, g.user_session.user_id)
    return render_template("bcc/replace.html", address=service.written_address(row))


@blueprint.post("/profile/email/bcc/addresses")
@requires(Permission.WRITE_MAIL)
@limiter.shared_limit(CODES, scope="own-address-codes", key_func=_person_key)
def add_address() -> ResponseReturnValue:
    """Name an address of one's own; a code goes there (B-05)."""
    form = OwnAddressForm()
    if not form.validate():
        return _how_to_page(form), 400
    try:
        row = verifying.add_address(g.membership.account_id, g.user_session.user_id, form.email.data)
    except AddressRefused as refused:
        form.email.errors = [refused.message]
        return _how_to_page(form), 409
    flash(f"A code is on its way to {row.email}. Enter it below within 15 minutes.", "info")
    return _back()


@blueprint.post("/profile/email/bcc/addresses/<uuid:own_address_id>/code")
@requires(Permission.WRITE_MAIL)
@limiter.shared_limit(CODES, scope="own-address-codes", key_func=_person_key)
def send_code_again(own_address_id: UUID) -> ResponseReturnValue:
    """A new code; the one before stops working."""
    row = find(OwnAddress, own_address_id, own=True, lock=True)
    verifying.send_again(row)
    flash(f"A new code is on its way to {row.email}. One that came before no longer works.", "info")
    return _back()


@blueprint.post("/profile/email/bcc/addresses/<uuid:own_address_id>/verify")
@requires(Permission.WRITE_MAIL)
@limiter.limit(TYPED, key_func=_person_key)
def verify_address(own_address_id: UUID) -> ResponseReturnValue:
    """Enter the code that came."""
    row = find(OwnAddress, own_address_id, own=True, lock=True)
    words, tone = ANSWERS[verifying.verify(row, CodeForm().code.data or "")]
    flash(words.format(email=row.email), tone)
    return _back()


@blueprint.post("/profile/email/bcc/addresses/<uuid:own_address_id>/remove")
@requires(Permission.WRITE_MAIL)
def remove_address(own_address_id: UUID) -> ResponseReturnValue:
    """No longer an address of one's own."""
    row = find(OwnAddress, own_address_id, own=True, lock=True)
    email = row.email
    verifying.remove_address(row)
    flash(f"Removed. Mail from {email} to your BCC address is refused from now on.", "ok")
    return _back()
