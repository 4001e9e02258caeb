"""The page behind a campaign mail's unsubscribe link: no sign-in, no cookie, and nothing changes by looking at it."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import public
from portal.campaigns import unsubscribing
from portal.extensions import csrf, limiter

blueprint = Blueprint("unsubscribe", __name__)
PLACE = "/unsubscribe/<string(maxlength=64):token>"  # longer than a token and shorter too: links get cut
PER_SENDER = "600 per minute"  # a mail provider presses for all its people from a few addresses
PER_LINK = "20 per minute"
ONE_CLICK = "One-Click"  # the value of the only field of RFC 8058, section 3.1


def _token() -> str:
    return f"unsubscribe-{(request.view_args or {}).get('token', '')}"


@blueprint.get(PLACE)
@limiter.limit(PER_SENDER)
@public
def show_link(token: str) -> ResponseReturnValue:
    """Whose campaigns the link is about, how it stands, and one button."""
    return _page(token)


@blueprint.post(PLACE)
@csrf.exempt
@limiter.limit(PER_SENDER)
@limiter.limit(PER_LINK, key_func=_token)
@public
def unsubscribe(token: str) -> ResponseReturnValue:
    """Unsubscribe, pressed on the page or by a mail program, which follows no redirect (RFC 8058, section 3.1)."""
    is_one_click = request.form.get("List-Unsubscribe") == ONE_CLICK
    unsubscribing.unsubscribe(token, "one_click" if is_one_click else "page")
    if is_one_click:
        return _page(token)
    return redirect(url_for("unsubscribe.show_link", token=token), 303)


@blueprint.post(f"{PLACE}/again")
@csrf.exempt
@limiter.limit(PER_SENDER)
@limiter.limit(PER_LINK, key_func=_token)
@public
def subscribe_again(token: str) -> ResponseReturnValue:
    """Take it back."""
    unsubscribing.subscribe_again(token)
    return redirect(url_for("unsubscribe.show_link", token=token, again=1), 303)


def _page(token: str) -> str:
    standing, has_come_back = unsubscribing.standing_of(token), "again" in request.args
    return render_template("campaigns/unsubscribe.html", token=token, standing=standing, has_come_back=has_come_back)
