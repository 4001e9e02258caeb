"""Bulk and workflow mail: as whom it leaves, who gets it and who does not, how far it is, when it is tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from portal.rules.addresses import CONSUMER_DOMAINS, Address, domain_of
from portal.rules.sending import is_reachable

TRIES = 10  # of a mail that the mail server put off each time; together they last some hours
LONGEST_WAIT = timedelta(hours=1)


class Alignment(StrEnum):
    """Whether receivers can prove that the mail server may send for the domain in From (DMARC, RFC 7489 3.1)."""

    ALIGNED = "aligned"
    FOREIGN = "foreign"
    CONSUMER = "consumer"

    @property
    def warns(self) -> bool:
        return self is not Alignment.ALIGNED


@dataclass(frozen=True)
class BulkSender:
    """Who stands in From. The transport is the account's own mail server whoever that is (O-07)."""

    address: Address
    is_own: bool
    alignment: Alignment

    @property
    def domain(self) -> str:
        return domain_of(self.address.key)


def decide_bulk_sender(own: Address | None, account: Address) -> BulkSender:
    """Who a bulk mail is from (O-07): the person's own connected address when they put it in From, else the account's.

    `own` is None where From is left empty. Workflow mail is always from the account: pass None.
    """
    if own is None or not own.key:
        return BulkSender(account, is_own=False, alignment=Alignment.ALIGNED)
    return BulkSender(own, is_own=True, alignment=decide_alignment(domain_of(own.key), domain_of(account.key)))


def decide_alignment(from_domain: str, relay_domain: str) -> Alignment:
    """Whether mail from one domain can leave through the mail server of another without looking forged.

    Domains are compared by their labels: the same, or one below the other. Two that only share a parent count as foreign,
    since nobody here knows which parents are public (co.uk). Keys are lower-case A-labels.
    """
    if _is_within(from_domain, relay_domain) or _is_within(relay_domain, from_domain):
        return Alignment.ALIGNED
    return Alignment.CONSUMER if from_domain in CONSUMER_DOMAINS else Alignment.FOREIGN


def _is_within(domain: str, parent: str) -> bool:
    """Whether a domain is the parent or lies below it. A single label (com) is nobody's mail domain."""
    labels, above = domain.split("."), parent.split(".")
    return len(above) > 1 and all(above) and labels[-len(above) :] == above


class LeftOut(StrEnum):
    """Why a contact does not get a campaign."""

    NO_ADDRESS = "no_address"
    UNREACHABLE = "unreachable"
    UNSUBSCRIBED = "unsubscribed"
    TWICE = "twice"
    CHANGED = "address_changed"

    @property
    def sentence(self) -> str:
        return SENTENCES[self]


SENTENCES = {
    LeftOut.NO_ADDRESS: "The contact has no primary address.",
    LeftOut.UNREACHABLE: "Mail cannot go to this address.",
    LeftOut.UNSUBSCRIBED: "This address wants no campaigns.",
    LeftOut.TWICE: "Another contact has the same address and gets it.",
    LeftOut.CHANGED: "The contact’s address was changed before it left.",
}


@dataclass
class Tally:
    """Judges contacts one after the other, the one created first before its namesakes (G-10), and counts."""

    unsubscribed: Container[str]
    people: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def judge(self, key: str) -> LeftOut | None:
        """Why the contact with this matching key does not get it; None when it does."""
        why = self._why(key)
        if why is None:
            self.people += 1
            self._seen.add(key)
        else:
            self.left_out[why] += 1
        return why

    def _why(self, key: str) -> LeftOut | None:
        if not key:
            return LeftOut.NO_ADDRESS
        if not is_reachable(key):
            return LeftOut.UNREACHABLE
        if key in self.unsubscribed:
            return LeftOut.UNSUBSCRIBED
        return LeftOut.TWICE if key in self._seen else None

    @property
    def sentence(self) -> str:
        """“412 people get it; 12 have no address, 3 unsubscribed.”"""
        return sentence_of(self.people, {why.value: count for why, count in self.left_out.items()})


def sentence_of(people: int, left_out: Mapping[str, int]) -> str:
    """Who gets it and who does not, in one sentence. `left_out` is counts by word of LeftOut."""
    start = "Nobody gets it" if not people else "1 person gets it" if people == 1 else f"{people:,} people get it"
    words = {
        LeftOut.NO_ADDRESS: "{n} {have} no address",
        LeftOut.UNREACHABLE: "{n} {have} an address that mail cannot go to",
        LeftOut.UNSUBSCRIBED: "{n} unsubscribed",
        LeftOut.TWICE: "{n} {share} an address with another contact",
    }
    parts = [
        text.format(n=f"{count:,}", have="has" if count == 1 else "have", share="shares" if count == 1 else "share")
        for why, text in words.items()
        if (count := left_out.get(why.value, 0))
    ]
    return f"{start}; {', '.join(parts)}." if parts else f"{start}."


def decide_skip(delivered_key: str, contact_key: str, *, is_unsubscribed: bool) -> LeftOut | None:
    """Why a mail that waited does not leave after all; None when it may. `is_unsubscribed` counts for campaigns only."""
    if not contact_key:
        return LeftOut.NO_ADDRESS
    if contact_key != delivered_key:
        return LeftOut.CHANGED
    return LeftOut.UNSUBSCRIBED if is_unsubscribed else None


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: its deliveries by state."""

    waiting: int = 0
    sending: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Progress:
        """From counts by state; an unheard-of state is a mistake of ours (TypeError)."""
        return cls(**counts)

    @property
    def total(self) -> int:
        return self.left + self.settled

    @property
    def left(self) -> int:
        """What still has to leave."""
        return self.waiting + self.sending

    @property
    def settled(self) -> int:
        return self.sent + self.failed + self.unknown + self.skipped


def next_try_at(attempts: int, now: datetime) -> datetime:
    """When a mail that was put off is tried again: after 30 seconds, then twice as long each time, at most an hour."""
    return now + min(LONGEST_WAIT, timedelta(seconds=30 * 2 ** min(max(attempts - 1, 0), 10)))


def needs_looking_at(attempts: int) -> bool:
    """Whether a mail was put off so often that it fails (S-02)."""
    return attempts >= TRIES
