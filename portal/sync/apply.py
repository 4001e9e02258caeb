"""Decisions to rows: collect a batch in memory, then write it with a constant number of bulk statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, insert, update

from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import (
    Attachment,
    Conversation,
    ConversationThread,
    Decision,
    Mention,
    Message,
    MessageBody,
    Participant,
)
from portal.rules.facts import MailFacts
from portal.rules.reasons import Outcome, Reason
from portal.rules.sync import Decision as Verdict
from portal.sync import rows
from portal.sync.facts import Neighbourhood
from portal.sync.lease import Run
from portal.sync.rows import Prepared
from portal.sync.sets import insert_new

ORDER = (Conversation, Message, MessageBody, Participant, Mention, Attachment)  # as foreign keys demand


@dataclass
class Batch:
    """The rows of one transaction, and what it must tell the connection."""

    run: Run
    around: Neighbourhood
    decided: frozenset[str]  # provider ids whose decision stands already and is replaced
    at: datetime = field(default_factory=now)
    new: dict[Any, list[dict[str, Any]]] = field(default_factory=lambda: {model: [] for model in ORDER})
    decisions: list[dict[str, Any]] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)
    copies: list[dict[str, Any]] = field(default_factory=list)  # sent copies of the CRM's own mail
    grown: dict[UUID, list[MailFacts]] = field(default_factory=dict)  # conversation → its new messages
    bounces: list[MailFacts] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # provider ids whose content is written
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, mail: MailFacts, verdict: Verdict, prepared: Prepared | None) -> None:
        """One mail with its verdict; a mail to be logged comes with its content, unless it is a sent copy."""
        conversation_id, message_id = verdict.conversation_id, verdict.message_id
        contact_id = verdict.contact_id
        if contact_id is not None and message_id is not None and conversation_id is not None:
            if verdict.reason is Reason.SENT_FROM_CRM:
                self._add_copy(mail, message_id)
            if verdict.reason is Reason.SENT_FROM_CRM or self.around.is_open(conversation_id):
                self._link(mail, conversation_id, contact_id)
        elif contact_id is not None and verdict.outcome is Outcome.LOGGED and prepared is not None:
            conversation_id = conversation_id or self._begin(prepared, contact_id)
            message_id = prepared.message_id
            self._add_message(prepared, verdict, conversation_id)
            self._link(mail, conversation_id, contact_id)
        if verdict.reason is Reason.BOUNCE:
            self.bounces.append(mail)
        self._decide(mail.provider_message_id, mail.direction.value, mail.received_at, verdict, conversation_id, message_id)

    def add_unmet(self, provider_id: str, reason: Reason) -> None:
        """A mail that could not be had: gone from the mailbox, or unreadable."""
        self._decide(provider_id, "inbound", self.at, Verdict(reason), None, None)

    def _begin(self, prepared: Prepared, contact_id: UUID) -> UUID:
        row = rows.conversation_row(self.run, prepared, contact_id, self.at)
        self.new[Conversation].append(row)
        found: UUID = row["id"]
        return found

    def _add_message(self, prepared: Prepared, verdict: Verdict, conversation_id: UUID) -> None:
        run, facts = self.run, prepared.mail.facts
        self.new[Message].append(rows.message_row(run, prepared, conversation_id, self.at))
        self.new[MessageBody].append(rows.body_row(run, prepared, self.at))
        self.new[Participant] += rows.participant_rows(run, prepared, conversation_id, self.at)
        self.new[Mention] += rows.mention_rows(run, prepared, verdict, conversation_id, self.at)
        self.new[Attachment] += rows.attachment_rows(run, prepared, conversation_id, self.at)
        self.grown.setdefault(conversation_id, []).append(facts)
        self.used.add(facts.provider_message_id)

    def _add_copy(self, mail: MailFacts, message_id: UUID) -> None:
        """The sent copy of a mail of ours: no second message, the provider's ids are filled in (G-19)."""
        self.copies.append(
            {
                "row_id": message_id, "provider_id": mail.provider_message_id, "thread": mail.provider_thread_id,
                "wire": mail.internet_message_id[:998],
            }
        )  # fmt: skip

    def _link(self, mail: MailFacts, conversation_id: UUID, contact_id: UUID) -> None:
        if not self.around.knows_thread(mail.provider_thread_id, conversation_id):
            self.threads.append(rows.thread_row(self.run, mail.provider_thread_id, conversation_id, self.at))
        self.around.learn(mail, conversation_id, contact_id)

    def _decide(
        self, provider_id: str, direction: str, received_at: datetime, verdict: Verdict,
        conversation_id: UUID | None, message_id: UUID | None,
    ) -> None:  # fmt: skip
        self.outcomes[verdict.outcome.value] += 1
        decided_at = self.at + timedelta(microseconds=len(self.decisions))  # keeps the order within a page
        self.decisions.append(
            {
                "id": new_id(), "created_at": self.at, "account_id": self.run.account_id,
                "connection_id": self.run.connection_id, "provider_message_id": provider_id, "direction": direction,
                "outcome": verdict.outcome.value, "reason": verdict.reason.value, "contact_id": verdict.contact_id,
                "conversation_id": conversation_id, "message_id": message_id, "received_at": received_at,
                "decided_at": decided_at,
            }
        )  # fmt: skip

    @property
    def newly_met(self) -> int:
        """Mails that had no decision before."""
        return sum(1 for row in self.decisions if row["provider_message_id"] not in self.decided)

    def write(self) -> None:
        """Write everything in the current transaction."""
        self._count_new_conversations()
        for model, values in self.new.items():
            if values:
                db.session.execute(insert(model.__table__), values)
        insert_new(ConversationThread.__table__, self.threads)
        self._grow_conversations()
        _fill_in_copies(self.copies)
        _write_decisions(self.run, self.decisions, self.decided)

    def _count_new_conversations(self) -> None:
        for row in self.new[Conversation]:
            mails = self.grown.pop(row["id"], [])
            last = max(mails, key=lambda mail: mail.received_at)
            row["message_count"] = len(mails)
            row["last_message_at"], row["last_direction"] = last.received_at, last.direction.value

    def _grow_conversations(self) -> None:
        """Counts and last moments of conversations that stood before, in the order of their ids against deadlocks."""
        values = []
        for conversation_id, mails in sorted(self.grown.items()):
            last = max(mails, key=lambda mail: mail.received_at)
            values.append(
                {"row_id": conversation_id, "more": len(mails), "at": last.received_at, "way": last.direction.value}
            )
        if values:
            db.session.connection().execute(GROW, values)


