"""Write the rows of an individual mail: conversation, message, people, mentions, files, sealed MIME."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from portal.audit import events
from portal.audit.service import record
from portal.conversations import store
from portal.conversations.queries import contacts_by_key
from portal.database import db
from portal.lib.clock import now
from portal.lib.html import snippet
from portal.lib.ids import new_id, new_token
from portal.models import (
    Attachment,
    Contact,
    Conversation,
    Mention,
    Message,
    MessageBody,
    OutboxMail,
    Participant,
    User,
)
from portal.rules.addresses import Address
from portal.rules.sending import MAX_MIME_BYTES, reply_references
from portal.sealing import seal_text
from portal.sending import queries
from portal.sending.letters import NewMail, SendRefused
from portal.sending.mime import OutgoingMail, OutgoingPicture, build_mime, message_id_of
from portal.sending.sealed import seal_raw
from portal.sending.senders import Sender, reply_address


def write_mail(user: User, mail: NewMail, sender: Sender) -> OutboxMail:
    """Every row of a mail that may leave as `sender`. Raises SendRefused when a file cannot be stored."""
    conversation = mail.conversation or _begin_conversation(user, mail, sender)
    crm_ref, written_at = uuid4(), now()
    raw = build_mime(_outgoing(mail, sender, conversation, crm_ref, written_at))
    if len(raw) > MAX_MIME_BYTES:  # text and HTML of a size that nobody types, on top of 25 MB of files
        raise SendRefused("This mail is too large with its files. Shorten it, or take a file out.", cause="too_large")
    message = _write_message(user, mail, sender, conversation, crm_ref, written_at, raw)
    conversation.last_message_at, conversation.last_direction = written_at, "outbound"
    conversation.message_count += 1
    record(events.MAIL_PREPARED, message, kind=mail.kind, path=sender.path.value)
    if mail.waits_for:
        record(events.MAIL_QUEUED, message, waits_for=mail.waits_for)
    return _write_outbox(user, mail, sender, message, crm_ref, raw)


def _begin_conversation(user: User, mail: NewMail, sender: Sender) -> Conversation:
    row = Conversation(
        id=new_id(),
        account_id=mail.contact.account_id,
        contact_id=mail.contact.id,
        user_id=user.id,
        connection_id=sender.connection.id if sender.connection else None,
        started_by="crm",
        last_message_at=now(),
        last_direction="outbound",
        message_count=0,
    )
    row.subject = seal_text(mail.subject, "conversation.subject", row.account_id, row.id)
    db.session.add(row)
    db.session.flush()
    return row


def _outgoing(
    mail: NewMail, sender: Sender, conversation: Conversation, crm_ref: UUID, written_at: datetime
) -> OutgoingMail:
    return OutgoingMail(
        sender=sender.address,
        reply_to=reply_address(conversation) if sender.relay else None,
        to=(Address(mail.contact.email, mail.contact.email_key, _full_name(mail.contact)),),
        cc=mail.cc,
        bcc=mail.bcc,
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        pictures=mail.pictures,
        files=mail.files,
        crm_ref=crm_ref,
        written_at=written_at,
        parent_id=mail.parent.internet_message_id if mail.parent else "",
        references=_references(mail),
    )


def _references(mail: NewMail) -> str:
    return reply_references(mail.parent.internet_message_id, mail.parent.references) if mail.parent else ""


def _full_name(contact: Contact) -> str:
    return " ".join(f"{contact.first_name} {contact.last_name}".split())


def _write_message(
    user: User,
    mail: NewMail,
    sender: Sender,
    conversation: Conversation,
    crm_ref: UUID,
    written_at: datetime,
    raw: bytes,
) -> Message:
    account_id, message_id = conversation.account_id, new_id()
    message = Message(
        id=message_id,
        account_id=account_id,
        conversation_id=conversation.id,
        connection_id=sender.connection.id if sender.connection else None,
        user_id=user.id,
        direction="outbound",
        origin="crm",
        is_forward=mail.kind == "forward",
        state="sending",
        crm_ref=crm_ref,
        internet_message_id=message_id_of(raw),
        references=_references(mail),
        sent_at=written_at,
        subject=seal_text(mail.subject, "message.subject", account_id, message_id),
        snippet=seal_text(snippet(mail.text), "message.snippet", account_id, message_id),
        size=len(raw),
        attachment_count=len(mail.parts),
    )
    db.session.add(message)
    db.session.flush()
    db.session.add(
        MessageBody(
            id=message_id,
            account_id=account_id,
            text=seal_text(mail.text, "message_body.text", account_id, message_id),
            html=seal_text(mail.html, "message_body.html", account_id, message_id) if mail.html else None,
        )
    )
    _write_people(mail, sender, message)
    _write_files(mail, message)
    return message


def _write_people(mail: NewMail, sender: Sender, message: Message) -> None:
    """Participants of every field, and a mention for each contact in CC or BCC (G-11)."""
    to = Address(mail.contact.email, mail.contact.email_key, _full_name(mail.contact))
    fields = (("from", (sender.address,)), ("to", (to,)), ("cc", mail.cc), ("bcc", mail.bcc))
    db.session.add_all(
        Participant(
            account_id=message.account_id,
            message_id=message.id,
            conversation_id=message.conversation_id,
            field=name,
            position=position,
            email=person.email,
            email_key=person.key,
            name=person.name[:200],
        )
        for name, people in fields
        for position, person in enumerate(people)
    )
    known = contacts_by_key(message.account_id, {person.key for person in mail.cc + mail.bcc})
    mentioned = {
        (known[person.key].id, name)
        for name, people in (("cc", mail.cc), ("bcc", mail.bcc))
        for person in people
        if person.key in known and known[person.key].id != mail.contact.id
    }
    db.session.add_all(
        Mention(
            account_id=message.account_id,
            contact_id=contact_id,
            message_id=message.id,
            conversation_id=message.conversation_id,
            field=name,
        )
        for contact_id, name in sorted(mentioned, key=str)
    )


def _write_files(mail: NewMail, message: Message) -> None:
    """Put files and pictures into the store; when it does not take one, nothing is sent."""
    for position, file in enumerate(mail.parts):
        row = Attachment(
            id=new_id(),
            account_id=message.account_id,
            message_id=message.id,
            conversation_id=message.conversation_id,
            position=position,
            content_type=file.content_type[:100],
            content_id=file.content_id if isinstance(file, OutgoingPicture) else "",
            size=len(file.data),
            state="stored",
        )
        row.name = seal_text(file.name, "attachment.name", row.account_id, row.id)
        try:
            row.store_key = store.put(row.account_id, row.id, file.data)
        except store.StoreUnavailable as error:
            raise SendRefused(
                "The files could not be stored. Try again later, or send it without files.",
                cause="store_unavailable",
            ) from error
        db.session.add(row)


def _write_outbox(
    user: User, mail: NewMail, sender: Sender, message: Message, crm_ref: UUID, raw: bytes
) -> OutboxMail:
    connection = sender.connection
    row = OutboxMail(
        id=new_id(),
        account_id=message.account_id,
        user_id=user.id,
        path=sender.path.value,
        connection_id=connection.id if connection else None,
        mailbox_key=connection.mailbox_key if connection else "",
        message_id=message.id,
        form_token=mail.token,
        crm_ref=crm_ref,
        provider_thread_id=queries.thread_of(mail.conversation, connection) if mail.conversation and connection else None,
        bounce_token=new_token() if sender.relay else None,
        next_try_at=now(),
    )
    _give_place(row, mail)
    row.raw = seal_raw(row, raw)
    db.session.add(row)
    db.session.flush()
    return row


def _give_place(row: OutboxMail, mail: NewMail) -> None:
    """A mail through a mailbox that need not wait counts against the cap from here on; a failure takes it back."""
    row.waits_for = mail.waits_for
    if mail.waits_for == "time" and mail.send_at:
        row.send_at = row.next_try_at = mail.send_at
    elif mail.waits_for == "reset":
        row.send_at = now()
    elif row.connection_id:
        row.sent_at = now()
