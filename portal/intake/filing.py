"""Read one kept mail, decide, and file it: one transaction for the decision and all that follows from it (E-01, SYN-2).

A mail is tried three times. What cannot be read then is named as unreadable and keeps its sealed bytes; others flow (SMT-5,
fault 23).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from portal.audit import events
from portal.audit.service import record
from portal.conversations.store import StoreUnavailable
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.intake import service
from portal.intake.facts import answered_mails, gather, reported_mail
from portal.intake.parse import RoutedMail, read_mail
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.lib.traces import trace_of
from portal.models import Attachment, Conversation, Delivery, IntakeMail, Mention, Message, MessageBody, Participant
from portal.rules.bounces import Report, code_of, reason_of
from portal.rules.reasons import FileReason, Outcome, Reason
from portal.rules.routed import RoutedFacts, decide_routed, is_automatic
from portal.rules.sending import MAX_FILE_BYTES
from portal.rules.sync import Decision
from portal.sealing import envelope, place
from portal.sending.deliveries import settle_delivery_bounced
from portal.sending.outcomes import settle_arrived, settle_bounced
from portal.sync import rows
from portal.sync.files import keep_file, leave_out, remove_stored
from portal.sync.rows import Prepared, StoredFile
from portal.sync.sets import reading

TRIES = 3
AGAIN = timedelta(seconds=60)
SWEEP = 200
MAY_HAVE_LEFT = ("sending", "sent", "unknown")  # states of a mail that may come back


@dataclass(frozen=True)
class Address:
    """A conversation's own address as the place where a mail comes in."""

    account_id: UUID
    user_id: UUID
    mailbox_key: str
    connection_id: UUID | None = None


def file_mail(intake_id: UUID) -> str:
    """Bring one kept mail to its end; the state it is in then, "" for one that is gone."""
    claimed = _claim(intake_id)
    if claimed != "claimed":
        return claimed
    try:
        return _file(intake_id)
    except (OperationalError, StoreUnavailable) as error:  # the house's own trouble says nothing of the mail
        current_app.logger.warning("a routed mail waits: %s", trace_of(error))
        return _put_off(intake_id, counts=False)
    except Exception as error:
        current_app.logger.error("a routed mail could not be read: %s", trace_of(error))
        return _put_off(intake_id, counts=True)


def _claim(intake_id: UUID) -> str:
    """Count the try before it begins, so that a mail that takes the whole process down is set aside, too."""
    with transaction():
        row = _locked(intake_id)
        if row is None or row.state != "received":
            return row.state if row else ""
        if row.attempts >= TRIES:
            _end(row, Decision(Reason.UNREADABLE_MAIL))
            return row.state
        row.attempts += 1
        row.next_try_at = now() + AGAIN * row.attempts
    return "claimed"


def _put_off(intake_id: UUID, *, counts: bool) -> str:
    with transaction():
        row = _locked(intake_id)
        if row is None or row.state != "received":
            return row.state if row else ""
        if not counts:
            row.attempts -= 1
        elif row.attempts >= TRIES:
            _end(row, Decision(Reason.UNREADABLE_MAIL))
        return row.state


def _file(intake_id: UUID) -> str:
    with reading():
        row = db.session.get_one(IntakeMail, intake_id)
        raw = envelope().open(row.raw or b"", place(service.RAW, row.account_id, row.id))
        received_at, account_id, digest = row.created_at, row.account_id, row.digest
    read = read_mail(raw, received_at)
    if not read.mail.facts.internet_message_id:
        own_id = f"<{digest[:40]}@no-message-id.invalid>"
        facts = replace(read.mail.facts, internet_message_id=own_id)
        read = replace(read, mail=replace(read.mail, facts=facts, defects=(*read.mail.defects, "no_message_id")))
    prepared = Prepared(new_id(), read.mail, _take_files(intake_id, account_id, read))
    is_written = False
    try:
        state, is_written = _decide(intake_id, read, prepared)
        return state
    finally:
        if not is_written:
            remove_stored(prepared.files)


