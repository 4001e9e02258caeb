"""A delivery report marks the mail it speaks of as failed (G-22). The report itself is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select

from portal.database import db
from portal.lib.clock import now
from portal.models import Message, OutboxMail
from portal.rules.facts import MailFacts
from portal.rules.sending import WINDOW
from portal.sending.caps import note_provider_cap
from portal.sending.outcomes import settle_bounced, words_of
from portal.sync.lease import Run

WHOLE_SECOND = timedelta(seconds=1)  # Graph tells moments without fractions, and a report may come in the same second


def mark_failed(run: Run, reports: Sequence[MailFacts]) -> None:
    """Mark the CRM's own mails that these reports speak of, in the current transaction. Others are nobody's concern here."""
    for report in reports:
        message = _reported(run, report)
        if report.is_cap_report and report.received_at > now() - WINDOW:
            note_provider_cap(run.mailbox_key, report.received_at + WINDOW)
        if message is None or message.state == "failed":
            continue
        outbox = db.session.scalar(select(OutboxMail).where(OutboxMail.message_id == message.id).with_for_update())
        if outbox is None:
            message.state = "failed"
        else:
            settle_bounced(outbox, words_of("provider_cap", run.provider) if report.is_cap_report else "")


def _reported(run: Run, report: MailFacts) -> Message | None:
    """The mail that the report refers to by its wire id, else the newest of ours in the report's thread before it."""
    return _newest(run, report, Message.internet_message_id.in_(report.references)) or _newest(
        run, report, Message.provider_thread_id == report.provider_thread_id
    )


def _newest(run: Run, report: MailFacts, place: ColumnElement[bool]) -> Message | None:
    query = (
        select(Message)
        .where(Message.connection_id == run.connection_id, Message.origin == "crm", place)
        .where(or_(Message.sent_at < report.received_at + WHOLE_SECOND, Message.state == "sending"))
        .order_by(Message.sent_at.desc(), Message.id.desc())
        .limit(1)
    )
    return db.session.scalar(query)
