"""Which contact an address belongs to, and which contact a mail is filed under."""

from __future__ import annotations

from collections.abc import Iterable

from portal.rules.addresses import Address, mailbox_of
from portal.rules.facts import ContactFact, CrmFacts


def is_own(key: str, crm: CrmFacts) -> bool:
    """Whether the address reaches the connected mailbox itself, in whatever spelling its provider accepts."""
    return key in crm.own_keys or mailbox_of(key) in crm.own_keys


def is_crm_user(key: str, crm: CrmFacts) -> bool:
    """Whether the address reaches a CRM user of the account, the mailbox owner aside (G-07)."""
    return key in crm.user_keys or mailbox_of(key) in crm.user_keys


def match_contact(key: str, crm: CrmFacts) -> ContactFact | None:
    """The contact whose primary address this is (G-08), unless a CRM user or the mailbox itself has it (G-07)."""
    if not key or is_own(key, crm) or is_crm_user(key, crm):
        return None
    return crm.contacts.get(key)


def filing_contact(people: Iterable[Address], crm: CrmFacts) -> ContactFact | None:
    """The first address that belongs to an eligible contact, whoever else is there (G-09)."""
    return next((contact for person in people if (contact := match_contact(person.key, crm))), None)


def is_contact_in(people: Iterable[Address], crm: CrmFacts) -> bool:
    """Whether an eligible contact is among these people."""
    return filing_contact(people, crm) is not None
