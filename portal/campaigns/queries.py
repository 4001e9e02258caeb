"""The list of campaigns, one campaign, its recipients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, or_, select, tuple_
from sqlalchemy.orm import defer, joinedload

from portal.database import db
from portal.lib.csv import write_rows
from portal.models import Account, Campaign, Connection, Contact, Delivery
from portal.rules.bulk import BulkSender, Progress
from portal.sending.deliveries import progress_of
from portal.sending.delivery_letters import bulk_sender, practice_address
from portal.sending.relays import is_waiting, relay_of

PAGE, PEOPLE_PAGE = 25, 50
MAX_SEARCH, MAX_WORDS = 200, 8
FILTERS = {
    "all": "All", "draft": "Drafts", "running": "Running", "paused": "Paused", "done": "Done", "stopped": "Stopped",
}  # fmt: skip
SORTS = {"newest": "Newest first", "name": "Name"}
STATES = {"preparing": "running"}  # of a campaign to the status vocabulary, where they differ
DELIVERY_STATES = {"failed": "not_sent", "unknown": "unsure"}
PEOPLE_FILTERS = {
    "all": "All", "sent": "Sent", "failed": "Not sent", "unknown": "Perhaps sent", "waiting": "Waiting",
    "skipped": "Skipped",
}  # fmt: skip


@dataclass(frozen=True)
class CampaignRow:
    """One line of the list."""

    campaign: Campaign
    progress: Progress

    @property
    def status(self) -> str:
        return STATES.get(self.campaign.state, self.campaign.state)


@dataclass(frozen=True)
class CampaignPage:
    """A page of the list. `counts` are what the search finds, by filter; `after` asks for the next page."""

    rows: list[CampaignRow]
    counts: dict[str, int]
    after: UUID | None
    total: int


def campaign_page(
    account_id: UUID, *, search: str = "", show: str = "all", sort: str = "newest", after: UUID | None = None
) -> CampaignPage:
    """Campaigns of an account whose names hold all words of `search`, by state."""
    found = [Campaign.account_id == account_id, *_words(search, func.lower(Campaign.name))]
    query = select(Campaign).where(*found, *_states(show)).options(joinedload(Campaign.user))
    query = query.options(defer(Campaign.subject), defer(Campaign.text), defer(Campaign.html))
    campaigns = list(db.session.scalars(_sorted(query, sort, _edge(account_id, after)).limit(PAGE + 1)))
    progress = progress_of(row.id for row in campaigns[:PAGE])
    counts = _counts(found)
    return CampaignPage(
        rows=[CampaignRow(row, progress[row.id]) for row in campaigns[:PAGE]],
        counts=counts,
        after=campaigns[PAGE - 1].id if len(campaigns) > PAGE else None,
        total=db.session.scalar(select(func.count()).where(Campaign.account_id == account_id)) or 0,
    )


def _states(show: str) -> list[ColumnElement[bool]]:
    if show not in FILTERS or show == "all":
        return []
    return [Campaign.state.in_(("running", "preparing") if show == "running" else (show,))]


def _words(text: str, *columns: SQLColumnExpression[str]) -> list[ColumnElement[bool]]:
    """Words that must each stand in one of the columns; signs of LIKE mean themselves."""
    words = text.replace("\0", "")[:MAX_SEARCH].casefold().split()[:MAX_WORDS]
    return [or_(*(column.contains(word, autoescape=True) for column in columns)) for word in words]


def _counts(found: list[ColumnElement[bool]]) -> dict[str, int]:
    query = select(Campaign.state, func.count()).where(*found).group_by(Campaign.state)
    by_state: dict[str, int] = {}
    for state, count in db.session.execute(query):
        key = STATES.get(state, state)
        by_state[key] = by_state.get(key, 0) + count
    return {"all": sum(by_state.values())} | {key: by_state.get(key, 0) for key in FILTERS if key != "all"}


def _edge(account_id: UUID, after: UUID | None) -> Campaign | None:
    edge = db.session.get(Campaign, after) if after else None
    return edge if edge is not None and edge.account_id == account_id else None


def _sorted(query: Select[Any], sort: str, edge: Campaign | None) -> Select[Any]:
    if sort == "name":
        place = tuple_(func.lower(Campaign.name), Campaign.id)
        if edge is not None:
            query = query.where(place > tuple_(edge.name.lower(), edge.id))
        return query.order_by(func.lower(Campaign.name), Campaign.id)
    if edge is not None:
        query = query.where(tuple_(Campaign.created_at, Campaign.id) < tuple_(edge.created_at, edge.id))
    return query.order_by(Campaign.created_at.desc(), Campaign.id.desc())


@dataclass(frozen=True)
class Way:
    """How bulk mail of an account leaves. `trouble` says why it waits now, "" while all is well."""

    sender: BulkSender | None  # None while the account has no mail server that works
    trouble: str = ""
    retry_at: datetime | None = None


def way_of(campaign: Campaign, account: Account) -> Way:
    """The sender of a campaign as it would leave now (O-07), and how the mail server is."""
    connection = db.session.get(Connection, campaign.connection_id) if campaign.connection_id else None
    return way_by(account, campaign, connection)


def way_by(account: Account, campaign: Campaign, connection: Connection | None) -> Way:
    """As `way_of`, for a campaign that is not written yet."""
    relay = relay_of(account.id)
    if relay is None:
        return Way(None)
    sender = bulk_sender(campaign, connection, practice_address(relay, account))
    return Way(sender, relay.trouble, relay.retry_at if is_waiting(relay) else None)


@dataclass(frozen=True)
class RecipientRow:
    """One person of a campaign and what became of their mail."""

    delivery: Delivery
    contact_name: str

    @property
    def status(self) -> str:
        return DELIVERY_STATES.get(self.delivery.state, self.delivery.state)


@dataclass(frozen=True)
class RecipientPage:
    """A page of the recipients; `counts` by filter, `after` asks for the next page."""

    rows: list[RecipientRow]
    counts: dict[str, int]
    after: UUID | None


def recipient_page(
    campaign: Campaign, progress: Progress, *, search: str = "", show: str = "all", after: UUID | None = None
) -> RecipientPage:
    """The recipients of a campaign in the order in which they are sent to, by state, name and address."""
    query = select(Delivery).join(Contact, Contact.id == Delivery.contact_id)
    query = query.where(Delivery.campaign_id == campaign.id, *_delivery_states(show))
    query = query.where(*_words(search, Contact.name_key, Delivery.email_key))
    if after is not None:
        query = query.where(Delivery.id > after)
    query = query.options(joinedload(Delivery.contact)).order_by(Delivery.id).limit(PEOPLE_PAGE + 1)
    found = list(db.session.scalars(query))
    return RecipientPage(
        rows=[RecipientRow(row, row.contact.name) for row in found[:PEOPLE_PAGE]],
        counts={
            "all": progress.total, "sent": progress.sent, "failed": progress.failed, "unknown": progress.unknown,
            "waiting": progress.left, "skipped": progress.skipped,
        },
        after=found[PEOPLE_PAGE - 1].id if len(found) > PEOPLE_PAGE else None,
    )  # fmt: skip


def _delivery_states(show: str) -> list[ColumnElement[bool]]:
    if show not in PEOPLE_FILTERS or show == "all":
        return []
    return [Delivery.state.in_(("waiting", "sending") if show == "waiting" else (show,))]


def recipients_file(campaign: Campaign, words: dict[str, str]) -> tuple[bytes, int]:
    """The recipients as a CSV file that is safe to open in a spreadsheet, and how many; `words` names the states."""
    query = (
        select(Contact.first_name, Contact.last_name, Delivery.email, Delivery.state, Delivery.sent_at, Delivery.error)
        .join(Contact, Contact.id == Delivery.contact_id)
        .where(Delivery.campaign_id == campaign.id)
        .order_by(Delivery.id)
    )
    rows = list(_lines(db.session.execute(query), words))
    return write_rows([("First name", "Last name", "Address", "State", "Sent (UTC)", "Why"), *rows]), len(rows)


def _lines(found: Any, words: dict[str, str]) -> Iterator[tuple[object, ...]]:
    for first, last, email, state, sent_at, error in found:
        moment = sent_at.strftime("%Y-%m-%d %H:%M:%S") if sent_at else ""
        yield first, last, email, words.get(state, state), moment, error


def failures_of(campaign_id: UUID) -> list[tuple[str, int]]:
    """Why mails of a campaign were not sent, with their counts, the most frequent first."""
    count = func.count()
    query = select(Delivery.error, count).where(Delivery.campaign_id == campaign_id, Delivery.state == "failed")
    query = query.group_by(Delivery.error).order_by(count.desc(), Delivery.error).limit(10)
    return [(error, number) for error, number in db.session.execute(query)]
