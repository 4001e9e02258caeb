"""What the CRM knows around one mail that came to a routed address."""

from __future__ import annotations

from uuid import UUID

from flask import current_app
from sqlalchemy import select

from portal.contacts.colleagues import crm_user_keys
from portal.conversations.queries import contacts_by_key
from portal.database import db
from portal.intake.parse import RoutedMail
from portal.models import Contact, Conversation, Delivery, IntakeMail, MailRelay, Message, OutboxMail, Participant
from portal.rules.addresses import domain_of, mailbox_of, own_keys
from portal.rules.facts import ContactFact, ConversationFact
from portal.rules.routed import RoutedFacts
from portal.rules.routing import Route


def gather(row: IntakeMail, read: RoutedMail) -> RoutedFacts:
    """The facts for the rule, in the current transaction."""
    facts, users = read.mail.facts, user_keys(row.account_id)
    copied = {person.key for person in facts.cc + facts.bcc}
    is_reply = row.kind == "reply" and row.conversation_id is not None
    contacts = contacts_by_key(row.account_id, copied) if is_reply else {}
    return RoutedFacts(
        route=Route.REPLY if is_reply else Route.BOUNCE,
        conversation=_conversation(row.conversation_id, users) if is_reply and row.conversation_id else None,
        user_keys=users,
        contacts={key: ContactFact(contact.id, key) for key, contact in contacts.items()},
        has_null_sender=row.has_null_sender,
        hops=read.hops,
        is_own_mail=_is_own_mail(row.account_id, read),
        report=read.report,
        logged_as=_logged_as(row.conversation_id, facts.internet_message_id),
    )


def user_keys(account_id: UUID) -> frozenset[str]:
    """Whoever of the account is no patient: its people, and the mail server's own address."""
    senders = db.session.scalars(select(MailRelay.from_email).where(MailRelay.account_id == account_id))
    return crm_user_keys(account_id) | own_keys(*senders)


def _conversation(conversation_id: UUID, user_keys: frozenset[str]) -> ConversationFact | None:
    """The conversation with whom it knows: its contact, and everybody but us in its mail (G-21)."""
    query = (
        select(Conversation.contact_id, Contact.email_key, Conversation.state, Conversation.ended_cause)
        .join(Contact, Contact.id == Conversation.contact_id)
        .where(Conversation.id == conversation_id)
    )
    found = db.session.execute(query).one_or_none()
    if found is None:
        return None
    contact_id, contact_key, state, cause = found
    people = select(Participant.email_key).where(Participant.conversation_id == conversation_id).distinct()
    ours = current_app.extensions["settings"].reply_domain.casefold()
    known = {
        key
        for key in {contact_key, *db.session.scalars(people)}
        if key and key not in user_keys and mailbox_of(key) not in user_keys and domain_of(key) != ours
    }
    return ConversationFact(conversation_id, contact_id, contact_key, frozenset(known), state == "open", cause)


def _is_own_mail(account_id: UUID, read: RoutedMail) -> bool:
    """Whether it is a mail of ours itself and no answer to it: an answer names the mail that it answers."""
    if read.mark is None:
        return False
    marked = select(Message.internet_message_id).where(Message.account_id == account_id, Message.crm_ref == read.mark)
    wire_id = db.session.scalar(marked)
    if wire_id is not None:
        return wire_id not in read.mail.facts.references
    delivery = select(Delivery.id).where(Delivery.account_id == account_id, Delivery.id == read.mark)
    return db.session.scalar(delivery) is not None and not read.mail.facts.references


def _logged_as(conversation_id: UUID | None, wire_id: str) -> UUID | None:
    """The message as which the sync has logged this very mail, since it came to the mailbox, too."""
    if conversation_id is None or not wire_id:
        return None
    query = select(Message.id).where(Message.conversation_id == conversation_id, Message.origin == "mailbox")
    return db.session.scalar(query.where(Message.internet_message_id == wire_id).limit(1))


def reported_mail(row: IntakeMail, read: RoutedMail) -> OutboxMail | None:
    """The mail that a report speaks of, locked: by the address that it came to, or by the mail that it gives back."""
    query = select(OutboxMail).with_for_update(of=OutboxMail)
    if row.outbox_id is not None:
        return db.session.scalar(query.where(OutboxMail.id == row.outbox_id))
    ids = (*read.returned_ids, *read.mail.facts.references)
    return _of_conversation(row.conversation_id, ids)


def answered_mails(row: IntakeMail, read: RoutedMail) -> list[OutboxMail]:
    """Mails of which it is not known whether they arrived, and which this answer names; locked."""
    query = (
        select(OutboxMail)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(Message.conversation_id == row.conversation_id, OutboxMail.state == "unknown")
        .where(Message.internet_message_id.in_(read.mail.facts.references))
        .with_for_update(of=OutboxMail)
    )
    return list(db.session.scalars(query)) if read.mail.facts.references else []


def _of_conversation(conversation_id: UUID | None, wire_ids: tuple[str, ...]) -> OutboxMail | None:
    if conversation_id is None or not wire_ids:
        return None
    query = (
        select(OutboxMail)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(Message.conversation_id == conversation_id, Message.internet_message_id.in_(wire_ids))
        .order_by(Message.sent_at.desc())
        .limit(1)
        .with_for_update(of=OutboxMail)
    )
    return db.session.scalar(query)
