"""The list of automations, one automation with what became of its mails, and its mail as somebody would get it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import defer, joinedload

from portal.campaigns.queries import PEOPLE_FILTERS, RecipientRow
from portal.database import db
from portal.lib.clock import now
from portal.lib.html import clean_html
from portal.lib.ids import new_id
from portal.models import Account, Automation, Contact, Delivery
from portal.rules.addresses import Address
from portal.rules.bulk import Progress
from portal.rules.templates import sample_values
from portal.rules.workflows import Trigger, delay_in_words
from portal.sending.delivery_letters import Person, open_letter, post_of, practice_address, write_mail
from portal.sending.mime import OutgoingMail
from portal.sending.relays import relay_of

PAGE, HISTORY_PAGE = 25, 50


@dataclass(frozen=True)
class AutomationRow:
    """One line of the list."""

    automation: Automation
    progress: Progress

    @property
    def rule(self) -> str:
        return rule_of(self.automation)


def rule_of(automation: Automation) -> str:
    """When it sends, in words: “A contact is created: at once”."""
    return f"{Trigger(automation.trigger).label}: {delay_in_words(automation.delay_minutes)}"


@dataclass(frozen=True)
class AutomationPage:
    """A page of the list, newest first; `before` asks for the next page."""

    rows: list[AutomationRow]
    before: UUID | None


def automation_page(account_id: UUID, before: UUID | None = None) -> AutomationPage:
    """The automations of an account."""
    query = select(Automation).where(Automation.account_id == account_id)
    edge = db.session.get(Automation, before) if before else None
    if edge is not None and edge.account_id == account_id:
        query = query.where(tuple_(Automation.created_at, Automation.id) < tuple_(edge.created_at, edge.id))
    query = query.options(defer(Automation.subject), defer(Automation.text), defer(Automation.html))
    query = query.order_by(Automation.created_at.desc(), Automation.id.desc()).limit(PAGE + 1)
    found = list(db.session.scalars(query))
    progress = progress_of(row.id for row in found[:PAGE])
    rows = [AutomationRow(row, progress[row.id]) for row in found[:PAGE]]
    return AutomationPage(rows, rows[-1].automation.id if len(found) > PAGE else None)


def progress_of(automation_ids: Iterable[UUID]) -> dict[UUID, Progress]:
    """What became of the mails of each of these automations."""
    counts: dict[UUID, Counter[str]] = {automation_id: Counter() for automation_id in automation_ids}
    query = select(Delivery.automation_id, Delivery.state, func.count()).where(Delivery.automation_id.in_(counts))
    for automation_id, state, count in db.session.execute(query.group_by(Delivery.automation_id, Delivery.state)):
        if automation_id is not None:
            counts[automation_id][state] = count
    return {automation_id: Progress.of(found) for automation_id, found in counts.items()}


@dataclass(frozen=True)
class History:
    """A page of an automation's mails, newest first; `counts` by filter, `before` asks for the next page."""

    rows: list[RecipientRow]
    counts: dict[str, int]
    before: UUID | None


def history_of(automation: Automation, show: str = "all", before: UUID | None = None) -> History:
    """What became of an automation's mails, by state."""
    query = select(Delivery).where(Delivery.automation_id == automation.id)
    if show != "all" and show in PEOPLE_FILTERS:
        query = query.where(Delivery.state.in_(("waiting", "sending") if show == "waiting" else (show,)))
    if before is not None:
        query = query.where(Delivery.id < before)
    query = query.options(joinedload(Delivery.contact)).order_by(Delivery.id.desc()).limit(HISTORY_PAGE + 1)
    found = list(db.session.scalars(query))
    progress = progress_of([automation.id])[automation.id]
    return History(
        rows=[RecipientRow(row, row.contact.name) for row in found[:HISTORY_PAGE]],
        counts={
            "all": progress.total, "sent": progress.sent, "failed": progress.failed, "unknown": progress.unknown,
            "waiting": progress.left, "skipped": progress.skipped,
        },
        before=found[HISTORY_PAGE - 1].id if len(found) > HISTORY_PAGE else None,
    )  # fmt: skip


def preview(automation: Automation, *, has_name: bool) -> OutgoingMail:
    """The mail as a made-up contact gets it, with a name or without; its HTML is harmless."""
    account = db.session.get_one(Account, automation.account_id)
    relay = relay_of(account.id)
    sender = practice_address(relay, account) if relay else Address("", "", account.name)
    names = sample_values() if has_name else {"first_name": "", "last_name": ""}
    person = Person(new_id(), "priya@mail.example", "priya@mail.example", "", names["first_name"], names["last_name"])
    return write_mail(post_of(open_letter(automation), sender, account), person, now())


def preview_html(automation: Automation, *, has_name: bool) -> str:
    """The formatted text of the preview, harmless; "" for plain text only."""
    return clean_html(preview(automation, has_name=has_name).html)


def contact_count(account_id: UUID) -> int:
    """How many contacts are there already: they get nothing from an automation that is switched on now."""
    return db.session.scalar(select(func.count()).select_from(Contact).where(Contact.account_id == account_id)) or 0
