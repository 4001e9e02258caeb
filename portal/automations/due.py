"""Decide for each new contact whether an automation writes to it: one delivery each, waiting or skipped with a reason.

Deciding at once, and keeping the decision, is what makes a second run, a late one and a doubled one do nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from portal import queues
from portal.campaigns.unsubscribing import unsubscribed_keys
from portal.contacts.colleagues import colleagues_of
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Automation, Contact, Delivery, Unsubscribe
from portal.rules.workflows import NotSent, Trigger, due_at, is_due, sources_left_out, why_not
from portal.sending.deliveries import Recipient, add_deliveries, hand_over

BATCH = 500


def make_due_deliveries(account_id: UUID) -> int:
    """Decide for all new contacts of an account and hand the mails over to the engine; how many contacts were decided."""
    with transaction():
        on = select(Automation.id).where(Automation.account_id == account_id, Automation.is_on.is_(True))
        ids = list(db.session.scalars(on.order_by(Automation.id)))
    return sum(_make_all(automation_id) for automation_id in ids)


def sweep() -> int:
    """Hand over again every account that has an automation switched on; how many."""
    with transaction():
        accounts = select(Automation.account_id).where(Automation.is_on.is_(True)).distinct()
        ids = list(db.session.scalars(accounts))
        for account_id in ids:
            queues.enqueue("workflows.run", account_id, once=f"workflows-{account_id}")
    return len(ids)


def _make_all(automation_id: UUID) -> int:
    total = 0
    while True:
        with transaction():
            query = select(Automation).where(Automation.id == automation_id).with_for_update()
            automation = db.session.scalar(query.execution_options(populate_existing=True))
            decided = decide_batch(automation) if automation is not None else 0
        total += decided
        if decided < BATCH:
            return total


def decide_batch(automation: Automation) -> int:
    """Decide for the next new contacts, in the caller's transaction, which holds the automation's row; how many."""
    if not automation.is_on or automation.trigger != Trigger.CONTACT_CREATED:
        return 0
    found = _undecided(automation)
    if found:
        skipped, waiting = _judge(automation, found)
        if skipped:
            db.session.execute(insert(Delivery), skipped)
        for due, people in waiting.items():
            add_deliveries(automation.account_id, people, automation_id=automation.id, due_at=due)
        hand_over(automation.account_id)
    return len(found)


def _undecided(automation: Automation) -> list[Any]:
    """New contacts of whom nothing was decided yet, the oldest first."""
    decided = select(Delivery.id).where(Delivery.automation_id == automation.id, Delivery.contact_id == Contact.id)
    query = select(Contact.id, Contact.email, Contact.email_key, Contact.created_at, Contact.source).where(
        Contact.account_id == automation.account_id,
        Contact.created_at > automation.on_since,
        Contact.source.not_in(sources_left_out(includes_imported=automation.includes_imported)),
        ~decided.exists(),
    )
    found = db.session.execute(query.order_by(Contact.created_at, Contact.id).limit(BATCH)).all()
    on_since, imported = automation.on_since, automation.includes_imported
    return [row for row in found if is_due(row.created_at, row.source, on_since, includes_imported=imported)]


def _judge(
    automation: Automation, found: Sequence[Any]
) -> tuple[list[dict[str, Any]], dict[datetime, list[Recipient]]]:
    """Those who get nothing, as rows, and those who get the mail, by the second in which it is due."""
    keys = [row.email_key for row in found if row.email_key]
    unsubscribed = set(db.session.scalars(unsubscribed_keys(automation.account_id).where(Unsubscribe.email_key.in_(keys))))
    colleagues = colleagues_of(automation.account_id).keys
    taken = set(db.session.scalars(_taken(automation, keys)))
    skipped: list[dict[str, Any]] = []
    waiting: dict[datetime, list[Recipient]] = defaultdict(list)
    for row in found:
        why = why_not(
            row.email_key, Trigger(automation.trigger), colleagues=colleagues, unsubscribed=unsubscribed, taken=taken
        )
        if why is not None:
            skipped.append(_skipped(automation, row, why))
            continue
        taken.add(row.email_key)
        due = due_at(row.created_at, automation.delay_minutes).replace(microsecond=0)
        waiting[due].append(Recipient(row.id, row.email, row.email_key))
    return skipped, waiting


def _taken(automation: Automation, keys: Sequence[str]) -> Any:
    return select(Delivery.email_key).where(
        Delivery.automation_id == automation.id, Delivery.email_key.in_(keys), Delivery.state != "skipped"
    )


def _skipped(automation: Automation, row: Any, why: NotSent) -> dict[str, Any]:
    moment = now()
    return {
        "id": new_id(), "created_at": moment, "account_id": automation.account_id, "automation_id": automation.id,
        "contact_id": row.id, "email": row.email, "email_key": row.email_key, "token": new_token(), "next_try_at": moment,
        "state": "skipped", "cause": why.value, "error": why.sentence, "attempts": 0,
    }  # fmt: skip
