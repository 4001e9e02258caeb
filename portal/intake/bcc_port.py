"""At the port: of which mail to a BCC address nothing is kept but the fact that it came (B-05, SMT-4). No DNS, one look at
the header."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from portal.audit import events
from portal.audit.service import record
from portal.bcc.queries import owner_keys
from portal.database import db
from portal.intake.parse import Head
from portal.models import Conversation, IntakeMail, Message
from portal.rules.bcc import PortFacts, judge_at_port
from portal.rules.reasons import Reason
from portal.sync.sets import insert_new

MOST_REFUSED = 20  # refusals noted per address and day: who floods an address fills no table
MOST_TAKEN = 500  # the same for each reason of what is taken and left out


@dataclass(frozen=True)
class LeftOut:
    """A mail of which only the fact is kept. `is_taken`: the sender hears 250, so that no report comes of it."""

    is_taken: bool


def leave_out(row: dict[str, Any], head: Head) -> LeftOut | None:
    """Note why a mail is not kept, in the caller's transaction; None for one that is to be kept.

    `row` is the row of the mail as it would be kept.
    """
    own_copy = _own_copy(row["account_id"], row["user_id"], head)
    facts = PortFacts(
        owner_keys=owner_keys(row["account_id"], row["user_id"]),
        has_null_sender=row["has_null_sender"],
        hops=head.hops,
        is_own_mail=own_copy is not None,
    )
    reason = judge_at_port(head.facts, facts)
    if reason is None:
        return None
    is_foreign = reason is Reason.FOREIGN_SENDER
    if not _is_flooded(row, reason, MOST_REFUSED if is_foreign else MOST_TAKEN):
        message_id, conversation_id = own_copy if own_copy and reason is Reason.BCC_OF_CRM_MAIL else (None, None)
        _note(row, reason, message_id, conversation_id)
    return LeftOut(is_taken=not is_foreign)


def _own_copy(account_id: UUID, user_id: UUID, head: Head) -> tuple[UUID, UUID] | None:
    """The person's mail from the CRM of which this is the copy: (message, conversation). An answer names what it answers."""
    if head.mark is None:
        return None
    query = (
        select(Message.id, Message.conversation_id, Message.internet_message_id)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(Message.account_id == account_id, Message.crm_ref == head.mark, Conversation.user_id == user_id)
    )
    found = db.session.execute(query).first()
    if found is None or found.internet_message_id in head.facts.references:
        return None
    return found.id, found.conversation_id


def _is_flooded(row: dict[str, Any], reason: Reason, most: int) -> bool:
    query = select(func.count()).where(
        IntakeMail.token == row["token"],
        IntakeMail.reason == reason.value,
        IntakeMail.created_at > row["created_at"] - timedelta(days=1),
    )
    return (db.session.scalar(query) or 0) >= most


def _note(row: dict[str, Any], reason: Reason, message_id: UUID | None, conversation_id: UUID | None) -> None:
    """The fact alone, under a digest of its own: the same mail from an address that is the owner's by then is a new one."""
    noted = row | {
        "digest": sha256(f"{reason.value} {row['digest']}".encode()).hexdigest(), "state": "decided",
        "outcome": reason.outcome.value, "reason": reason.value, "decided_at": row["created_at"],
        "message_id": message_id, "conversation_id": conversation_id, "peer": "", "helo": "", "mail_from": "",
    }  # fmt: skip
    insert_new(IntakeMail.__table__, [noted])
    stored = db.session.get(IntakeMail, row["id"])
    if stored is None:  # the same mail once more
        return
    if reason is Reason.FOREIGN_SENDER:
        record(events.BCC_REFUSED, stored, cause=reason.value)
    else:
        record(events.ROUTED_MAIL_DECIDED, stored, decided=stored.outcome, reason=stored.reason)
