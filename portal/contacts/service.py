"""Create and change contacts. One address, one contact, is kept under a lock of the account (G-10)."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID, uuid5

from sqlalchemy import select

from portal import queues
from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.contacts.concerns import ContactRefused, find_concerns
from portal.contacts.details import ContactDetails, problems
from portal.database import db
from portal.errors import Conflict
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Account, Contact, ContactAddress
from portal.rules.addresses import match_key

FIELDS = ("first_name", "last_name", "email", "phone", "notes")
EVERYTHING = frozenset({"*"})  # of `accepted`: whatever can be answered is answered


def create_contact(
    account_id: UUID,
    details: ContactDetails,
    *,
    source: str = "manual",
    by: UUID | None = None,
    token: str = "",
    accepted: Collection[str] = (),
) -> Contact:
    """Create a contact in the caller's transaction.

    `token` makes a second call with it the same contact; `accepted` holds the tokens of the concerns that were answered
    (EVERYTHING for code that knows). Raises ContactRefused with nothing changed.
    """
    account = lock_account(account_id)
    row_id = uuid5(account_id, f"form:{by}:{token}") if token else new_id()
    if token and (earlier := db.session.get(Contact, row_id)) is not None:
        return earlier
    _refuse(account, details, None, accepted)
    contact = Contact(id=row_id, account_id=account_id, source=source, created_by_id=by)
    _write(contact, details)
    db.session.add(contact)
    db.session.flush()
    record(events.CONTACT_CREATED, contact, source=source)
    queues.enqueue("workflows.run", account_id, once=f"workflows-{account_id}")
    return contact


def update_contact(
    contact_id: UUID,
    details: ContactDetails,
    *,
    seen: str | None = None,
    keep_old: bool = False,
    accepted: Collection[str] = (),
) -> Contact:
    """Change a contact of the caller's account.

    `seen` is the `version_of` the contact that the form was made with: a change by somebody else in between is not
    overwritten (Conflict). `keep_old` keeps a former primary address as an alternate. Raises ContactRefused with nothing
    changed.
    """
    lock_account(find(Contact, contact_id).account_id)
    contact = find(Contact, contact_id, lock=True)
    db.session.refresh(contact)
    if keep_old and contact.email and contact.email_key != details.email_key:
        details = _with_alternate(details, contact.email)
    changed = _changed(contact, details)
    if not changed:
        return contact
    if seen is not None and seen != version_of(contact):
        raise Conflict(
            f"Somebody changed {contact.name} while you were writing. Nothing of yours was saved. "
            "Open the contact again and make your change anew.",
            cause="changed_meanwhile",
        )
    _refuse(db.session.get_one(Account, contact.account_id), details, contact, accepted)
    _write(contact, details)
    contact.updated_at = now()
    db.session.flush()
    record(events.CONTACT_CHANGED, contact, changed=changed)
    return contact


def version_of(contact: Contact) -> str:
    """A word that changes with every change of the contact."""
    return contact.updated_at.isoformat() if contact.updated_at else "new"


def lock_account(account_id: UUID) -> Account:
    """Let one transaction at a time add or change addresses of an account; rows that only refer to it are not held up."""
    query = select(Account).where(Account.id == account_id).with_for_update(key_share=True)
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def _refuse(account: Account, details: ContactDetails, before: Contact | None, accepted: Collection[str]) -> None:
    if wrong := problems(details):
        raise ContactRefused(problems=wrong)
    open_ones = [
        concern
        for concern in find_concerns(account, details, before)
        if concern.is_refusal or not (concern.token in accepted or "*" in accepted)
    ]
    if open_ones:
        raise ContactRefused(concerns=open_ones)


def _with_alternate(details: ContactDetails, email: str) -> ContactDetails:
    values = {field: getattr(details, field) for field in FIELDS}
    return ContactDetails.clean(**values, alternates=[*details.alternates, email])


def _changed(contact: Contact, details: ContactDetails) -> list[str]:
    """The names of the fields that differ; never their content."""
    changed = [field for field in FIELDS if getattr(contact, field) != getattr(details, field)]
    if {other.email for other in contact.alternates} != set(details.alternates):
        changed.append("alternates")
    return changed


def _write(contact: Contact, details: ContactDetails) -> None:
    for field in FIELDS:
        setattr(contact, field, getattr(details, field))
    contact.email_key, contact.name_key = details.email_key, details.name_key
    known = {other.email: other for other in contact.alternates}
    contact.alternates = [
        known.get(email) or ContactAddress(account_id=contact.account_id, email=email, email_key=match_key(email))
        for email in details.alternates
    ]
