"""Turn a mail into a draft again: one that has not left and is taken back, or one that came back (S-03)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select

from portal.audit import events
from portal.audit.service import record
from portal.conversations import store
from portal.conversations.service import message_subject, readable
from portal.database import after_commit, db
from portal.models import Attachment, Conversation, Mention, Message, MessageBody, OutboxMail, Participant
from portal.sending import drafts


def take_back(outbox: OutboxMail) -> str:
    """Make a draft of a mail that nobody has begun to send, and forget the mail; returns the draft's purpose.

    "" when it is too late, also where an earlier try perhaps arrived and may be answered. Its files go: drafts keep
    none. The caller holds the row's lock.
    """
    if outbox.state != "prepared" or outbox.may_have_left:
        return ""
    message = db.session.get_one(Message, outbox.message_id)
    conversation = message.conversation
    is_first = _count(conversation) == 1
    purpose = drafts.purpose_of("new", conversation.contact_id) if is_first else _reply_purpose(message)
    _keep(outbox, message, purpose)
    record(events.MAIL_CANCELLED, message)
    _forget(outbox, message)
    if is_first:
        db.session.delete(conversation)
    else:
        _follow_newest(conversation)
    db.session.flush()
    return purpose


def write_again(outbox: OutboxMail) -> None:
    """Put the text of a mail that came back into the reply box of its conversation, as a draft."""
    message = db.session.get_one(Message, outbox.message_id)
    _keep(outbox, message, _reply_purpose(message))


def _reply_purpose(message: Message) -> str:
    return drafts.purpose_of("reply", message.conversation_id)


def _keep(outbox: OutboxMail, message: Message, purpose: str) -> None:
    """Save the mail's texts as a draft, above what the draft holds already."""
    body = db.session.get_one(MessageBody, message.id)
    before = drafts.load(outbox.user_id, outbox.account_id, purpose)
    content: dict[str, Any] = {
        "cc": _people(message, "cc"),
        "bcc": _people(message, "bcc"),
        "subject": message_subject(message),
        "text": readable(body.text, "message_body.text", message.account_id, message.id),
    }
    if before.get("text"):
        content["text"] = f"{content['text']}\n\n{before['text']}"
    elif "cid:" not in (html := readable(body.html, "message_body.html", message.account_id, message.id)):
        content["html"] = html  # with pictures, which drafts do not keep, the text alone is
    drafts.save(outbox.user_id, outbox.account_id, purpose, content)


def _people(message: Message, field: str) -> str:
    """As it would be typed; without names, which may hold what a list of people is parted by."""
    return ", ".join(row.email for row in message.participants if row.field == field)


def _count(conversation: Conversation) -> int:
    query = select(func.count()).where(Message.conversation_id == conversation.id)
    return db.session.scalar(query) or 0


def _forget(outbox: OutboxMail, message: Message) -> None:
    """Every row of the mail goes at once; its files once that is committed."""
    files = select(Attachment.store_key).where(Attachment.message_id == message.id, Attachment.store_key != "")
    for key in db.session.scalars(files).all():
        _remove_later(key)
    db.session.delete(outbox)
    db.session.flush()
    for model in (Mention, Participant, Attachment):
        db.session.execute(delete(model).where(model.message_id == message.id))  # type: ignore[attr-defined]
    db.session.execute(delete(MessageBody).where(MessageBody.id == message.id))
    db.session.expire(message)
    db.session.execute(delete(Message).where(Message.id == message.id))


def _remove_later(key: str) -> None:
    def remove() -> None:
        try:
            store.remove(key)
        except store.StoreUnavailable:
            return  # sealed, and no row leads to it

    after_commit(remove)


def _follow_newest(conversation: Conversation) -> None:
    """The conversation's list entry tells of the newest mail that is left."""
    newest = db.session.scalar(
        select(Message)
        .where(Message.conversation_id == conversation.id)
        .order_by(Message.sent_at.desc(), Message.id.desc())
        .limit(1)
    )
    conversation.message_count = _count(conversation)
    if newest is not None:
        conversation.last_message_at, conversation.last_direction = newest.sent_at, newest.direction
