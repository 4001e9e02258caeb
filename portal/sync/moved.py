"""Mail of a synced thread that a rule of the mailbox puts into another folder is named by no delta: ask by the thread.

Only where the provider's changes are per folder (Graph), so at an Outlook mailbox, and there only threads that began in the
CRM concern us (O-02, O-03). Gmail's history names every message wherever it lies.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Conversation, ConversationThread
from portal.providers.base import MailProvider
from portal.providers.types import Change, ChangePage
from portal.sync.lease import Run, hold, set_connection
from portal.sync.page import read_headers, store_page
from portal.sync.sets import reading

EVERY = timedelta(minutes=15)
TOUCHED = timedelta(days=30)  # a thread that has rested longer is not asked for
MOST = 200  # threads at a time, the latest first: ten batches of requests
OVERLAP = timedelta(hours=1)  # between two looks


def is_due(provider: str, asked_at: datetime | None, moment: datetime) -> bool:
    """Whether a mailbox's threads are to be looked for now."""
    return provider == "microsoft" and (asked_at is None or moment - asked_at >= EVERY)


async def take_moved(run: Run, provider: MailProvider) -> None:
    """Judge what lies in the mailbox's synced threads and no page of changes has named. Raises as `store_page`."""
    moment = now()
    if not is_due(run.provider, run.threads_asked_at, moment):
        return
    with reading():
        threads = _threads(run, moment)
    if threads:
        since = max(run.connected_at, (run.threads_asked_at or run.connected_at) - OVERLAP)
        ids = await provider.thread_messages(threads, since)
        page = ChangePage(tuple(Change(i) for i in ids), "", is_last=False)
        await store_page(run, provider, await read_headers(run, provider, page), cursor=None)
    with transaction():
        hold(run)
        set_connection(run, threads_asked_at=moment)
    run.threads_asked_at = moment


def _threads(run: Run, moment: datetime) -> list[str]:
    """Threads of this mailbox that feed open conversations begun in the CRM."""
    query = (
        select(ConversationThread.provider_thread_id)
        .join(Conversation, Conversation.id == ConversationThread.conversation_id)
        .where(
            ConversationThread.connection_id == run.connection_id,
            Conversation.state == "open",
            Conversation.started_by == "crm",
            Conversation.last_message_at > moment - TOUCHED,
        )
        .order_by(Conversation.last_message_at.desc())
    )
    return list(dict.fromkeys(db.session.scalars(query.limit(MOST))))

