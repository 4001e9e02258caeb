"""What came to one's own routed addresses, page by page."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.errors import NotFound
from portal.intake import filing, queries
from portal.models import IntakeMail
from portal.rules.reasons import Outcome

blueprint = Blueprint("intake", __name__)
PAGE = 50


@blueprint.get("/profile/email/answers")
@requires(Permission.OWN_PROFILE)
def list_answers() -> ResponseReturnValue:
    """What was decided of every mail that came to one's conversations and mails (E-01)."""
    own = (g.membership.account_id, g.user_session.user_id)
    show = request.args.get("show", "")
    show = show if show in set(Outcome) else ""
    found = queries.last_answers(*own, show, PAGE + 1, request.args.get("before", type=UUID))
    record(events.INTAKE_LISTED, account_id=own[0], shown=len(found[:PAGE]))
    return render_template(
        "intake/answers.html",
        counts=queries.answer_counts(*own),
        answers=found[:PAGE],
        before=found[PAGE - 1].id if len(found) > PAGE else None,
        show=show,
    )


@blueprint.post("/profile/email/answers/<uuid:intake_id>/again")
@requires(Permission.OWN_PROFILE)
def read_mail_again(intake_id: UUID) -> ResponseReturnValue:
    """Try once more to read a mail that could not be read."""
    row = find(IntakeMail, intake_id, own=True, lock=True)
    if row.state != "unreadable":
        raise NotFound()
    filing.read_again(row)
    flash("It is being read again. Nothing else changes.", "info")
    return redirect(url_for("intake.list_answers"))
