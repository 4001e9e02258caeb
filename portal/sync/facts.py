"""What the CRM knows around a batch of mails: one query per table for the whole batch, then facts per mail from memory.

A mail logged early in a batch is known to those behind it (`learn`), so that the size of a batch changes no decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from portal.contacts.colleagues import crm_user_keys
from portal.models import (
    Connection,
    Contact,
    ContactAddress,
    Conversation,
    ConversationThread,
    Message,
    Participant,
    ThreadClaim,
    TrackedContact,
)
from portal.rules.addresses import Address, mailbox_of
from portal.rules.facts import ContactFact, ConversationFact, CrmFacts, Direction, MailFacts
from portal.sync.lease import Run
from portal.sync.sameness import Sightings, find_met, lock_contacts
from portal.sync.sets import rows_among


@dataclass
class Known:
    """A conversation that mail of the batch may belong to."""

    id: UUID
    contact_id: UUID
    contact_key: str
    is_open: bool = True
    ended_cause: str = ""
    began_in_crm: bool = False
    colleague_key: str = ""  # whose mailbox it came to, where that is not the owner of this one
    participants: set[str] = field(default_factory=set)

    def fact(self) -> ConversationFact:
        """As the rules take it."""
        people, ended = frozenset(self.participants), self.ended_cause
        return ConversationFact(
            self.id, self.contact_id, self.contact_key, people, self.is_open, ended, self.began_in_crm
        )


@dataclass
class Neighbourhood:
    """Everything around a batch of mails, in the run's account."""

    run: Run
    user_keys: frozenset[str] = frozenset()
    contacts: dict[str, ContactFact] = field(default_factory=dict)
    alternates: frozenset[str] = frozenset()
    conversations: dict[UUID, Known] = field(default_factory=dict)
    by_thread: dict[str, list[UUID]] = field(default_factory=dict)
    by_wire_id: dict[str, list[UUID]] = field(default_factory=dict)
    sent: dict[UUID | str, tuple[UUID, UUID, UUID]] = field(default_factory=dict)  # by crm_ref and by provider id
    claimed: frozenset[str] = frozenset()  # threads of this mailbox that go on in another account
    tracked: dict[UUID, datetime] = field(default_factory=dict)  # contact → since when the user tracks them (B-03)
    met: Sightings = field(default_factory=Sightings)  # mails of the account that may be one of the batch

    def around(self, mail: MailFacts) -> CrmFacts:
        """The facts for one mail."""
        return CrmFacts(
            connected_at=self.run.connected_at,
            own_keys=self.run.own_keys,
            user_keys=self.user_keys,
            contacts=self.contacts,
            alternates=self.alternates,
            candidates=self._candidates(mail),
            sent_message=self._sent_message(mail),
            only_crm_threads=self.run.provider == "microsoft",
            tracked=frozenset(key for key, since in self.tracked.items() if since <= mail.received_at),
            met_as=self._met_as(mail),
            is_claimed_elsewhere=mail.provider_thread_id in self.claimed,
        )

    def _candidates(self, mail: MailFacts) -> tuple[ConversationFact, ...]:
        """By provider thread first, then by references from last to first (architecture: never by subject).

        An answer to all that reaches a colleague's mailbox, too, belongs to the colleague's conversation that it answers,
        whichever mailbox is looked into first.
        """
        found = dict.fromkeys(self.by_thread.get(mail.provider_thread_id, ()))
        named = [key for wire_id in reversed(mail.references) for key in self.by_wire_id.get(wire_id, ())]
        reached = {person.key for person in mail.to + mail.cc} if mail.direction is Direction.INBOUND else set()
        for known in (self.conversations[key] for key in named if key in self.conversations):
            if not known.colleague_key or (known.is_open and known.colleague_key in reached):
                found[known.id] = None
        return tuple(self.conversations[key].fact() for key in found if key in self.conversations)

    def _sent_message(self, mail: MailFacts) -> tuple[UUID, UUID, UUID] | None:
        """The CRM's own mail that this is the sent copy of (G-19). An inbound mail that bears a reference proves nothing."""
        if mail.direction is not Direction.OUTBOUND:
            return None
        by_ref = self.sent.get(mail.crm_ref) if mail.crm_ref else None
        return by_ref or self.sent.get(mail.provider_message_id) or self._sent_unanswered(mail)

    def _sent_unanswered(self, mail: MailFacts) -> tuple[UUID, UUID, UUID] | None:
        """Our own mail whose provider never told its id: it is known by its Message-ID (Graph shows no header of ours)."""
        own = (m for m in self.met.of(mail) if m.connection_id == self.run.connection_id and m.origin == "crm")
        return next((m.as_fact for m in own if m.provider_message_id is None), None)

    def _met_as(self, mail: MailFacts) -> tuple[UUID, UUID, UUID] | None:
        """The message as which this mail came in another way. Within one mailbox every mail is one of its own: there a
        Message-ID that comes twice means two mails."""
        others = (m for m in self.met.of(mail) if m.connection_id != self.run.connection_id)
        return next((m.as_fact for m in others), None)

    def knows_thread(self, thread_id: str, conversation_id: UUID) -> bool:
        """Whether this thread is linked to this conversation."""
        return conversation_id in self.by_thread.get(thread_id, ())

    def is_open(self, conversation_id: UUID) -> bool:
        """Whether a conversation goes on; one that this batch began does."""
        known = self.conversations.get(conversation_id)
        return known is None or known.is_open

    def learn(self, mail: MailFacts, conversation_id: UUID, contact_id: UUID) -> None:
        """A mail of the batch is logged: those behind it shall know its conversation, thread, id and people."""
        known = self.conversations.get(conversation_id)
        if known is None:
            key = next((person.key for person in _people(mail) if self._is(person.key, contact_id)), "")
            known = self.conversations[conversation_id] = Known(conversation_id, contact_id, key)
        known.participants |= self._joinable(person.key for person in _people(mail))
        if not self.knows_thread(mail.provider_thread_id, conversation_id):
            self.by_thread.setdefault(mail.provider_thread_id, []).insert(0, conversation_id)
        if mail.internet_message_id:
            self.by_wire_id.setdefault(mail.internet_message_id, []).append(conversation_id)

    def _is(self, key: str, contact_id: UUID) -> bool:
        contact = self.contacts.get(key)
        return contact is not None and contact.id == contact_id

    def _joinable(self, keys: Iterable[str]) -> set[str]:
        """Addresses by which a mail may join: neither the mailbox itself nor a CRM user (G-07, G-21)."""
        closed = self.user_keys | self.run.own_keys
        return {key for key in keys if key and key not in closed and mailbox_of(key) not in closed}