_table = Conversation.__table__
_at = bindparam("at", type_=_table.c.last_message_at.type)
GROW = (
    update(_table)
    .where(_table.c.id == bindparam("row_id"))
    .values(
        message_count=_table.c.message_count + bindparam("more"),
        last_direction=case((_table.c.last_message_at <= _at, bindparam("way")), else_=_table.c.last_direction),
        last_message_at=case((_table.c.last_message_at < _at, _at), else_=_table.c.last_message_at),
    )
)
_message = Message.__table__
FILL_IN = (
    update(_message)
    .where(_message.c.id == bindparam("row_id"))
    .values(
        provider_message_id=bindparam("provider_id"),
        provider_thread_id=bindparam("thread"),
        internet_message_id=case((bindparam("wire") == "", _message.c.internet_message_id), else_=bindparam("wire")),
        state=case((_message.c.state.in_(("sending", "unknown")), "sent"), else_=_message.c.state),
    )
)
_decision = Decision.__table__
DECIDE_AGAIN = (
    update(_decision)
    .where(
        _decision.c.connection_id == bindparam("of_connection"),
        _decision.c.provider_message_id == bindparam("of_mail"),
    )
    .values(
        {
            name: bindparam(f"new_{name}")
            for name in (
                "direction", "outcome", "reason", "contact_id", "conversation_id", "message_id", "received_at", "decided_at",
            )
        }
    )
)  # fmt: skip


def _fill_in_copies(copies: Sequence[dict[str, Any]]) -> None:
    if copies:
        db.session.connection().execute(FILL_IN, list(copies))


def _write_decisions(run: Run, decisions: Sequence[dict[str, Any]], decided: frozenset[str]) -> None:
    """New decisions are inserted; one that stands for a mail looked at again is replaced (E-01: one per mail)."""
    insert_new(_decision, [row for row in decisions if row["provider_message_id"] not in decided])
    again = [
        {f"new_{name}": value for name, value in row.items() if name not in ("id", "created_at", "account_id")}
        | {"of_connection": run.connection_id, "of_mail": row["provider_message_id"]}
        for row in decisions
        if row["provider_message_id"] in decided
    ]
    for row in again:
        row.pop("new_connection_id")
        row.pop("new_provider_message_id")
    if again:
        db.session.connection().execute(DECIDE_AGAIN, again)
