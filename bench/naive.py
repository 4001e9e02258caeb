"""The inside floor: what one writes first. One get, one look-up by the ORM, one commit per mail.

It makes the rows that the portal makes (sealed, with participants, conversation, decision and cursor) and uses the
portal's own parser, but knows no batch, no neighbourhood, no audit and no bulk statement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

import httpx2
from sqlalchemy import select

from bench.practice import Mailbox
from bench.stage import Stage
from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import (
    Connection,
    Contact,
    Conversation,
    ConversationThread,
    Decision,
    Mention,
    Message,
    MessageBody,
    Participant,
)
from portal.providers.google.parse import mail_of
from portal.providers.types import RemoteMail
from portal.rules.reasons import Reason
from portal.rules.sync import Decision as Verdict
from portal.sync import rows
from portal.sync.lease import Run, take
from portal.sync.rows import Prepared


@dataclass(frozen=True)
class Looped:
    """What the loop took."""

    mails: int
    seconds: float
    cpu: float  # seconds, of this process and the database

    @property
    def rate(self) -> float:
        """Mails a second."""
        return self.mails / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Per mail."""
        return self.cpu * 1000 / self.mails


def run_loop(stage: Stage, mailbox: Mailbox, connection_id: UUID, ids: list[str]) -> Looped:
    """Fetch and store these mails one after the other."""
    run = take(connection_id)
    assert isinstance(run, Run)
    headers = {"Authorization": f"Bearer {mailbox.tokens['access_token']}"}
    with httpx2.Client(base_url=stage.sandbox.url, headers=headers, trust_env=False) as client:
        save(run, fetch(client, ids[0], run))  # connections and statements are ready
        begun, database, own = time.perf_counter(), stage.database_cpu(), time.process_time()
        for message_id in ids[1:]:
            save(run, fetch(client, message_id, run))
        seconds, own = time.perf_counter() - begun, time.process_time() - own
        return Looped(len(ids) - 1, seconds, own + stage.database_cpu() - database)


def fetch(client: httpx2.Client, message_id: str, run: Run) -> RemoteMail:
    """One get of the whole message."""
    answer = client.get(f"/gmail/v1/users/me/messages/{message_id}", params={"format": "full"})
    answer.raise_for_status()
    return mail_of(answer.json(), run.own_keys)


def save(run: Run, mail: RemoteMail) -> None:
    """Decide and store one mail by the ORM, with its own commit."""
    facts = mail.facts
    connection = db.session.get_one(Connection, run.connection_id)
    known = select(Decision.id).where(
        Decision.connection_id == connection.id, Decision.provider_message_id == facts.provider_message_id
    )
    key = facts.sender.key if facts.sender else ""
    query = select(Contact).where(Contact.account_id == connection.account_id, Contact.email_key == key)
    contact = db.session.scalars(query.order_by(Contact.created_at).limit(1)).first()
    if db.session.scalar(known) is None:
        store_mail(run, Prepared(new_id(), mail), contact.id if contact else None)
        connection.seen += 1
        connection.cursor = str(int(connection.cursor) + 1)
    db.session.commit()


def store_mail(run: Run, prepared: Prepared, contact_id: UUID | None) -> None:
    """The rows of one mail as objects of the ORM, added to the session: a decision, and the content when a contact wrote."""
    facts, at = prepared.mail.facts, now()
    verdict = Verdict(Reason.CONTACT_WROTE if contact_id else Reason.NO_CONTACT, contact_id)
    conversation_id = _conversation(run, prepared, contact_id) if contact_id else None
    if conversation_id:
        db.session.add(Message(**rows.message_row(run, prepared, conversation_id, at)))
        db.session.flush()
        db.session.add(MessageBody(**rows.body_row(run, prepared, at)))
        db.session.add_all(Participant(**row) for row in rows.participant_rows(run, prepared, conversation_id, at))
        db.session.add_all(Mention(**row) for row in rows.mention_rows(run, prepared, verdict, conversation_id, at))
    db.session.add(
        Decision(
            account_id=run.account_id, connection_id=run.connection_id, provider_message_id=facts.provider_message_id,
            direction=facts.direction.value, outcome=verdict.outcome.value, reason=verdict.reason.value,
            contact_id=contact_id, conversation_id=conversation_id,
            message_id=prepared.message_id if conversation_id else None, received_at=facts.received_at, decided_at=at,
        )
    )  # fmt: skip


def _conversation(run: Run, prepared: Prepared, contact_id: UUID) -> UUID:
    """The thread's conversation, or a new one."""
    facts = prepared.mail.facts
    query = (
        select(Conversation)
        .join(ConversationThread, ConversationThread.conversation_id == Conversation.id)
        .where(ConversationThread.connection_id == run.connection_id)
        .where(ConversationThread.provider_thread_id == facts.provider_thread_id)
    )
    found = db.session.scalars(query).first()
    if found is None:
        found = Conversation(**rows.conversation_row(run, prepared, contact_id, now()))
        db.session.add(found)
        db.session.flush()
        db.session.add(ConversationThread(**rows.thread_row(run, facts.provider_thread_id, found.id, now())))
    found.message_count += 1
    found.last_message_at, found.last_direction = facts.received_at, facts.direction.value
    return found.id
