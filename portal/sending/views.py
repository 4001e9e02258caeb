"""Individual mail: write one, reply, forward."""

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
from portal.formatting import moment
from portal.models import Contact, Conversation, Message, OutboxMail
from portal.rules.sending import forward_subject, one_line
from portal.sending import drafts, forwarding, individual, replies
from portal.sending.forms import MailForm, ReplyForm
from portal.sending.letters import NewMail, NoRecipient, SendRefused
from portal.sending.senders import Way, way_of

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
    draft = _draft(purpose)
    form = MailForm(data=_forward_defaults(message, files) | (draft and {"html": ""} | draft))

    def page(refusal: SendRefused | None) -> str:
        record(events.CONVERSATION_READ, message, messages=1)
        return render_template(
            "sending/forward.html",
            message=message, files=files, pictures=_addresses(message), form=form, way=_way(), refusal=refusal,
        )  # fmt: skip

    def write() -> NewMail:
        return _forward(message, form)

    return _pressed(form, purpose, write, page) if form.is_submitted() else page(None)


def _forward_defaults(message: Message, files: list[FileView]) -> dict[str, Any]:
    return {
        "subject": forward_subject(one_line(message_subject(message))),
        "text": "\n\n" + forwarding.forwarded_text(message),
        "html": forwarding.forwarded_html(message),
        "keep": [str(file.id) for file in files],
    }


def _addresses(message: Message) -> dict[str, str]:
    """Where the editor finds the pictures of the original."""
    return {
        name: url_for("conversations.show_attachment", attachment_id=row_id, show=1)
        for name, row_id in forwarding.picture_choices(message).items()
    }


def _forward(message: Message, form: MailForm) -> NewMail:
    """The forward as it was written. Raises SendRefused for an address that is no contact's, a file that is gone."""
    contact = forwarding.recipient(message.account_id, form.to.data or "")
    if contact is None:
        form.to.errors = [NO_CONTACT]
        raise NoRecipient(NO_CONTACT, cause="no_contact")
    files, pictures = forwarding.carried(message, form.keep.data or [], form.clean_html)
    written = _written(form) | form.letter(pictures)
    written["files"] += files
    return NewMail("forward", contact=contact, subject=form.subject.data or "", **written)


def _pressed(form: MailForm, purpose: str, write: Callable[[], NewMail], page: Page) -> ResponseReturnValue:
    """One press of a mail form: keep it as a draft, send it, or show the page again with what stands in the way."""
    user, account_id = g.user_session.user, g.membership.account_id
    if form.wants_draft:
        drafts.save(user.id, account_id, purpose, form.as_draft())
        flash("Draft kept. Files are not kept with a draft; attach them when you send.", "ok")
        return redirect(drafts.page_of(purpose), 303)
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
        flash(_said_of(handed.outbox), "ok")
    message = find(Message, handed.outbox.message_id)
    return redirect(url_for("conversations.show_conversation", conversation_id=message.conversation_id), 303)


def _said_of(outbox: OutboxMail) -> str:
    """What became of a mail that was pressed to leave."""
    if outbox.waits_for == "time":
        return f"It leaves {moment(outbox.send_at)}. Until then you can take it back."
    if outbox.waits_for == "reset":
        return "It waits for the cap and leaves by itself when a place frees up. Until then you can take it back."
    taker = "your mailbox" if outbox.connection_id else "the practice’s mail server"
    return f"Handed over to {taker}. Its state stands beside the mail."


def _draft(purpose: str) -> dict[str, Any]:
    return drafts.load(g.user_session.user_id, g.membership.account_id, purpose)


def _way() -> Way:
    return way_of(g.membership.account_id, g.user_session.user_id)


def _written(form: MailForm) -> dict[str, Any]:
    """What every kind of mail takes from the form."""
    return form.letter() | {
        "token": form.token.data,
        "cc": form.copies,
        "bcc": form.blind_copies,
        "files": form.attached,
        "waits_for": form.waits_for,
        "send_at": form.send_at,
    }
