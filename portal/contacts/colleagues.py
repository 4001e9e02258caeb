"""Who among the contacts is one of us: a person with a login, or somebody at the practice's own domain.

A colleague saved as a contact is the most common way for internal mail to end up in a patient record (H-02 a).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, false, or_, select, true, union_all

from portal.database import db
from portal.models import Connection, Contact, Membership, OwnAddress, User
from portal.rules.addresses import CONSUMER_DOMAINS, GOOGLE_DOMAINS, domain_of, mailbox_of, match_key


class Likeness(StrEnum):
    """How sure it is that an address is a colleague's."""

    NONE = ""
    CRM_USER = "crm_user"
    OWN_DOMAIN = "own_domain"


@dataclass(frozen=True)
class Colleagues:
    """The people of an account: keys of all who have or had a login there, and the domains they sign in from."""

    keys: frozenset[str]
    domains: frozenset[str]

    def likeness(self, key: str) -> Likeness:
        """Whether a matching key is a colleague's (the same mailbox in whatever spelling), or looks like one."""
        if key and (key in self.keys or mailbox_of(key) in self.keys):
            return Likeness.CRM_USER
        return Likeness.OWN_DOMAIN if key and domain_of(key) in self.domains else Likeness.NONE

    def closest(self, keys: Iterable[str]) -> Likeness:
        """The surest likeness among several addresses of one person."""
        found = {self.likeness(key) for key in keys}
        return next((kind for kind in (Likeness.CRM_USER, Likeness.OWN_DOMAIN) if kind in found), Likeness.NONE)


def crm_user_keys(account_id: UUID, *, but: UUID | None = None) -> frozenset[str]:
    """Every address that reaches somebody with a place in the account, whatever its state (G-07), `but` one person.

    They are sign-in addresses, mailboxes that are or were connected with their aliases, and verified own addresses, each
    also in the spelling that its provider treats as the same. Two statements, however many people there are.
    """
    return _keys(account_id, but)[0]


def _keys(account_id: UUID, but: UUID | None = None) -> tuple[frozenset[str], set[str]]:
    """All keys, and among them the sign-in addresses as they are."""
    members = select(User.email_key, true()).join(Membership, Membership.user_id == User.id)
    members = members.where(Membership.account_id == account_id)
    proven = select(OwnAddress.email_key, false())
    proven = proven.where(OwnAddress.account_id == account_id, OwnAddress.verified_at.is_not(None))
    boxes = select(Connection.mailbox_key, Connection.aliases).where(Connection.account_id == account_id)
    if but is not None:
        members, proven = members.where(User.id != but), proven.where(OwnAddress.user_id != but)
        boxes = boxes.where(Connection.user_id != but)
    named = [(key, is_sign_in) for key, is_sign_in in db.session.execute(union_all(members, proven)) if key]
    keys = {key for key, _ in named}
    for mailbox, aliases in db.session.execute(boxes):
        keys |= {mailbox, *(match_key(str(alias)) for alias in aliases or ())} - {""}
    return frozenset(keys | {mailbox_of(key) for key in keys}), {key for key, is_sign_in in named if is_sign_in}


def colleagues_of(account_id: UUID) -> Colleagues:
    """Everybody with a place in the account, whatever its state (G-07). Public mail services are nobody's domain."""
    keys, sign_ins = _keys(account_id)
    return Colleagues(keys, frozenset({domain_of(key) for key in sign_ins} - CONSUMER_DOMAINS))


def is_colleague(contact: Contact) -> bool:
    """Whether the contact's address reaches a CRM user of its account, in any state and spelling (G-07)."""
    return colleagues_of(contact.account_id).likeness(contact.email_key) is Likeness.CRM_USER


def like_colleagues(account_id: UUID, colleagues: Colleagues) -> ColumnElement[bool]:
    """The contacts whose primary address is, or looks like, a colleague's, as a condition on Contact.

    Gmail's spellings of one mailbox are compared here, everything else in the database.
    """
    wanted: list[ColumnElement[bool]] = [Contact.email_key.in_(colleagues.keys)]
    wanted += [Contact.email_key.endswith(f"@{domain}", autoescape=True) for domain in colleagues.domains]
    if any(domain_of(key) in GOOGLE_DOMAINS for key in colleagues.keys):
        wanted.append(Contact.id.in_(_google_twins(account_id, colleagues)))
    return or_(*wanted)


def _google_twins(account_id: UUID, colleagues: Colleagues) -> list[UUID]:
    at_google = [Contact.email_key.endswith(f"@{domain}", autoescape=True) for domain in GOOGLE_DOMAINS]
    query = select(Contact.id, Contact.email_key).where(Contact.account_id == account_id, or_(*at_google))
    return [row.id for row in db.session.execute(query) if colleagues.likeness(row.email_key) is Likeness.CRM_USER]
