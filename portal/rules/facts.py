"""What the rules are told: one mail, and what the CRM knows about the people and threads in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from portal.rules.addresses import Address


class Direction(StrEnum):
    """Seen from the mailbox."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True)
class MailFacts:
    """One mail as its headers tell it. `sender` is None when it could not be read beyond doubt."""

    provider_message_id: str
    provider_thread_id: str
    direction: Direction
    received_at: datetime  # the provider's clock, never the mail's own Date header
    sender: Address | None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    internet_message_id: str = ""
    references: tuple[str, ...] = ()  # wire ids, oldest first, In-Reply-To last
    crm_ref: UUID | None = None
    is_readable: bool = True  # false: headers over the limits or contradictory
    is_draft: bool = False
    is_chat: bool = False
    is_spam: bool = False
    is_trash: bool = False
    is_forward: bool = False  # the user's own forward, by subject or marker
    is_automatic: bool = False  # Auto-Submitted and the like
    is_automatic_forward: bool = False  # another mailbox's rule passed it on
    is_list: bool = False
    is_receipt: bool = False
    is_bounce: bool = False
    is_cap_report: bool = False  # a bounce that says: the mailbox has sent as much as its provider allows (G-14)

    @property
    def recipients(self) -> tuple[Address, ...]:
        return self.to + self.cc + self.bcc


@dataclass(frozen=True)
class ContactFact:
    """A contact found by its primary address; of duplicates the one created first (G-10)."""

    id: UUID
    key: str
    is_excluded: bool = False


@dataclass(frozen=True)
class ConversationFact:
    """A conversation that a mail may belong to. `participants` are the addresses it knows, CRM users not among them."""

    id: UUID
    contact_id: UUID
    contact_key: str
    participants: frozenset[str]
    is_open: bool = True
    ended_cause: str = ""
    began_in_crm: bool = False  # its first mail was an individual mail from the CRM (O-02)


@dataclass(frozen=True)
class CrmFacts:
    """What the CRM knows around one mail, in one account, for one connection."""

    connected_at: datetime
    own_keys: frozenset[str]  # the mailbox and its send-as addresses, as canonical keys
    user_keys: frozenset[str] = frozenset()  # CRM users of the account in any state but the owner, as canonical keys
    contacts: Mapping[str, ContactFact] = field(default_factory=dict)  # by primary address
    alternates: frozenset[str] = frozenset()  # addresses that are only alternates
    candidates: tuple[ConversationFact, ...] = ()  # by provider thread first, then by references from last to first
    sent_message: tuple[UUID, UUID, UUID] | None = None  # (message, conversation, contact) of the CRM's own mail
    only_crm_threads: bool = False  # an Outlook mailbox: only threads that began in the CRM sync (O-02)
    tracked: frozenset[UUID] = frozenset()  # contacts whom the owner tracks by BCC Sync (B-03)
    met_as: tuple[UUID, UUID, UUID] | None = None  # (message, conversation, contact): this very mail came in another way
    is_claimed_elsewhere: bool = False  # the mail's thread goes on in another account that has this mailbox
