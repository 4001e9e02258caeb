"""The outbox: what is on its way, what waits, what failed and why; and every button that moves such a mail."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.models import Message, OutboxMail
from portal.sending import declaring, drafts, individual, queries, taking_back
from portal.sending.senders import way_of

blueprint = Blueprint("outbox", __name__)
TOO_LATE = "It is too late for that. Its state stands beside the mail."


@blueprint.get("/outbox")
@requires(Permission.WRITE_MAIL)
def list_outbox() -> ResponseReturnValue:
    """The person's own mail: what is on its way, what failed and why, what was not finished."""
    user_id, account_id = g.user_session.user_id, g.membership.account_id
    lines = queries.outbox_of(account_id, user_id)
    record(events.CONVERSATIONS_LISTED, shown=len(lines))
    return render_template(
        "sending/outbox.html",
        lines=lines,
        drafts=drafts.drafts_of(user_id, account_id),
        way=way_of(account_id, user_id),
    )


@blueprint.post("/outbox/<uuid:outbox_id>/retry")
@requires(Permission.WRITE_MAIL)
def retry_mail(outbox_id: UUID) -> ResponseReturnValue:
    """Try a failed mail again, or let it wait for the cap. One that came back is put into the reply box."""
    mail = find(OutboxMail, outbox_id, own=True, lock=True)
    if mail.has_come_back:
        taking_back.write_again(mail)
        flash("It came back, so look at the reason first. Its text is in the reply box; attach its files again.", "warn")
    elif individual.try_again(mail, when_free=request.form.get("action") == "queue"):
        flash("It waits for the cap." if mail.waits_for else "It is on its way again.", "ok")
    else:
        flash("It is not waiting to be tried again. Its state stands beside the mail.", "info")
    return _to_the_mail(mail)


@blueprint.post("/outbox/<uuid:outbox_id>/take-back")
@requires(Permission.WRITE_MAIL)
def take_back_mail(outbox_id: UUID) -> ResponseReturnValue:
    """Make a draft of a mail that has not left."""
    mail = find(OutboxMail, outbox_id, own=True, lock=True)
    purpose = taking_back.take_back(mail)
    if not purpose:
        flash(TOO_LATE, "info")
        return _to_the_mail(mail)
    flash("Taken back. It is a draft again; attach its files when you send it.", "ok")
    return redirect(drafts.page_of(purpose), 303)


@blueprint.post("/outbox/<uuid:outbox_id>/now")
@requires(Permission.WRITE_MAIL)
def send_mail_now(outbox_id: UUID) -> ResponseReturnValue:
    """Let a scheduled mail leave at once."""
    mail = find(OutboxMail, outbox_id, own=True, lock=True)
    is_sent = individual.send_now(mail)
    flash("It is on its way." if is_sent else TOO_LATE, "ok" if is_sent else "info")
    return _to_the_mail(mail)


@blueprint.post("/outbox/<uuid:outbox_id>/declare")
@requires(Permission.WRITE_MAIL)
def declare_mail(outbox_id: UUID) -> ResponseReturnValue:
    """Say of a mail that perhaps left what is true: it arrived, or it shall be sent again."""
    mail = find(OutboxMail, outbox_id, own=True, lock=True)
    said = request.form.get("action", "")
    if declaring.declare(mail, said):
        flash("Noted: it arrived." if said == "arrived" else "It is sent again. It may arrive twice.", "ok")
    else:
        flash("Nothing is uncertain about it any more. Its state stands beside the mail.", "info")
    return _to_the_mail(mail)


def _to_the_mail(mail: OutboxMail) -> ResponseReturnValue:
    message = find(Message, mail.message_id)
    return redirect(
        url_for("conversations.show_conversation", conversation_id=message.conversation_id, _anchor=f"mail-{message.id}"),
        303,
    )
