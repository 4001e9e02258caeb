"""A mail form that is pressed after its session has ended: nothing is sent, and what was written is not lost.

Without a session nothing can be kept; the person signs in and finds the form with what was saved while they wrote.
With a session, but a form token of an earlier one of the same person, the text becomes a draft (bad input 40).
Another site can do neither: browsers send no cookie with its forms (SameSite=Lax), and its origin is not ours.
"""

from __future__ import annotations

from contextlib import suppress

from flask import flash, g, request

from portal.access.decorators import may
from portal.access.permissions import Permission
from portal.errors import DomainError
from portal.sending import drafts
from portal.sending.forms import MailForm

FORMS = {
    "sending.compose_mail": ("new", "contact_id"),
    "sending.send_reply": ("reply", "conversation_id"),
    "sending.forward_message": ("forward", "message_id"),
}
"""Endpoints that take a mail form: the kind of their draft, and which part of the address names what it is for."""


def purpose_pressed() -> str:
    """What the pressed mail form was for; "" where the request presses none."""
    kind, argument = FORMS.get(request.endpoint or "", ("", ""))
    if request.method != "POST" or not kind:
        return ""
    return drafts.purpose_of(kind, (request.view_args or {})[argument])


def page_to_return_to() -> str:
    """The page of the mail form that was pressed, "" for another request."""
    purpose = purpose_pressed()
    return drafts.page_of(purpose) if purpose else ""


def is_from_here() -> bool:
    """Whether the browser says that a page of this very site sent the form."""
    return request.headers.get("Origin", "") == request.host_url.rstrip("/")


def tell() -> None:
    """Say on the sign-in page what became of the press. Not to another site's form: its answer sets no cookie."""
    if is_from_here():
        flash("You were signed out. Nothing was sent. What was kept while you wrote stands in the form again.", "warn")


def keep_text() -> bool:
    """Keep the pressed form's text as a draft, in the current transaction; false where that cannot be.

    Only for the person who wrote it: the form names its writer, and somebody else may have signed in meanwhile.
    """
    purpose = purpose_pressed()
    if not purpose or g.membership is None or not may(Permission.WRITE_MAIL) or not is_from_here():
        return False
    if request.form.get("writer") != str(g.user_session.user_id):
        return False
    with suppress(DomainError):
        form = MailForm()
        content, token = form.as_draft(), form.token.data or ""
        purpose = drafts.checked_purpose(purpose)
        return drafts.keep_typed(g.user_session.user_id, g.membership.account_id, purpose, content, token=token)
    return False
