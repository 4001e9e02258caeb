"""What speaks against saving a contact: another one has the address, or it is a colleague's.

A concern is either a refusal or a question that the person answers by ticking it; the answer counts for that address only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from sqlalchemy import select

from portal.contacts.colleagues import Likeness, colleagues_of
from portal.contacts.details import ContactDetails
from portal.database import db
from portal.errors import DomainError
from portal.models import Account, Contact, ContactAddress
from portal.rules.addresses import domain_of

SAVE_SECOND = "Save it as a second contact"
SAVE_ANYWAY = "Save it with this address"
SAVE_COLLEAGUE = "Save this colleague as a contact"
NO_COLLEAGUE = "This is not a colleague; save it"


@dataclass(frozen=True)
class Concern:
    """One thing to know before saving. `token` names it in a form; `contact_id` is the other contact, if there is one."""

    kind: str
    key: str
    message: str
    answer: str = ""  # the words of the box to tick; empty: refused
    contact_id: UUID | None = None
    contact_name: str = ""

    @property
    def token(self) -> str:
        return f"{self.kind}:{self.key}"

    @property
    def is_refusal(self) -> bool:
        return not self.answer


class ContactRefused(DomainError):
    """The contact was not saved: fields that are wrong, concerns that were not answered or cannot be."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "The contact was not saved"

    def __init__(self, *, concerns: Iterable[Concern] = (), problems: dict[str, str] | None = None) -> None:
        self.concerns, self.problems = list(concerns), problems or {}
        texts = [*self.problems.values(), *(concern.message for concern in self.concerns)]
        cause = self.concerns[0].kind if self.concerns else "invalid"
        super().__init__(" ".join(texts) + " Nothing was saved.", cause=cause)


def find_concerns(account: Account, details: ContactDetails, before: Contact | None = None) -> list[Concern]:
    """Everything that speaks against these addresses; those that `before` had already are not asked about again."""
    known_primary = before.email_key if before else ""
    known = {known_primary, *(other.email_key for other in before.alternates)} if before else set()
    own_id = before.id if before else None
    found: list[Concern] = []
    if details.email_key and details.email_key != known_primary:
        found += _primary_concerns(account, details.email_key, own_id)
    for key in details.alternate_keys:
        if key not in known:
            found += _alternate_concerns(account, key, own_id)
    return found + _colleague_concerns(account, details, known)


def _primary_concerns(account: Account, key: str, own_id: UUID | None) -> list[Concern]:
    other = _first(account.id, key, own_id)
    if other is not None and account.allow_duplicate_contacts:
        text = f"{other.name} has this address too. Mail with it is filed under the contact created first."  # G-10
        return [Concern("duplicate", key, text, SAVE_SECOND, other.id, other.name)]
    if other is not None:
        text = f"{other.name} has this address already, and this location keeps one contact for each address."
        return [Concern("duplicate", key, text, "", other.id, other.name)]
    query = select(Contact).join(ContactAddress, ContactAddress.contact_id == Contact.id)
    query = query.where(ContactAddress.account_id == account.id, ContactAddress.email_key == key)
    if own_id is not None:
        query = query.where(Contact.id != own_id)
    holder = db.session.scalar(query.limit(1))
    if holder is None:
        return []
    text = f"{holder.name} has this as an alternate address. As a primary one, mail with it is filed here."  # G-08
    return [Concern("others_alternate", key, text, SAVE_ANYWAY, holder.id, holder.name)]


def _alternate_concerns(account: Account, key: str, own_id: UUID | None) -> list[Concern]:
    other = _first(account.id, key, own_id)
    if other is None:
        return []
    text = f"The alternate address {key} is the primary one of {other.name}. Mail with it is filed there."  # G-08
    answer = SAVE_ANYWAY if account.allow_duplicate_contacts else ""
    return [Concern("others_primary", key, text, answer, other.id, other.name)]


def _colleague_concerns(account: Account, details: ContactDetails, known: set[str]) -> list[Concern]:
    colleagues = colleagues_of(account.id)
    found: list[Concern] = []
    for key in (details.email_key, *details.alternate_keys):
        kind = colleagues.likeness(key) if key and key not in known else Likeness.NONE
        if kind is Likeness.CRM_USER:
            text = (
                f"{key} belongs to a person with a login here. Mail with colleagues is never logged, and a colleague "
                "among the contacts is the most common way for internal mail to leak into records."
            )
            found.append(Concern(kind.value, key, text, SAVE_COLLEAGUE))
        elif kind is Likeness.OWN_DOMAIN:
            text = (
                f"{domain_of(key)} is the practice’s own domain. If this person works here, mail among "
                "colleagues can be filed in this record, for everyone who may open it."
            )
            found.append(Concern(kind.value, key, text, NO_COLLEAGUE))
    return found


def _first(account_id: UUID, key: str, own_id: UUID | None) -> Contact | None:
    """The contact created first with this primary address, the one being changed aside."""
    query = select(Contact).where(Contact.account_id == account_id, Contact.email_key == key)
    if own_id is not None:
        query = query.where(Contact.id != own_id)
    return db.session.scalar(query.order_by(Contact.created_at, Contact.id).limit(1))
