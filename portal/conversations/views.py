"""Conversations: the list, one conversation, the files and formatted mail in it."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, Response, g, make_response, render_template, request, send_file
from flask.typing import ResponseReturnValue

from portal.access.decorators import may, requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.conversations import attachments, queries
from portal.models import Conversation
from portal.sending import replies
from portal.sending.forms import ReplyForm

blueprint = Blueprint("conversations", __name__)
FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


@blueprint.get("/conversations")
@requires(Permission.READ_CONVERSATIONS)
def list_conversations() -> ResponseReturnValue:
    """Every conversation of the location, newest first."""
    show = request.args.get("show", "")
    show = show if show in queries.FILTERS else "all"
    search = request.args.get("q", "")[: queries.MAX_SEARCH]
    before = request.args.get("before", type=UUID)
    page = queries.conversation_page(
        g.membership.account_id, g.user_session.user_id, show=show, search=search, before=before
    )
    record(events.CONVERSATIONS_LISTED, shown=len(page.rows))
    return render_template(
        "conversations/list.html", page=page, filters=queries.FILTERS, show=show, search=search, before=before
    )


@blueprint.get("/conversations/<uuid:conversation_id>")
@requires(Permission.READ_CONVERSATIONS)
def show_conversation(conversation_id: UUID) -> ResponseReturnValue:
    """One conversation. Reading it is an audit event; without it nothing is shown (A-02)."""
    conversation = find(Conversation, conversation_id)
    page = replies.open_conversation(
        conversation, g.user_session.user, whole="all" in request.args, may_reply=may(Permission.WRITE_MAIL)
    )
    form = ReplyForm(data=page.reply.defaults) if page.reply else None
    return render_template("conversations/conversation.html", page=page, form=form, refusal=None)


@blueprint.get("/attachments/<uuid:attachment_id>")
@requires(Permission.READ_CONVERSATIONS)
def show_attachment(attachment_id: UUID) -> ResponseReturnValue:
    """A file for saving; with ?show=1 a JPEG or PNG written anew for looking at."""
    file = attachments.open_file(attachment_id, shown="show" in request.args)
    response = send_file(
        BytesIO(file.data),
        mimetype=file.shown_as or "application/octet-stream",
        as_attachment=not file.shown_as,
        download_name=file.name,
    )
    response.headers["Content-Security-Policy"] = FILE_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/messages/<uuid:message_id>/html")
@requires(Permission.READ_CONVERSATIONS)
def show_mail_html(message_id: UUID) -> ResponseReturnValue:
    """A mail's formatted text as a document of its own, for the sandboxed frame: nothing runs, nothing is loaded."""
    clean = attachments.open_html(message_id)
    theme = g.user_session.user.theme
    response: Response = make_response(render_template("conversations/mail.html", html=clean, theme=theme))
    response.headers["Content-Security-Policy"] = (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
        f"style-src 'nonce-{g.csp_nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response
