"""Read one kept mail, decide, and file it: one transaction for the decision and all that follows from it (E-01, SYN-2).

A mail is tried three times. What cannot be read then is named as unreadable and keeps its sealed bytes; others flow (SMT-5,
fault 23).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from portal.conversations.store import StoreUnavailable
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.intake import bcc_filing, service
from portal.intake.facts import answered_mails, gather, reported_mail
from portal.intake.parse import RoutedMail, read_mail, with_own_id
from portal.intake.writing import Address, end, locked_conversation, locked_mail, prepare, write_message
from portal.lib.clock import now
from portal.lib.traces import trace_of
from portal.models import Conversation, Delivery, IntakeMail
from portal.rules.bounces import Report, code_of, reason_of
from portal.rules.facts import Direction
from portal.rules.reasons import Outcome, Reason
from portal.rules.routed import decide_routed, is_automatic
from portal.rules.sync import Decision
from portal.sealing import envelope, place
from portal.sending.deliveries import settle_delivery_bounced
from portal.sending.outcomes import settle_arrived, settle_bounced
from portal.sync.files import remove_stored
from portal.sync.rows import Prepared
from portal.sync.sameness import lock_contacts
from portal.sync.sets import reading

TRIES = 3
AGAIN = timedelta(seconds=60)
SWEEP = 200
MAY_HAVE_LEFT = ("sending", "sent", "unknown")  # states of a mail that may come back


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
        row = locked_mail(intake_id)
        if row is None or row.state != "received":
            return row.state if row else ""
        if row.attempts >= TRIES:
            end(row, Decision(Reason.UNREADABLE_MAIL))
            return row.state
        row.attempts += 1
        row.next_try_at = now() + AGAIN * row.attempts
    return "claimed"


def _put_off(intake_id: UUID, *, counts: bool) -> str:
    with transaction():
        row = locked_mail(intake_id)
        if row is None or row.state != "received":
            return row.state if row else ""
        if not counts:
            row.attempts -= 1
        elif row.attempts >= TRIES:
            end(row, Decision(Reason.UNREADABLE_MAIL))
        return row.state


def _file(intake_id: UUID) -> str:
    with reading():
        row = db.session.get_one(IntakeMail, intake_id)
        raw = envelope().open(row.raw or b"", place(service.RAW, row.account_id, row.id))
        received_at, account_id, digest, is_last_try = row.created_at, row.account_id, row.digest, row.attempts >= TRIES
        is_bcc = row.kind == "bcc"
    read = with_own_id(read_mail(raw, received_at, Direction.OUTBOUND if is_bcc else Direction.INBOUND), digest)
    if is_bcc:
        return bcc_filing.file_bcc_mail(intake_id, raw, read, is_last_try=is_last_try)
    with reading():
        decision = decide_routed(read.mail.facts, gather(db.session.get_one(IntakeMail, intake_id), read))
    is_new = decision.outcome is Outcome.LOGGED and decision.message_id is None
    prepared = prepare(account_id, read.mail, is_logged=is_new)
    is_written = False
    try:
        state, is_written = _decide(intake_id, read, prepared)
        return state
    finally:
        if not is_written:
            remove_stored(prepared.files)


def _decide(intake_id: UUID, read: RoutedMail, prepared: Prepared) -> tuple[str, bool]:
    """The transaction: decision, rows, settlements, audit. The state, and whether a message was written."""
    with transaction():
        row = locked_mail(intake_id)
        if row is None or row.state != "received":
            return row.state if row else "", False
        _lock_contact(row.conversation_id)
        conversation = locked_conversation(row.conversation_id)
        around = gather(row, read)
        decision = decide_routed(read.mail.facts, around)
        is_new = decision.outcome is Outcome.LOGGED and decision.message_id is None
        if is_new and conversation is not None:
            home = Address(row.account_id, conversation.user_id, row.token)
            is_by_machine = is_automatic(read.mail.facts, around)
            write_message(home, prepared, decision, conversation, origin="routed", is_automatic=is_by_machine)
            decision = replace(decision, message_id=prepared.message_id)
        _settle(row, read, decision)
        end(row, decision)
        crash_point("intake-filed")
        return row.state, is_new


def _lock_contact(conversation_id: UUID | None) -> None:
    """First the contact, then the conversation: in this order everybody locks who files a mail."""
    contact_id = db.session.scalar(select(Conversation.contact_id).where(Conversation.id == conversation_id))
    lock_contacts({contact_id} if contact_id else ())


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
