"""Drafts while they are written, and their deletion."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.formatting import clock
from portal.lib.clock import now
from portal.models import Draft
from portal.sending import drafts
from portal.sending.forms import MailForm

blueprint = Blueprint("drafts", __name__)


@blueprint.post("/drafts")
@requires(Permission.WRITE_MAIL)
def keep_draft() -> ResponseReturnValue:
    """What stands in a mail form now, sent by `drafts.js`; answers when it was kept, as the page writes moments."""
    purpose, form = drafts.checked_purpose(request.form.get("purpose", "")), MailForm()
    is_kept = drafts.keep_typed(
        g.user_session.user_id, g.membership.account_id, purpose, form.as_draft(), token=form.token.data or ""
    )
    return "", 204, {"X-Kept-At": clock(now()) if is_kept else ""}


@blueprint.route("/drafts/<uuid:draft_id>/delete", methods=["GET", "POST"])
@requires(Permission.WRITE_MAIL)
def delete_draft(draft_id: UUID) -> ResponseReturnValue:
    """One's own draft, for good."""
    draft = find(Draft, draft_id, own=True)
    if request.method == "GET":
        return render_template("sending/delete_draft.html", draft=drafts.line_of(draft))
    drafts.remove(draft)
    flash("Draft deleted.", "ok")
    return redirect(url_for("outbox.list_outbox"), 303)
