"""Write automations and switch them on and off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, func, or_, select, update

from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.automations.due import BATCH, decide_batch
from portal.database import db
from portal.errors import DomainError
from portal.lib.clock import now
from portal.models import Automation, Delivery
from portal.rules.workflows import NotSent, Trigger
from portal.sending.deliveries import accept_uncertain, hand_over, requeue_uncertain
from portal.sending.delivery_letters import Letter, seal_letter
from portal.sending.relays import relay_of


class AutomationRefused(DomainError):
    """The automation may not do this now. Nothing was changed."""

    status: ClassVar[int] = 409


@dataclass(frozen=True)
class Details:
    """What a person wrote into the form."""

    name: str
    trigger: Trigger
    delay_minutes: int
    includes_imported: bool
    letter: Letter


def create(account_id: UUID, user_id: UUID, details: Details, token: str) -> Automation:
    """A new automation, switched off; a second press of the same form gives the same one."""
    row_id = uuid5(account_id, f"automation:{user_id}:{token}")
    if (earlier := db.session.get(Automation, row_id)) is not None:
        return earlier
    automation = Automation(id=row_id, account_id=account_id, user_id=user_id, includes_imported=False)
    _write(automation, details)
    db.session.add(automation)
    db.session.flush()
    record(events.AUTOMATION_SAVED, automation)
    return automation


def change(automation_id: UUID, details: Details) -> Automation:
    """Change an automation. Its texts count for every mail that has not left; who gets it counts from now on."""
    automation = _locked(automation_id)
    if automation.is_on and automation.includes_imported != details.includes_imported:
        _begin_anew(automation)
    _write(automation, details)
    record(events.AUTOMATION_SAVED, automation)
    return automation


def _begin_anew(automation: Automation) -> None:
    """Decide for those who are there by the old rule, so that the new one holds for nobody who came before it."""
    while decide_batch(automation) == BATCH:
        db.session.flush()
    automation.on_since = now()


def _write(automation: Automation, details: Details) -> None:
    automation.name, automation.trigger = details.name, details.trigger.value
    automation.delay_minutes, automation.includes_imported = details.delay_minutes, details.includes_imported
    seal_letter(automation, details.letter)


def switch_on(automation_id: UUID) -> bool:
    """Let each new contact from now on get the mail; false when it is on already. Raises AutomationRefused."""
    automation = _locked(automation_id)
    if automation.is_on:
        return False
    if relay_of(automation.account_id) is None:
        raise AutomationRefused(
            "The practice has no mail server that works, and this mail leaves through it. Nothing was changed. An admin "
            "sets it up under Settings, Mail server.",
            cause="no_relay",
        )
    automation.is_on, automation.on_since = True, now()
    record(events.AUTOMATION_SWITCHED, automation, state="on")
    return True


def switch_off(automation_id: UUID) -> int:
    """Let nobody else get the mail; those that wait are skipped. How many; a mail that is being handed over still leaves."""
    automation = _locked(automation_id)
    if not automation.is_on:
        return 0
    automation.is_on, automation.on_since = False, None
    why = NotSent.SWITCHED_OFF
    skip = update(Delivery).where(Delivery.automation_id == automation.id, _unsent())
    values = {"state": "skipped", "cause": why.value, "error": why.sentence, "claimed_by": None}
    left = int(db.session.connection().execute(skip.values(**values)).rowcount)
    record(events.AUTOMATION_SWITCHED, automation, state="off")
    return left


def waiting_count(automation: Automation) -> int:
    """How many mails would be skipped if it were switched off now."""
    query = select(func.count()).select_from(Delivery).where(Delivery.automation_id == automation.id, _unsent())
    return db.session.scalar(query) or 0


def _unsent() -> ColumnElement[bool]:
    return or_(Delivery.state == "waiting", (Delivery.state == "sending") & Delivery.handed_at.is_(None))


def settle_uncertain(automation_id: UUID, said: str) -> int:
    """Do what a person says of mails that have perhaps been sent: "again" or "sent". How many; raises AutomationRefused."""
    automation = _locked(automation_id)
    if said == "again" and not automation.is_on:
        raise AutomationRefused(
            "The automation is off, so nothing of it is sent again. Nothing was changed. Switch it on first, or count them "
            "as sent.",
            cause="switched_off",
        )
    count = requeue_uncertain(automation.id) if said == "again" else accept_uncertain(automation.id)
    if count:
        record(events.DELIVERY_DECLARED, automation, said=said, count=count)
        hand_over(automation.account_id)
    return count


def _locked(automation_id: UUID) -> Automation:
    automation = find(Automation, automation_id, lock=True)
    db.session.refresh(automation)
    return automation