def _take_files(intake_id: UUID, account_id: UUID, read: RoutedMail) -> tuple[StoredFile, ...]:
    """The files of a mail that is going to be logged, into the store; above 25 MB they are only named (G-13)."""
    if not read.mail.files:
        return ()
    with reading():
        decision = decide_routed(read.mail.facts, gather(db.session.get_one(IntakeMail, intake_id), read))
    if decision.outcome is not Outcome.LOGGED or decision.message_id is not None:
        return ()
    taken: list[StoredFile] = []
    left = MAX_FILE_BYTES
    try:
        for file in read.mail.files:
            data = file.data or b""
            if len(data) > left:
                taken.append(leave_out(file, FileReason.TOO_LARGE_ANSWER))
                continue
            taken.append(found := keep_file(account_id, file, data))
            left -= found.size if found.state == "stored" else 0
    except BaseException:
        remove_stored(taken)
        raise
    return tuple(taken)


def _decide(intake_id: UUID, read: RoutedMail, prepared: Prepared) -> tuple[str, bool]:
    """The transaction: decision, rows, settlements, audit. The state, and whether a message was written."""
    with transaction():
        row = _locked(intake_id)
        if row is None or row.state != "received":
            return row.state if row else "", False
        conversation = _locked_conversation(row.conversation_id)
        around = gather(row, read)
        decision = decide_routed(read.mail.facts, around)
        is_new = decision.outcome is Outcome.LOGGED and decision.message_id is None
        if is_new and conversation is not None:
            _log(row, around, decision, prepared, conversation)
            decision = replace(decision, message_id=prepared.message_id)
        _settle(row, read, decision)
        _end(row, decision)
        crash_point("intake-filed")
        return row.state, is_new


def _log(
    row: IntakeMail, around: RoutedFacts, decision: Decision, prepared: Prepared, conversation: Conversation
) -> None:
    """The rows of a message of this conversation, and the conversation's figures."""
    home, at = Address(row.account_id, conversation.user_id, row.token), now()
    facts = prepared.mail.facts
    message = rows.message_row(home, prepared, conversation.id, at, origin="routed")
    message["is_automatic"] = is_automatic(facts, around)
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
        conversation.last_message_at, conversation.last_direction = facts.received_at, "inbound"


def _settle(row: IntakeMail, read: RoutedMail, decision: Decision) -> None:
    """What a report or an answer says of the mails that were sent (G-22)."""
    if decision.outcome is Outcome.LOGGED:
        for answered in answered_mails(row, read):
            settle_arrived(answered)
    if decision.reason is not Reason.BOUNCE or (read.report and read.report.report is not Report.FAILED):
        return
    status = read.report.status if read.report else ""
    reason = reason_of(status) if code_of(status) else ""
    if row.delivery_id is not None:
        settle_delivery_bounced(db.session.get_one(Delivery, row.delivery_id, with_for_update=True), reason)
    elif (mail := reported_mail(row, read)) is not None and mail.state in MAY_HAVE_LEFT:
        settle_bounced(mail, reason)


def _end(row: IntakeMail, decision: Decision) -> None:
    """Write the decision down; of what was decided no byte stays here (E-01)."""
    is_unreadable = decision.outcome is Outcome.UNREADABLE
    row.state = "unreadable" if is_unreadable else "decided"
    row.outcome, row.reason = decision.outcome.value, decision.reason.value
    row.message_id, row.decided_at = decision.message_id, now()
    if not is_unreadable:
        row.raw = None
    record(events.ROUTED_MAIL_DECIDED, row, decided=row.outcome, reason=row.reason)


def _locked(intake_id: UUID) -> IntakeMail | None:
    query = select(IntakeMail).where(IntakeMail.id == intake_id).with_for_update(of=IntakeMail)
    return db.session.scalar(query.execution_options(populate_existing=True))


def _locked_conversation(conversation_id: UUID | None) -> Conversation | None:
    if conversation_id is None:
        return None
    query = select(Conversation).where(Conversation.id == conversation_id).with_for_update(of=Conversation)
    return db.session.scalar(query.execution_options(populate_existing=True))


def read_again(row: IntakeMail) -> None:
    """A person asks for another try of a mail that could not be read. In the caller's transaction."""
    row.state, row.attempts, row.next_try_at = "received", 0, now()
    row.outcome, row.reason, row.decided_at = "", "", None
    service.hand_over(row.id)


def sweep() -> int:
    """Hand over again what is due: Redis may have been away, or a process vanished. How many."""
    with transaction():
        query = select(IntakeMail.id).where(IntakeMail.state == "received", IntakeMail.next_try_at <= now())
        due = list(db.session.scalars(query.order_by(IntakeMail.next_try_at).limit(SWEEP)))
        for intake_id in due:
            service.hand_over(intake_id)
    return len(due)
