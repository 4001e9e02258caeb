"""Settings > My Profile: who one is, and one's own connections."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, current_app, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import may, requires
from portal.access.permissions import ROLE_LABELS, Permission
from portal.auth.paths import local_path
from portal.auth.sessions import memberships
from portal.bcc.page import card_of
from portal.connections.queries import live_connection
from portal.profile import queries
from portal.profile.forms import ThemeForm
from portal.rules.reasons import Outcome
from portal.sync.service import request_check

blueprint = Blueprint("profile", __name__)


@blueprint.get("/profile")
@requires(Permission.OWN_PROFILE)
def show_profile() -> ResponseReturnValue:
    """Name, sign-in address and the places where the person works."""
    places = memberships(g.user_session.user_id)
    return render_template("profile/profile.html", user=g.user_session.user, places=places, labels=ROLE_LABELS)


@blueprint.post("/profile/theme")
@requires(Permission.OWN_PROFILE)
def change_theme() -> ResponseReturnValue:
    """Light, dark, or as the device says; back to the page one was on."""
    form = ThemeForm()
    if form.validate():
        g.user_session.user.theme = form.theme.data
    came_from = urlsplit(request.referrer or "")
    is_ours = came_from.netloc == urlsplit(current_app.extensions["settings"].base_url).netloc
    return redirect((local_path(came_from.path) if is_ours else None) or url_for("profile.show_profile"))


@blueprint.get("/profile/integrations")
@requires(Permission.OWN_PROFILE)
def show_integrations() -> ResponseReturnValue:
    """What the person has connected."""
    connection = live_connection(g.membership.account_id, g.user_session.user_id)
    return render_template("profile/integrations.html", connection=connection)


@blueprint.get("/profile/email")
@requires(Permission.OWN_PROFILE)
def show_email() -> ResponseReturnValue:
    """The three ways in which mail reaches the CRM, and the state of two-way sync (P-01, P-02)."""
    show = request.args.get("show", "")
    sync = queries.email_sync(g.membership, show=show if show in set(Outcome) else "")
    standard = queries.standard_email(g.membership.account_id)
    bcc = card_of(g.membership) if may(Permission.WRITE_MAIL) else None
    return render_template("profile/email.html", sync=sync, standard=standard, bcc=bcc, show=show)


@blueprint.post("/profile/email/check")
@requires(Permission.CONNECT_OWN)
def check_mail() -> ResponseReturnValue:
    """Check for new mail now."""
    connection = live_connection(g.membership.account_id, g.user_session.user_id)
    if connection is None or connection.state != "connected":
        flash("There is no mailbox that could be checked. Nothing was changed.", "warn")
    else:
        request_check(connection)
        flash("Checking now. New mail stands in its conversation within seconds.", "info")
    return redirect(url_for("profile.show_email"))
