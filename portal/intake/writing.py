"""What every kind of kept mail comes to: its files in the store, the rows of its message, the decision written down."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Attachment, Conversation, IntakeMail, Mention, Message, MessageBody, Participant
from portal.providers.types import RemoteMail
from portal.rules.reasons import FileReason, Outcome
from portal.rules.sending import MAX_FILE_BYTES
from portal.rules.sync import Decision
from portal.sync import rows
from portal.sync.files import keep_file, leave_out, remove_stored
from portal.sync.rows import Prepared, StoredFile


@dataclass(frozen=True)
class Address:
    """An address of the portal's own as the place where a mail comes in."""

    account_id: UUID
    user_id: UUID
    mailbox_key: str
    connection_id: UUID | None = None


def prepare(account_id: UUID, mail: RemoteMail, *, is_logged: bool) -> Prepared:
    """The files of a mail that is going to be logged, into the store; above 25 MB they are only named (G-13).

    Raises StoreUnavailable with nothing left there.
    """
    taken: list[StoredFile] = []
    left = MAX_FILE_BYTES
    try:
        for file in mail.files if is_logged else ():
            data = file.data or b""
            if len(data) > left:
                taken.append(leave_out(file, FileReason.TOO_LARGE_ANSWER))
                continue
            taken.append(found := keep_file(account_id, file, data))
            left -= found.size if found.state == "stored" else 0
    except BaseException:
        remove_stored(taken)
        raise
    return Prepared(new_id(), mail, tuple(taken))


def write_message(
    home: Address, prepared: Prepared, decision: Decision, conversation: Conversation, *, origin: str,
    is_automatic: bool = False,
) -> None:  # fmt: skip
    """The rows of a message of this locked conversation, and the conversation's figures."""
    facts, at = prepared.mail.facts, now()
    message = rows.message_row(home, prepared, conversation.id, at, origin=origin)
    message["is_automatic"] = is_automatic
    for model, values in (
        (Message, [message]),
        (MessageBody, [rows.body_row(home, prepared, at)]),
        (Participant, rows.participant_rows(home, prepared, conversation.id, at)),
        (Mention, rows.mention_rows(home, prepared, decision, conversation.id, at)),
        (Attachment, rows.attachment_rows(home, prepared, conversation.id, at)),
    ):
        if values:
            db.session.execute(insert(model.__table__), values)
    conversation.message_count += 1
    if facts.received_at >= conversation.last_message_at:
        conversation.last_message_at, conversation.last_direction = facts.received_at, facts.direction.value


def end(row: IntakeMail, decision: Decision) -> None:
    """Write the decision down; of what was decided no byte stays here (E-01). A held mail waits for its owner, sealed."""
    outcome, is_held = decision.outcome, decision.outcome is Outcome.HELD
    row.state = decision.reason.value if is_held else "unreadable" if outcome is Outcome.UNREADABLE else "decided"
    row.outcome, row.reason = outcome.value, decision.reason.value
    row.message_id, row.decided_at = decision.message_id, now()
    if row.state == "decided":
        row.raw = None
    if row.state != "unreadable":
        row.peer = row.helo = row.mail_from = ""
    if is_held:
        record(events.BCC_WAITS, row, reason=row.reason)
    else:
        record(events.ROUTED_MAIL_DECIDED, row, decided=row.outcome, reason=row.reason)


def locked_mail(intake_id: UUID) -> IntakeMail | None:
    """The row as it stands now, locked."""
    query = select(IntakeMail).where(IntakeMail.id == intake_id).with_for_update(of=IntakeMail)
    return db.session.scalar(query.execution_options(populate_existing=True))


def locked_conversation(conversation_id: UUID | None) -> Conversation | None:
    """The conversation as it stands now, locked; None for none."""
    if conversation_id is None:
        return None
    query = select(Conversation).where(Conversation.id == conversation_id).with_for_update(of=Conversation)
    return db.session.scalar(query.execution_options(populate_existing=True))
