"""What the CRM knows around one mail that came to a person's BCC address."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from portal.access.memberships import may_still
from portal.access.permissions import Permission
from portal.bcc.queries import owner_keys
from portal.contacts.colleagues import Likeness, colleagues_of
from portal.conversations.queries import contacts_by_key
from portal.database import db
from portal.intake.authentication import Proof
from portal.intake.facts import user_keys
from portal.models import Account, Contact, Conversation, IntakeMail, Message
from portal.rules.bcc import CREATE, BccFacts
from portal.rules.facts import ContactFact, ConversationFact, MailFacts
from portal.sync.sameness import met_as

OWN_WORD = "word"  # of `IntakeMail.authentication`: the owner says that it is theirs
BELIEVED = (Proof.PROVEN.value, OWN_WORD)


def gather_bcc(row: IntakeMail, facts: MailFacts, authentication: str) -> BccFacts:
    """The facts for the rule, in the current transaction; `authentication` is a Proof or OWN_WORD."""
    account = db.session.get_one(Account, row.account_id)
    own = _owner_keys(row)
    found = contacts_of(row.account_id, facts)
    met = met_as(row.account_id, facts)
    return BccFacts(
        owner_keys=own,
        is_proven=authentication in BELIEVED,
        user_keys=user_keys(row.account_id) - own,
        own_domain=current_app.extensions["settings"].reply_domain.casefold(),
        contacts={key: ContactFact(contact.id, key, contact.excluded_from_sync) for key, contact in found.items()},
        staff=_staff(row.account_id, {person.key for person in facts.to} - found.keys()),
        candidates=_candidates(row, facts.references),
        met_as=met.as_fact if met else None,
        is_written_here=met is not None and met.origin == "crm",
        creates=account.bcc_new_contacts == CREATE,
    )


def contacts_of(account_id: UUID, facts: MailFacts) -> dict[str, Contact]:
    """The contacts among its recipients, by primary address (G-08)."""
    return contacts_by_key(account_id, {person.key for person in facts.recipients})


def _owner_keys(row: IntakeMail) -> frozenset[str]:
    """From where the owner may post; nowhere any more once they do not work there, or may not write mail (TEN-4, RBA-5)."""
    if row.user_id is None or not may_still(row.account_id, row.user_id, Permission.WRITE_MAIL):
        return frozenset()
    return owner_keys(row.account_id, row.user_id)


def _staff(account_id: UUID, keys: Collection[str]) -> frozenset[str]:
    """Who of them is, or looks like, one of the practice's own people (B-06)."""
    if not keys:
        return frozenset()
    colleagues = colleagues_of(account_id)
    return frozenset(key for key in keys if colleagues.likeness(key) is not Likeness.NONE)


def _candidates(row: IntakeMail, references: tuple[str, ...]) -> tuple[ConversationFact, ...]:
    """The owner's conversations with a message that the mail refers to, the last reference first (G-21)."""
    if not references:
        return ()
    query = (
        select(
            Message.internet_message_id, Conversation.id, Conversation.contact_id, Contact.email_key, Conversation.state,
            Conversation.ended_cause,
        )
        .join(Conversation, Conversation.id == Message.conversation_id)
        .join(Contact, Contact.id == Conversation.contact_id)
        .where(Message.account_id == row.account_id, Conversation.user_id == row.user_id)
        .where(Message.internet_message_id.in_(references))
        .order_by(Message.id.desc())
    )  # fmt: skip
    place = {wire_id: number for number, wire_id in enumerate(references)}
    found: dict[UUID, ConversationFact] = {}
    lines = sorted(db.session.execute(query), key=lambda line: -place[line[0]])
    for _, conversation_id, contact_id, key, state, cause in lines:
        fact = ConversationFact(conversation_id, contact_id, key, frozenset(), state == "open", cause)
        found.setdefault(conversation_id, fact)
    return tuple(found.values())