def gather(run: Run, mails: Sequence[MailFacts], *, to_write: bool = False) -> Neighbourhood:
    """Read what the CRM knows around these mails. One query per table, whatever the size of the batch.

    `to_write` locks the contacts concerned before looking for mails that came in already, so that of two workers who
    meet the same mail the second sees the message of the first.
    """
    found = Neighbourhood(run)
    found.user_keys = crm_user_keys(run.account_id, but=run.user_id) - run.own_keys
    keys = {person.key for mail in mails for person in _people(mail)}
    found.contacts = _contacts(run, keys)
    found.alternates = _alternates(run, keys)
    _find_sent(found, mails)
    threads = {mail.provider_thread_id for mail in mails}
    _find_threads(found, threads)
    found.claimed = _claimed(run, threads)
    _find_wire_ids(found, {wire_id for mail in mails for wire_id in mail.references})
    ids = {key for keys in (*found.by_thread.values(), *found.by_wire_id.values()) for key in keys}
    _load_conversations(found, ids | {conversation_id for _, conversation_id, _ in found.sent.values()})
    _find_tracked(found)
    _find_met(found, mails, to_write=to_write)
    return found


def _find_tracked(found: Neighbourhood) -> None:
    """Whom of these contacts the mailbox's owner tracks by BCC Sync (B-03)."""
    run = found.run
    query = select(TrackedContact.contact_id, TrackedContact.since).where(
        TrackedContact.account_id == run.account_id,
        TrackedContact.user_id == run.user_id,
        TrackedContact.stopped_at.is_(None),
    )
    ids = {contact.id for contact in found.contacts.values()}
    found.tracked = dict(rows_among(query, TrackedContact.contact_id, ids))


def _find_met(found: Neighbourhood, mails: Sequence[MailFacts], *, to_write: bool) -> None:
    """Mails of the account that may be one of these, where one of these may come in at all."""
    concerned = {contact.id for contact in found.contacts.values()}
    concerned |= {known.contact_id for known in found.conversations.values()}
    if not concerned:
        return
    if to_write:
        lock_contacts(concerned)
    found.met = find_met(found.run.account_id, mails)
    _load_conversations(found, found.met.conversation_ids - found.conversations.keys())


def _people(mail: MailFacts) -> tuple[Address, ...]:
    return (mail.sender, *mail.recipients) if mail.sender else mail.recipients


