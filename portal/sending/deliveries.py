"""Move bulk and workflow mail out through the account's own mail server, each mail once (S-02, NET-4).

waiting → sending, claimed by a run (committed) → handed, just before the end of its data (committed) → sent (committed with
the next mail's handing). A run ends after some seconds and is handed over again, so that other work gets the worker.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Automation, Campaign, Delivery, MailRelay
from portal.rules.bulk import Progress
from portal.sending import relays
from portal.sending.delivery_claims import take_back
from portal.sending.delivery_posts import posts_of
from portal.sending.delivery_shift import RelayAway, Shift

CHUNK = 500  # rows of one insert
NOTHING_LEFT = ("waiting", "sending")


class Recipient(NamedTuple):
    """A contact and the address of theirs that a mail goes to."""

    contact_id: UUID
    email: str
    email_key: str


def run(account_id: UUID, seconds: float = 8) -> int:
    """Send what is due in an account, workflow mail first, for so many seconds; how many mails have left.

    Hands itself over again when time was too short. A mail server that is away puts everything off and says so.
    """
    with transaction():
        take_back(account_id)
        shift = _begin(account_id, seconds)
    if shift is None:
        return 0
    away: RelayAway | None = None
    try:
        shift.work()
    except RelayAway as error:
        away = error
    finally:
        shift.close()
    with transaction():
        _note(account_id, shift, away)
        finish_campaigns(account_id)
        if shift.is_over and away is None:
            hand_over(account_id)
    return shift.counts["sent"]


def _begin(account_id: UUID, seconds: float) -> Shift | None:
    """A run for this account; None while its mail server is not set up or nothing is to be tried."""
    finish_campaigns(account_id)
    relay = relays.relay_of(account_id)
    if relay is None or relays.is_waiting(relay):
        return None
    posts = posts_of(account_id, relay)
    return Shift(account_id, relays.server_of(relay), posts, time.monotonic() + seconds) if posts else None


def _note(account_id: UUID, shift: Shift, away: RelayAway | None) -> None:
    """Keep what the run did in the audit trail, and how the mail server is."""
    relay = relays.relay_of(account_id)
    if relay is not None and away is not None:
        relays.note_trouble(relay, away.words, away.retry_at)
    elif relay is not None and shift.counts["sent"]:
        relays.note_recovered(relay)
    if shift.counts.total():
        counts = shift.counts
        record(
            events.DELIVERIES_SENT, account_id=account_id, sent=counts["sent"], failed=counts["failed"],
            skipped=counts["skipped"], unknown=counts["unknown"],
        )  # fmt: skip


def finish_campaigns(account_id: UUID) -> None:
    """Close the running campaigns of which nothing waits any more, in the caller's transaction."""
    open_mails = select(Delivery.id).where(Delivery.campaign_id == Campaign.id, Delivery.state.in_(NOTHING_LEFT))
    query = select(Campaign).where(Campaign.account_id == account_id, Campaign.state == "running", ~open_mails.exists())
    for campaign in db.session.scalars(query.with_for_update(skip_locked=True)):
        campaign.state, campaign.finished_at = "done", now()
        counts = progress_of([campaign.id])[campaign.id]
        record(
            events.CAMPAIGN_FINISHED, campaign, sent=counts.sent, failed=counts.failed, skipped=counts.skipped,
            unknown=counts.unknown,
        )  # fmt: skip


def progress_of(campaign_ids: Iterable[UUID]) -> dict[UUID, Progress]:
    """How far each of these campaigns is."""
    ids = list(campaign_ids)
    counts: dict[UUID, Counter[str]] = {campaign_id: Counter() for campaign_id in ids}
    query = select(Delivery.campaign_id, Delivery.state, func.count()).where(Delivery.campaign_id.in_(ids))
    for campaign_id, state, count in db.session.execute(query.group_by(Delivery.campaign_id, Delivery.state)):
        if campaign_id is not None:
            counts[campaign_id][state] = count
    return {campaign_id: Progress.of(found) for campaign_id, found in counts.items()}


def hand_over(account_id: UUID) -> None:
    """Enqueue a run after the commit. While a run of ours is under way the next one has another name than it."""
    base = f"bulk-{account_id}"
    once = f"{base}-next" if queues.current_job_id() == base else base
    queues.enqueue("bulk.run", account_id, on=queues.BULK, once=once)


