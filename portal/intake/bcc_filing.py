"""A mail with somebody's BCC address: is it proven to be theirs, and under whom does it go (B-02, B-05, B-06).

From then on that contact is tracked (B-03). One transaction for the decision and all that follows from it (SYN-2).
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import insert

from portal.bcc.service import track
from portal.contacts.concerns import ContactRefused
from portal.contacts.details import ContactDetails, problems
from portal.contacts.service import create_contact, lock_account
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.intake.authentication import Proof, authenticate
from portal.intake.bcc_facts import contacts_of, gather_bcc
from portal.intake.dns import resolver
from portal.intake.parse import RoutedMail
from portal.intake.writing import Address, end, locked_conversation, locked_mail, prepare, write_message
from portal.lib.clock import now
from portal.models import Contact, Conversation, IntakeMail
from portal.rules import addresses
from portal.rules.bcc import BccFacts, decide_bcc, file_bcc, person_to_create
from portal.rules.facts import ContactFact, MailFacts
from portal.rules.reasons import Reason
from portal.rules.sync import Decision
from portal.sync import rows
from portal.sync.files import remove_stored
from portal.sync.rows import Prepared
from portal.sync.sameness import lock_contacts
from portal.sync.sets import reading

SOURCE = "bcc_sync"  # of a contact that a mail to a BCC address made (B-06)


def file_bcc_mail(intake_id: UUID, raw: bytes, read: RoutedMail, *, is_last_try: bool) -> str:
    """Judge a kept mail and file it; the state it is in then. "received": a name server is silent, and it is tried again."""
    proof = _prove(intake_id, raw, read)
    if proof == Proof.UNKNOWN and not is_last_try:
        return "received"
    prepared = _prepare(intake_id, proof, read)
    is_written = False
    try:
        with transaction():
            row = locked_mail(intake_id)
            if row is None or row.state != "received":
                return row.state if row else ""
            row.authentication = _believed(proof)
            around = look_around(row, read.mail.facts)
            decision = decide_bcc(read.mail.facts, around)
            prepared = settle(row, read, around, decision, prepared)
            state, is_new = row.state, prepared is not None and row.message_id == prepared.message_id
            crash_point("intake-filed")
        is_written = is_new
        return state
    finally:
        if prepared is not None and not is_written:
            remove_stored(prepared.files)


def _believed(proof: str) -> str:
    return Proof.UNPROVEN.value if proof == Proof.UNKNOWN else proof


def _prove(intake_id: UUID, raw: bytes, read: RoutedMail) -> str:
    """What is known of its origin; asked of the DNS once, with no transaction open."""
    with reading():
        row = db.session.get_one(IntakeMail, intake_id)
        known, session = row.authentication, (row.peer, row.helo, row.mail_from)
    if known:
        return known
    sender = read.mail.facts.sender
    return authenticate(raw, sender.key, *session, resolver()).value if sender else Proof.UNPROVEN.value


def _prepare(intake_id: UUID, proof: str, read: RoutedMail) -> Prepared | None:
    """Its files into the store before the transaction, when it looks as if it were going to be logged."""
    with reading():
        row = db.session.get_one(IntakeMail, intake_id)
        account_id = row.account_id
        decision = decide_bcc(read.mail.facts, gather_bcc(row, read.mail.facts, proof))
    return prepare(account_id, read.mail, is_logged=True) if _is_new(decision) else None


def _is_new(decision: Decision) -> bool:
    return decision.reason is Reason.BCC_LOGGED and decision.message_id is None


def look_around(row: IntakeMail, facts: MailFacts) -> BccFacts:
    """The facts for a decision that this transaction writes: nobody else files under these contacts meanwhile."""
    lock_account(row.account_id)  # as whoever adds a contact
    lock_contacts({contact.id for contact in contacts_of(row.account_id, facts).values()})
    return gather_bcc(row, facts, row.authentication)


def settle(
    row: IntakeMail, read: RoutedMail, around: BccFacts, decision: Decision, prepared: Prepared | None = None
) -> Prepared | None:
    """Do what was decided, in the caller's transaction; what was stored for it, to be removed should that fail."""
    facts = read.mail.facts
    if _is_new(decision) and decision.contact_id is None:
        decision = _with_new_contact(row, facts, around)
    contact_id = decision.contact_id
    if contact_id is not None and _is_new(decision):
        prepared = prepared or prepare(row.account_id, read.mail, is_logged=True)
        decision = _log(row, decision, prepared, contact_id)
    if contact_id is not None and row.user_id is not None and decision.reason in (Reason.BCC_LOGGED, Reason.ALREADY_LOGGED):
        track(row.account_id, row.user_id, contact_id)
    row.conversation_id = decision.conversation_id
    end(row, decision)
    return prepared


def _with_new_contact(row: IntakeMail, facts: MailFacts, around: BccFacts) -> Decision:
    """File it under somebody who is made a contact for it; it waits for its owner when that raises a question."""
    person = person_to_create(facts, around)
    try:
        contact = make_contact(row, person) if person else None
    except ContactRefused:
        contact = None
    if contact is None:
        return Decision(Reason.UNMATCHED)
    return file_bcc(facts, around, ContactFact(contact.id, contact.email_key))


def make_contact(row: IntakeMail, person: addresses.Address) -> Contact:
    """A contact for a person in To, once however often it is asked for. Raises ContactRefused with nothing changed."""
    first, last = _names(person.name)
    details = ContactDetails.clean(first_name=first, last_name=last, email=person.email)
    if problems(details).keys() & {"first_name", "last_name"}:  # a name that no form would take
        details = ContactDetails.clean(email=person.email)
    return create_contact(row.account_id, details, source=SOURCE, by=row.user_id, token=f"{row.id}:{person.key}")


def _names(shown: str) -> tuple[str, str]:
    """First and last name of "Priya Raman" and of "Raman, Priya"; nothing of an address that stands in place of a name."""
    if "@" in shown:
        return "", ""
    last, comma, first = (part.strip() for part in shown.partition(","))
    if comma:
        return first, last
    first, _, last = shown.strip().rpartition(" ")
    return (first, last) if first else (last, "")


def _log(row: IntakeMail, decision: Decision, prepared: Prepared, contact_id: UUID) -> Decision:
    """Its message, in the conversation that it belongs to or in a new one."""
    if row.user_id is None:
        raise ValueError("a BCC address has an owner")
    home = Address(row.account_id, row.user_id, row.token)
    conversation = locked_conversation(decision.conversation_id)
    if conversation is None:
        values = rows.conversation_row(home, prepared, contact_id, now())
        db.session.execute(insert(Conversation.__table__), [values])
        conversation = db.session.get_one(Conversation, values["id"])
    write_message(home, prepared, decision, conversation, origin="bcc")
    return replace(decision, conversation_id=conversation.id, message_id=prepared.message_id)
