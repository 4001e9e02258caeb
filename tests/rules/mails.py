"""Short ways to write facts down, for the tables of the sync rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from portal.rules.addresses import Address, canonical_key, match_key
from portal.rules.facts import ContactFact, ConversationFact, CrmFacts, Direction, MailFacts

CONNECTED = datetime(2026, 11, 9, 14, 42, tzinfo=UTC)
NAMES = UUID(int=7)

ME, ALIAS = "maren@lumen.example", "hello@lumen.example"
USER = "tomas@lumen.example"  # a colleague with a login
PRIYA, ANIL, JONAH = "priya@mail.example", "anil@mail.example", "jonah@mail.example"  # contacts
STRANGER, COLLEAGUE = "lab@results.example", "desk@lumen.example"  # COLLEAGUE has no login


def id_of(name: str) -> UUID:
    """The id that a contact (by address) or a conversation (by name) has in these tests."""
    return uuid5(NAMES, name)


def people(*emails: str) -> tuple[Address, ...]:
    return tuple(Address(email, match_key(email)) for email in emails)


def mail(author: str, *to: str, cc: tuple[str, ...] = (), bcc: tuple[str, ...] = (), **values: Any) -> MailFacts:
    """A mail that arrived an hour after the connection; one whose author is ME was sent by the user in the mailbox."""
    ours = match_key(author) in (ME, ALIAS)
    return MailFacts(
        **{
            "provider_message_id": "m1", "provider_thread_id": "t1",
            "direction": Direction.OUTBOUND if ours else Direction.INBOUND,
            "received_at": CONNECTED + timedelta(hours=1), "sender": people(author)[0],
            "to": people(*to), "cc": people(*cc), "bcc": people(*bcc),
        } | values
    )  # fmt: skip


def conversation(contact: str, *others: str, name: str = "", **values: Any) -> ConversationFact:
    """An open conversation that knows its contact, these others and the mailbox."""
    known = frozenset(match_key(email) for email in (contact, *others))
    return ConversationFact(id_of(name or f"with {contact}"), id_of(contact), match_key(contact), known, **values)


def crm(*candidates: ConversationFact, contacts: tuple[str, ...] = (PRIYA, ANIL, JONAH), **values: Any) -> CrmFacts:
    """The CRM as these tests know it: three contacts, one colleague with a login."""
    excluded = values.pop("excluded", ())
    facts = {match_key(c): ContactFact(id_of(c), match_key(c), c in excluded) for c in contacts}
    users = values.pop("users", (USER,))
    return CrmFacts(
        **{
            "connected_at": CONNECTED, "own_keys": frozenset({ME, ALIAS}),
            "user_keys": frozenset(canonical_key(user) for user in users), "contacts": facts, "candidates": candidates,
        } | values
    )  # fmt: skip
