"""Every decision of one's own mailbox, page by page."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.connections.queries import live_connection
from portal.errors import NotFound
from portal.models import Connection, Decision
from portal.rules.reasons import Outcome
from portal.sync import queries
from portal.sync.service import fetch_again

blueprint = Blueprint("sync", __name__)
PAGE = 50


@blueprint.get("/profile/email/decisions")
@requires(Permission.OWN_PROFILE)
def list_decisions() -> ResponseReturnValue:
    """What was decided of every mail that one's mailbox met since it was connected (E-01)."""
    connection = live_connection(g.membership.account_id, g.user_session.user_id)
    if connection is None:
        return redirect(url_for("profile.show_email"))
    show = request.args.get("show", "")
    show = show if show in set(Outcome) else ""
    found = queries.last_decisions(connection.id, show or None, PAGE + 1, request.args.get("before", type=UUID))
    return render_template(
        "sync/decisions.html",
        connection=connection,
        counts=queries.decision_counts(connection.id),
        decisions=found[:PAGE],
        before=found[PAGE - 1].id if len(found) > PAGE else None,
        show=show,
    )


@blueprint.post("/profile/email/decisions/<uuid:decision_id>/fetch")
@requires(Permission.CONNECT_OWN)
def fetch_mail_again(decision_id: UUID) -> ResponseReturnValue:
    """Fetch a mail again that could not be read."""
    decision = find(Decision, decision_id)
    connection = find(Connection, decision.connection_id, own=True)
    if decision.outcome != "unreadable" or not connection.is_live:
        raise NotFound()
    fetch_again(decision)
    flash("It is being fetched again. Nothing else changes.", "info")
    return redirect(url_for("profile.show_email"))
