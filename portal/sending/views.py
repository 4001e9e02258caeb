"""Individual mail: write one, reply, forward, try again, see what is on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.conversations.service import message_subject
from portal.conversations.thread import FileView
from portal.models import Contact, Conversation, Message, OutboxMail
from portal.rules.sending import forward_subject, one_line
from portal.sending import drafts, forwarding, individual, queries, replies
from portal.sending.forms import MailForm, ReplyForm
from portal.sending.letters import NewMail, NoRecipient, SendRefused

blueprint = Blueprint("sending", __name__)
Page = Callable[[SendRefused | None], str]
NO_CONTACT = (
    "Nobody here has this as their primary address. A forward goes to one contact and is kept on their record: "
    "save them as a contact first, or copy them in CC. Nothing was sent."
)


@blueprint.route("/contacts/<uuid:contact_id>/mail", methods=["GET", "POST"])
@requires(Permission.WRITE_MAIL)
def compose_mail(contact_id: UUID) -> ResponseReturnValue:
    """A new mail to a contact; it begins a conversation."""
    contact, purpose = find(Contact, contact_id), drafts.purpose_of("new", contact_id)
    form = MailForm(data=_draft(purpose))

    def page(refusal: SendRefused | None) -> str:
        return render_template("sending/compose.html", contact=contact, form=form, way=_way(), refusal=refusal)

    def write() -> NewMail:
        return NewMail("new", contact=contact, subject=form.subject.data or "", **_written(form))

    return _pressed(form, purpose, write, page) if form.is_submitted() else page(None)


@blueprint.post("/conversations/<uuid:conversation_id>/reply")
@requires(Permission.WRITE_MAIL)
def send_reply(conversation_id: UUID) -> ResponseReturnValue:
    """A reply in a conversation; refused, the conversation is shown again with what was written."""
    conversation, form = find(Conversation, conversation_id), ReplyForm()

    def page(refusal: SendRefused | None) -> str:
        shown = replies.open_conversation(conversation, g.user_session.user, whole=False, may_reply=True)
        return render_template("conversations/conversation.html", page=shown, form=form, refusal=refusal)

    def write() -> NewMail:
        parent, subject = replies.answered(conversation)
        return NewMail(
            "reply",
            contact=conversation.contact,
            subject=subject,
            conversation=conversation,
            parent=parent,
            **_written(form),
        )

    return _pressed(form, drafts.purpose_of("reply", conversation_id), write, page)


@blueprint.route("/messages/<uuid:message_id>/forward", methods=["GET", "POST"])
@requires(Permission.WRITE_MAIL)
def forward_message(message_id: UUID) -> ResponseReturnValue:
    """Pass a message on to a contact, with the files that stay ticked; it begins a conversation with them (G-06)."""
    message, purpose = find(Message, message_id), drafts.purpose_of("forward", message_id)
    files = forwarding.file_choices(message)
    form = MailForm(data=_forward_defaults(message, files) | _draft(purpose))

    def page(refusal: SendRefused | None) -> str:
        record(events.CONVERSATION_READ, message, messages=1)
        return render_template(
            "sending/forward.html", message=message, files=files, form=form, way=_way(), refusal=refusal
        )

    def write() -> NewMail:
        return _forward(message, form)

    return _pressed(form, purpose, write, page) if form.is_submitted() else page(None)


def _forward_defaults(message: Message, files: list[FileView]) -> dict[str, Any]:
    return {
        "subject": forward_subject(one_line(message_subject(message))),
        "text": "\n\n" + forwarding.forwarded_text(message),
        "keep": [str(file.id) for file in files],
    }


def _forward(message: Message, form: MailForm) -> NewMail:
    """The forward as it was written. Raises SendRefused for an address that is no contact's, a file that is gone."""
    contact = forwarding.recipient(message.account_id, form.to.data or "")
    if contact is None:
        form.to.errors = [NO_CONTACT]
        raise NoRecipient(NO_CONTACT, cause="no_contact")
    written = _written(form)
    written["files"] += forwarding.carried_files(message, form.keep.data or [])
    return NewMail("forward", contact=contact, subject=form.subject.data or "", **written)


@blueprint.post("/outbox/<uuid:outbox_id>/retry")
@requires(Permission.WRITE_MAIL)
def retry_mail(outbox_id: UUID) -> ResponseReturnValue:
    """Try a failed mail again. One that came back is put into the reply box, for its address may be wrong."""
    mail = find(OutboxMail, outbox_id, own=True, lock=True)
    if mail.has_come_back:
        individual.write_again(mail)
        flash("It came back, so check the address first. Its text is in the reply box; attach its files again.", "warn")
    elif individual.try_again(mail):
        flash("It is on its way again.", "ok")
    else:
        flash("It is not waiting to be tried again. Its state stands beside the mail.", "info")
    message = find(Message, mail.message_id)
    return redirect(url_for("conversations.show_conversation", conversation_id=message.conversation_id), 303)


@blueprint.get("/outbox")
@requires(Permission.WRITE_MAIL)
def list_outbox() -> ResponseReturnValue:
    """The person's own mail: what is on its way, what failed and why, what was not finished."""
    user_id, account_id = g.user_session.user_id, g.membership.account_id
    lines = queries.outbox_of(account_id, user_id)
    record(events.CONVERSATIONS_LISTED, shown=len(lines))
    return render_template(
        "sending/outbox.html", lines=lines, drafts=drafts.drafts_of(user_id, account_id), way=_way()
    )


def _pressed(form: MailForm, purpose: str, write: Callable[[], NewMail], page: Page) -> ResponseReturnValue:
    """One press of a mail form: keep it as a draft, send it, or show the page again with what stands in the way."""
    user, account_id = g.user_session.user, g.membership.account_id
    if form.wants_draft:
        drafts.save(user.id, account_id, purpose, form.as_draft())
        flash("Draft kept. Files are not kept with a draft; attach them when you send.", "ok")
        return redirect(_draft_url(purpose), 303)
    if not form.validate():
        return page(None), 400
    try:
        handed = individual.prepare(user, write())
    except SendRefused as refusal:
        individual.keep_refused(user, account_id, purpose, form.as_draft(), refusal)
        return page(refusal), refusal.status
    if handed.is_repeat:
        flash("This mail was handed over already. It is not sent a second time.", "info")
    else:
        drafts.drop(user.id, account_id, purpose)
        flash("Handed over to your mailbox. Its state stands beside the mail.", "ok")
    message = find(Message, handed.outbox.message_id)
    return redirect(url_for("conversations.show_conversation", conversation_id=message.conversation_id), 303)


def _draft(purpose: str) -> dict[str, Any]:
    return drafts.load(g.user_session.user_id, g.membership.account_id, purpose)


def _draft_url(purpose: str) -> str:
    kind, _, row_id = purpose.partition(":")
    if kind == "reply":
        return url_for("conversations.show_conversation", conversation_id=row_id, _anchor="reply")
    if kind == "forward":
        return url_for("sending.forward_message", message_id=row_id)
    return url_for("sending.compose_mail", contact_id=row_id)


def _way() -> queries.Way:
    return queries.way_of(g.membership.account_id, g.user_session.user_id)


def _written(form: MailForm) -> dict[str, Any]:
    """What every kind of mail takes from the form."""
    return {
        "token": form.token.data,
        "text": form.body,
        "cc": form.copies,
        "bcc": form.blind_copies,
        "files": form.attached,
    }
