"""The same mail met in several ways is one message: find what an account has already, safely beside other workers.

Order of locks: the connection (`lease.hold`), then contacts by id, then conversations. Whoever is about to write a mail
locks the contacts that it may be filed under, then looks; so of two who meet the same mail the second finds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from portal.database import db
from portal.models import Contact, Conversation, Message, Participant
from portal.rules.facts import MailFacts
from portal.rules.sameness import MailIdentity, identity_of, is_same_mail
from portal.sync.sets import among, is_postgres, rows_among


@dataclass(frozen=True)
class MetMail:
    """A message of the account that has the Message-ID of a mail in hand. `origin` "crm": it was written here."""

    message_id: UUID
    conversation_id: UUID
    contact_id: UUID
    origin: str
    connection_id: UUID | None
    provider_message_id: str | None
    identity: MailIdentity

    @property
    def as_fact(self) -> tuple[UUID, UUID, UUID]:
        """As the rules take it: message, conversation, contact."""
        return self.message_id, self.conversation_id, self.contact_id


@dataclass(frozen=True)
class Sightings:
    """Messages that mails of a batch may be, by Message-ID, oldest first."""

    by_wire_id: dict[str, list[MetMail]] = field(default_factory=dict)
    our_domain: str = ""

    def of(self, mail: MailFacts) -> Iterator[MetMail]:
        """The messages that are this very mail."""
        found = self.by_wire_id.get(mail.internet_message_id, ())
        own = identity_of(mail, self.our_domain) if found else None
        return (met for met in found if own is not None and is_same_mail(met.identity, own))

    @property
    def conversation_ids(self) -> set[UUID]:
        """Where these messages lie."""
        return {met.conversation_id for found in self.by_wire_id.values() for met in found}


def lock_contacts(contact_ids: Collection[UUID]) -> None:
    """Hold these contacts until the transaction ends, so that nobody else files a mail under one of them meanwhile.

    Rows that only name a contact may still be written. On SQLite writers wait for each other anyway.
    """
    if contact_ids and is_postgres():
        query = select(Contact.id).where(among(Contact.id, contact_ids)).order_by(Contact.id)
        db.session.execute(query.with_for_update(key_share=True))


def met_as(account_id: UUID, mail: MailFacts) -> MetMail | None:
    """The account's message that is this very mail, the oldest; None when it has none. After `lock_contacts` it is sure."""
    return next(find_met(account_id, [mail]).of(mail), None)


def find_met(account_id: UUID, mails: Sequence[MailFacts]) -> Sightings:
    """The account's messages with the Message-IDs of these mails: one query, and one for their people if there are any."""
    query = (
        select(
            Message.id, Message.conversation_id, Conversation.contact_id, Message.origin, Message.connection_id,
            Message.provider_message_id, Message.internet_message_id,
        )
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.account_id == account_id)
        .order_by(Message.id)
    )  # fmt: skip
    wire_ids = {mail.internet_message_id for mail in mails} - {""}
    rows = list(rows_among(query, Message.internet_message_id, wire_ids))
    people = _people([row[0] for row in rows])
    found: dict[str, list[MetMail]] = {}
    for message_id, conversation_id, contact_id, origin, connection_id, provider_id, wire_id in rows:
        sender, addressees = people[message_id]
        identity = MailIdentity(wire_id, sender, frozenset(addressees))
        met = MetMail(message_id, conversation_id, contact_id, origin, connection_id, provider_id, identity)
        found.setdefault(wire_id, []).append(met)
    return Sightings(found, current_app.extensions["settings"].reply_domain)


def _people(message_ids: Collection[UUID]) -> dict[UUID, tuple[str, set[str]]]:
    """Per message its sender and everybody in To and CC, as keys."""
    senders: dict[UUID, str] = {}
    addressees: dict[UUID, set[str]] = {message_id: set() for message_id in message_ids}
    query = select(Participant.message_id, Participant.field, Participant.email_key).where(Participant.field != "bcc")
    for message_id, name, key in rows_among(query, Participant.message_id, message_ids):
        if name == "from":
            senders[message_id] = key
        elif key:
            addressees[message_id].add(key)
    return {message_id: (senders.get(message_id, ""), keys) for message_id, keys in addressees.items()}
