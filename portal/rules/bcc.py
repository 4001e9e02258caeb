"""What becomes of a mail to a person's BCC address. The order of judgement is the order of this file.

At the port only the header is looked at: nothing is kept of a stranger's mail, nor of a machine's (B-05, SMT-4). What the
owner seems to have written is kept, and judged once it is known whether anything proves that they did (SMT-2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from portal.rules.addresses import Address, domain_of, mailbox_of
from portal.rules.facts import ContactFact, ConversationFact, MailFacts
from portal.rules.reasons import Reason
from portal.rules.routed import MOST_HOPS
from portal.rules.sync import Decision, mentions_of

CREATE, ASK = "create", "ask"  # the account's policy for somebody in To who is no contact yet (B-06)


@dataclass(frozen=True)
class PortFacts:
    """What is known around a mail before it is taken."""

    owner_keys: frozenset[str]  # from where the owner may post, as canonical keys (B-05)
    has_null_sender: bool = False  # MAIL FROM:<>, as machines write (RFC 5321 4.5.5)
    hops: int = 0
    is_own_mail: bool = False  # it is a mail that the owner wrote in the CRM, and no answer to one


@dataclass(frozen=True)
class BccFacts:
    """What is known around a mail that was taken."""

    owner_keys: frozenset[str]  # from where the owner may post, as canonical keys
    is_proven: bool  # DMARC-aligned DKIM or SPF, or the owner's own word (B-05)
    user_keys: frozenset[str] = frozenset()  # everybody of the account and its own addresses, the owner aside
    own_domain: str = ""  # of routed addresses
    contacts: Mapping[str, ContactFact] = field(default_factory=dict)  # by primary address
    staff: frozenset[str] = frozenset()  # of the people in To: keys of those who look like staff
    candidates: tuple[ConversationFact, ...] = ()  # the owner's, by references from last to first
    met_as: tuple[UUID, UUID, UUID] | None = None  # (message, conversation, contact): this very mail is here already
    is_written_here: bool = False  # that one was written in the CRM
    creates: bool = True  # the account's policy (B-06)


def judge_at_port(mail: MailFacts, around: PortFacts) -> Reason | None:
    """Why nothing of a mail is kept but this reason; None for one that is to be kept and judged by `decide_bcc`."""
    if around.hops > MOST_HOPS:
        return Reason.LOOP
    if around.is_own_mail:
        return Reason.BCC_OF_CRM_MAIL
    if reason := _machine(mail, around.has_null_sender):
        return reason
    return None if _is_among(mail.sender, around.owner_keys) else Reason.FOREIGN_SENDER


def _machine(mail: MailFacts, has_null_sender: bool) -> Reason | None:
    """Machines never get an answer, also not a refusal that would come back as a report (RFC 3834)."""
    if mail.is_bounce:
        return Reason.BOUNCE
    if mail.is_receipt:
        return Reason.READ_RECEIPT
    if mail.is_list:
        return Reason.LIST_MAIL
    return Reason.AUTOMATIC_REPLY if mail.is_automatic or has_null_sender else None


def decide_bcc(mail: MailFacts, around: BccFacts) -> Decision:
    """Judge a mail that was taken. Pure. Logged without a contact: `person_to_create` says who is to be one."""
    if not mail.is_readable:
        return Decision(Reason.UNREADABLE_MAIL)
    if mail.sender is None:
        return Decision(Reason.UNREADABLE_SENDER)
    if not _is_among(mail.sender, around.owner_keys):  # it was the owner's address when the mail came
        return Decision(Reason.FOREIGN_SENDER)
    if not around.is_proven:
        return Decision(Reason.UNVERIFIED)
    if around.met_as is not None:
        message_id, conversation_id, contact_id = around.met_as
        reason = Reason.BCC_OF_CRM_MAIL if around.is_written_here else Reason.ALREADY_LOGGED
        return Decision(reason, contact_id, conversation_id, message_id)
    contact = _contact(mail.to, around)
    if contact is not None:
        return file_bcc(mail, around, contact)
    return Decision(Reason.BCC_LOGGED if around.creates and person_to_create(mail, around) else Reason.UNMATCHED)


def file_bcc(mail: MailFacts, around: BccFacts, contact: ContactFact) -> Decision:
    """File it under this contact, in the thread that it answers or in a new conversation (B-02, G-21)."""
    if contact.is_excluded:
        return Decision(Reason.EXCLUDED_CONTACT, contact.id)
    joined = next((c for c in around.candidates if c.contact_id == contact.id and c.is_open), None)
    mentions = mentions_of(mail, around.contacts, contact.id)
    return Decision(Reason.BCC_LOGGED, contact.id, joined.id if joined else None, mentions=mentions)


def person_to_create(mail: MailFacts, around: BccFacts) -> Address | None:
    """The first in To who may become a contact; never anybody in CC or BCC, never staff or a CRM user (B-06, G-11)."""
    return next(iter(people_to_create(mail, around)), None)


def people_to_create(mail: MailFacts, around: BccFacts) -> tuple[Address, ...]:
    """Everybody in To who is no contact and may become one, in order."""
    return tuple(
        person
        for person in mail.to
        if _may_be_contact(person, around) and person.key not in around.staff and person.key not in around.contacts
    )


def _contact(people: Iterable[Address], around: BccFacts) -> ContactFact | None:
    """The first in To who is an eligible contact by their primary address, whoever else is there (G-08, G-09)."""
    eligible = (person for person in people if _may_be_contact(person, around))
    return next((found for person in eligible if (found := around.contacts.get(person.key))), None)


def _may_be_contact(person: Address, around: BccFacts) -> bool:
    """Neither the owner nor a colleague (G-07), nor an address of the portal's own."""
    if domain_of(person.key) == around.own_domain:
        return False
    return not (_is_among(person, around.owner_keys) or _is_among(person, around.user_keys))


def _is_among(person: Address | None, keys: frozenset[str]) -> bool:
    """Whether an address reaches one of these mailboxes, in whatever spelling its provider accepts."""
    return person is not None and (person.key in keys or mailbox_of(person.key) in keys)