def _contacts(run: Run, keys: Collection[str]) -> dict[str, ContactFact]:
    """Contacts by primary address; of duplicates the one created first (G-08, G-10)."""
    query = (
        select(Contact.id, Contact.email_key, Contact.excluded_from_sync)
        .where(Contact.account_id == run.account_id)
        .order_by(Contact.created_at, Contact.id)
    )
    found: dict[str, ContactFact] = {}
    for contact_id, key, excluded in rows_among(query, Contact.email_key, keys):
        found.setdefault(key, ContactFact(contact_id, key, excluded))
    return found


def _alternates(run: Run, keys: Collection[str]) -> frozenset[str]:
    query = select(ContactAddress.email_key).where(ContactAddress.account_id == run.account_id)
    return frozenset(key for (key,) in rows_among(query, ContactAddress.email_key, keys))


def _find_sent(found: Neighbourhood, mails: Sequence[MailFacts]) -> None:
    """Mail written in the CRM and sent through this mailbox, by our reference or by the provider's id."""
    outbound = [mail for mail in mails if mail.direction is Direction.OUTBOUND]
    query = (
        select(Message.crm_ref, Message.provider_message_id, Message.id, Conversation.id, Conversation.contact_id)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.connection_id == found.run.connection_id, Message.origin == "crm")
    )
    refs = {mail.crm_ref for mail in outbound if mail.crm_ref}
    ids = {mail.provider_message_id for mail in outbound}
    for column, values in ((Message.crm_ref, refs), (Message.provider_message_id, ids)):
        for ref, provider_id, *message in rows_among(query, column, values):
            triple = (message[0], message[1], message[2])
            found.sent.update({key: triple for key in (ref, provider_id) if key})


def _find_threads(found: Neighbourhood, threads: Collection[str]) -> None:
    """Conversations that a thread feeds: of this mailbox only, also from an earlier connection of it."""
    run = found.run
    query = (
        select(ConversationThread.provider_thread_id, ConversationThread.conversation_id)
        .join(Connection, Connection.id == ConversationThread.connection_id)
        .where(Connection.account_id == run.account_id, Connection.user_id == run.user_id)
        .where(Connection.mailbox_key == run.mailbox_key)
        .order_by(ConversationThread.created_at.desc(), ConversationThread.id.desc())
    )
    for thread, conversation_id in rows_among(query, ConversationThread.provider_thread_id, threads):
        found.by_thread.setdefault(thread, []).append(conversation_id)


def _claimed(run: Run, threads: Collection[str]) -> frozenset[str]:
    """Which of these threads another account has claimed. Nothing else crosses from there: not which, not by whom."""
    query = select(ThreadClaim.provider_thread_id).where(
        ThreadClaim.user_id == run.user_id,
        ThreadClaim.mailbox_key == run.mailbox_key,
        ThreadClaim.account_id != run.account_id,
    )
    return frozenset(thread for (thread,) in rows_among(query, ThreadClaim.provider_thread_id, threads))


def _find_wire_ids(found: Neighbourhood, wire_ids: Collection[str]) -> None:
    """Conversations with a message that a mail refers to, the newest first."""
    query = select(Message.internet_message_id, Message.conversation_id).where(Message.account_id == found.run.account_id)
    query = query.order_by(Message.id.desc())
    for wire_id, conversation_id in rows_among(query, Message.internet_message_id, wire_ids):
        found.by_wire_id.setdefault(wire_id, []).append(conversation_id)


def _load_conversations(found: Neighbourhood, ids: Collection[UUID]) -> None:
    columns = (Conversation.id, Conversation.contact_id, Contact.email_key, Conversation.state, Conversation.ended_cause)
    query = (
        select(*columns, Conversation.started_by, Conversation.user_id, Connection.mailbox_key)
        .join(Contact, Contact.id == Conversation.contact_id)
        .outerjoin(Connection, Connection.id == Conversation.connection_id)
        .where(Conversation.account_id == found.run.account_id)
    )
    for conversation_id, contact_id, key, state, cause, began, user_id, mailbox in rows_among(query, Conversation.id, ids):
        colleague = "" if user_id == found.run.user_id else mailbox or "nobody"
        known = Known(conversation_id, contact_id, key, state == "open", cause, began == "crm", colleague)
        known.participants |= found._joinable((key,))
        found.conversations[conversation_id] = known
    people = select(Participant.conversation_id, Participant.email_key).distinct()
    for conversation_id, key in rows_among(people, Participant.conversation_id, found.conversations.keys() & ids):
        found.conversations[conversation_id].participants |= found._joinable((key,))