def sweep() -> int:
    """Settle what dead runs left behind and hand over every account that has mail due; how many accounts."""
    with transaction():
        take_back()
        accounts = list(db.session.scalars(_accounts_due()))
        for account_id in accounts:
            hand_over(account_id)
    return len(accounts)


def _accounts_due() -> Select[UUID]:
    moment = now()
    runs = or_(
        Delivery.campaign_id.in_(select(Campaign.id).where(Campaign.state == "running")),
        Delivery.automation_id.in_(select(Automation.id).where(Automation.is_on.is_(True))),
    )
    due = select(Delivery.id).where(
        Delivery.account_id == MailRelay.account_id, Delivery.state == "waiting", Delivery.next_try_at <= moment, runs
    )
    unfinished = select(Campaign.id).where(Campaign.account_id == MailRelay.account_id, Campaign.state == "running")
    left = select(Delivery.id).where(Delivery.campaign_id == Campaign.id, Delivery.state.in_(NOTHING_LEFT))
    is_ready = or_(MailRelay.retry_at.is_(None), MailRelay.retry_at <= moment)
    return select(MailRelay.account_id).where(
        MailRelay.is_on.is_(True), is_ready, or_(due.exists(), unfinished.where(~left.exists()).exists())
    )


def add_deliveries(
    account_id: UUID,
    recipients: Iterable[Recipient],
    *,
    campaign_id: UUID | None = None,
    automation_id: UUID | None = None,
    due_at: datetime | None = None,
) -> int:
    """Let a mail wait for each of these people, in the caller's transaction; how many were not there yet.

    Nobody gets the same campaign twice by address, nor the same automation twice by contact: what stands is left alone.
    """
    moment, people = now(), list(recipients)
    ids = sorted(new_id() for _ in people)  # of one millisecond they are in no order by themselves
    rows = [
        {
            "id": row_id, "created_at": moment, "account_id": account_id, "campaign_id": campaign_id,
            "automation_id": automation_id, "contact_id": contact_id, "email": email, "email_key": email_key,
            "token": new_token(), "next_try_at": due_at or moment, "state": "waiting", "cause": "", "error": "",
            "attempts": 0,
        }
        for row_id, (contact_id, email, email_key) in zip(ids, people, strict=True)
    ]  # fmt: skip
    dialect = postgresql if db.session.connection().dialect.name == "postgresql" else sqlite
    added = 0
    for start in range(0, len(rows), CHUNK):
        insert = dialect.insert(Delivery).values(rows[start : start + CHUNK]).on_conflict_do_nothing()
        added += len(db.session.connection().execute(insert.returning(Delivery.id)).all())  # psycopg counts none
    return added


def settle_delivery_bounced(delivery: Delivery, reason: str = "") -> None:
    """A delivery report says that it did not arrive (G-22); `reason` is a sentence. In the caller's transaction.

    What was never handed over cannot have come back: it is left alone.
    """
    if delivery.state not in ("sending", "sent", "unknown") or delivery.handed_at is None:
        return
    delivery.state, delivery.cause = "failed", "bounced"
    delivery.error = f"It came back. {reason}".strip()[:300]
    delivery.claimed_by, delivery.sent_at = None, delivery.sent_at or delivery.handed_at


def requeue_uncertain(parent_id: UUID) -> int:
    """Let the uncertain mails of a campaign or automation wait again, as a person says, in the caller's transaction."""
    uncertain = [or_(Delivery.campaign_id == parent_id, Delivery.automation_id == parent_id), Delivery.state == "unknown"]
    again = update(Delivery).where(*uncertain).values(
        state="waiting", attempts=0, next_try_at=now(), handed_at=None, cause="", error=""
    )
    return int(db.session.connection().execute(again).rowcount)


def accept_uncertain(parent_id: UUID) -> int:
    """Count the uncertain mails of a campaign or automation as sent, as a person says, in the caller's transaction."""
    uncertain = [or_(Delivery.campaign_id == parent_id, Delivery.automation_id == parent_id), Delivery.state == "unknown"]
    sent = update(Delivery).where(*uncertain).values(state="sent", sent_at=Delivery.handed_at, cause="declared", error="")
    return int(db.session.connection().execute(sent).rowcount)
