"""When two mails are the same mail, met in two ways: in two mailboxes, or in a mailbox and by a BCC address.

Whoever chooses a Message-ID chooses it freely, so the id alone proves nothing: sender and addressees must agree, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from portal.rules.addresses import Address
from portal.rules.facts import MailFacts
from portal.rules.routing import parse_routed


@dataclass(frozen=True)
class MailIdentity:
    """What makes a mail itself: its Message-ID, the key of its sender, the keys of everybody in To and CC."""

    wire_id: str
    sender: str
    people: frozenset[str]


def identity_of(mail: MailFacts, our_domain: str) -> MailIdentity:
    """What makes this mail itself. Addresses of the portal's own do not count: messages do not keep them."""
    return MailIdentity(
        mail.internet_message_id,
        mail.sender.key if mail.sender else "",
        frozenset(person.key for person in mail.to + mail.cc if _counts(person, our_domain)),
    )


def _counts(person: Address, our_domain: str) -> bool:
    return bool(person.key) and parse_routed(person.email, our_domain) is None


def is_same_mail(a: MailIdentity, b: MailIdentity) -> bool:
    """Whether both are one mail. Without a Message-ID or a sender nothing is certain, so they are not."""
    return bool(a.wire_id and a.sender) and a == b
