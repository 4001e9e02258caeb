"""Mails that wait for the owner of a BCC address, and what the owner decides of them (B-05, B-06). Nobody else sees them.

Each service works in the caller's transaction on a row that the caller has found as the owner's own and locked; whoever
presses second hears Conflict, and nothing is done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.bcc.queries import WAITING_STATES
from portal.contacts.colleagues import is_colleague
from portal.database import db
from portal.errors import Conflict, DomainError, NotFound
from portal.intake import service
from portal.intake.bcc_facts import OWN_WORD, gather_bcc
from portal.intake.bcc_filing import look_around, make_contact, settle
from portal.intake.parse import RoutedMail, read_mail, with_own_id
from portal.intake.writing import end
from portal.lib.crypto import SealError
from portal.models import Contact, IntakeMail
from portal.rules.addresses import Address, match_key
from portal.rules.bcc import BccFacts, decide_bcc, file_bcc, people_to_create
from portal.rules.facts import ContactFact, Direction
from portal.rules.reasons import Reason
from portal.rules.sync import Decision
from portal.sealing import envelope, place
from portal.sync.files import remove_stored

PAGE = 25  # each waiting mail is opened to be shown, and may have 35 MB
DAMAGED = "This mail is damaged here, so it cannot be filed. If you wrote it, your mailbox still has it."


class CannotFile(DomainError):
    """The mail was not filed and waits as before."""

    status = 409
    title = "The mail was not filed"


@dataclass(frozen=True)
class WaitingMail:
    """A mail that waits: "unverified" for the owner's word that it is theirs, "unmatched" for a contact.

    `creatable` are those in To who are no contacts and may become one. Of one that is damaged here nothing is known.
    """

    id: UUID
    received_at: datetime
    state: str
    to: tuple[Address, ...]
    subject: str
    sender: Address | None
    creatable: tuple[Address, ...] = ()
    is_readable: bool = True


def waiting_mails(
    account_id: UUID, user_id: UUID, limit: int = PAGE, before: UUID | None = None
) -> list[WaitingMail]:
    """A page of the mails that wait for this person, the newest first; `before` is the last one shown already."""
    query = select(IntakeMail.id).where(
        IntakeMail.account_id == account_id, IntakeMail.user_id == user_id, IntakeMail.state.in_(WAITING_STATES)
    )
    if before is not None:
        query = query.where(IntakeMail.id < before)
    ids = list(db.session.scalars(query.order_by(IntakeMail.id.desc()).limit(limit)))
    return [_line(db.session.get_one(IntakeMail, row_id)) for row_id in ids]


def waiting_mail(row: IntakeMail) -> WaitingMail:
    """One mail that waits, as the list shows it. Raises Conflict when it waits no more, CannotFile when it is damaged."""
    _demand(row, *WAITING_STATES)
    return _view(row)


def _line(row: IntakeMail) -> WaitingMail:
    """A damaged mail keeps no other from being seen; it can be left out."""
    try:
        return _view(row)
    except CannotFile:
        return WaitingMail(row.id, row.created_at, row.state, (), "", None, is_readable=False)


def _view(row: IntakeMail) -> WaitingMail:
    read = _read(row)
    facts, state = read.mail.facts, row.state
    creatable = people_to_create(facts, gather_bcc(row, facts, row.authentication)) if state == "unmatched" else ()
    found = WaitingMail(row.id, row.created_at, state, facts.to, read.mail.subject, facts.sender, creatable)
    db.session.expire(row, ["raw"])  # a page of them shall not stand in memory
    return found


def file_on_word(row: IntakeMail) -> None:
    """The owner says that an unverified mail is theirs: it is judged as a proven one, and may then be unmatched.

    Raises Conflict when it waits no more, StoreUnavailable when its files cannot be stored.
    """
    _demand(row, "unverified")
    row.authentication = OWN_WORD
    read = _read(row)
    around = look_around(row, read.mail.facts)
    _settle(row, read, around, decide_bcc(read.mail.facts, around), "word")


def file_under(row: IntakeMail, contact_id: UUID) -> None:
    """File an unmatched mail under a contact of the account.

    Raises NotFound, Conflict when it waits no more, CannotFile for a contact under whom nothing may be filed.
    """
    _demand(row, "unmatched")
    contact = find(Contact, contact_id)
    read = _read(row)
    around = look_around(row, read.mail.facts)
    _file(row, read, around, contact, "filed")


def create_and_file(row: IntakeMail, address: str) -> Contact:
    """Make somebody in To of an unmatched mail a contact and file it there; a contact that is there by now is taken.

    Raises NotFound for an address that is not in To or may not be a contact, ContactRefused, and as `file_under`.
    """
    _demand(row, "unmatched")
    read, key = _read(row), match_key(address)
    around = look_around(row, read.mail.facts)
    known = around.contacts.get(key) if any(person.key == key for person in read.mail.facts.to) else None
    person = next((p for p in people_to_create(read.mail.facts, around) if p.key == key), None)
    if known is None and person is None:
        raise NotFound()
    contact = db.session.get_one(Contact, known.id) if known else make_contact(row, person) if person else None
    if contact is None:
        raise NotFound()
    _file(row, read, around, contact, "created")
    return contact


def drop(row: IntakeMail) -> None:
    """The owner leaves a waiting mail out: nothing of it stays but the fact. Raises Conflict when it waits no more."""
    _demand(row, *WAITING_STATES)
    end(row, Decision(Reason.DROPPED_BY_OWNER))
    record(events.BCC_DECIDED, row, step="dropped")


def _demand(row: IntakeMail, *states: str) -> None:
    if row.kind != "bcc" or row.state not in states:
        raise Conflict("This mail has been decided already. Nothing was done twice.", cause="already_decided")


def _read(row: IntakeMail) -> RoutedMail:
    """The mail as it was kept. Raises CannotFile when its sealed bytes do not open."""
    try:
        raw = envelope().open(row.raw or b"", place(service.RAW, row.account_id, row.id))
    except SealError as error:
        current_app.logger.error("a waiting mail does not open: %s", error)
        raise CannotFile(DAMAGED, cause="damaged") from error
    return with_own_id(read_mail(raw, row.created_at, Direction.OUTBOUND), row.digest)


def _file(row: IntakeMail, read: RoutedMail, around: BccFacts, contact: Contact, step: str) -> None:
    if is_colleague(contact):
        raise CannotFile(
            f"{contact.name} has a login here, and mail among colleagues is never filed. The mail waits as before.",
            cause="crm_user",
        )
    if contact.excluded_from_sync:
        raise CannotFile(
            f"{contact.name} is excluded from sync. The mail waits as before. Include the contact first, or choose another.",
            cause="excluded_contact",
        )
    decision = decide_bcc(read.mail.facts, around)  # it may have come in another way meanwhile
    if decision.message_id is None:
        decision = file_bcc(read.mail.facts, around, ContactFact(contact.id, contact.email_key))
    _settle(row, read, around, decision, step)


def _settle(row: IntakeMail, read: RoutedMail, around: BccFacts, decision: Decision, step: str) -> None:
    prepared = settle(row, read, around, decision)
    try:
        record(events.BCC_DECIDED, row, step=step)
        db.session.flush()
    except BaseException:
        if prepared is not None:
            remove_stored(prepared.files)
        raise
