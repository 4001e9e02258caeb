"""Who gets a campaign: contacts by the search and filter of their list, or by their addresses. Judged by rules.bulk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, select

from portal.campaigns.unsubscribing import unsubscribed_keys
from portal.contacts.queries import FILTERS, contacts_found
from portal.database import db
from portal.models import Contact
from portal.rules.bulk import Tally
from portal.rules.sending import parse_people

MAX_LISTED = 5_000  # addresses of a list
MAX_PIECE = 600  # characters of a name and an address
PIECES = re.compile(r"[,;\r\n]+")


class Chosen(NamedTuple):
    """A contact who gets it."""

    id: UUID
    email: str
    email_key: str
    first_name: str
    last_name: str


@dataclass(frozen=True)
class Audience:
    """How the recipients are chosen. `people` are matching keys, where they are listed by address."""

    by: str = "filter"  # filter, list
    search: str = ""
    show: str = "all"
    people: tuple[str, ...] = ()

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Audience:
        """From a campaign's column."""
        return cls(
            by=kept.get("by", "filter"), search=kept.get("q", ""), show=kept.get("show", "all"),
            people=tuple(kept.get("people", ())),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """For a campaign's column."""
        if self.by == "list":
            return {"by": "list", "people": list(self.people)}
        return {"by": "filter", "q": self.search, "show": self.show}

    @property
    def words(self) -> str:
        """How they were chosen, in words."""
        if self.by == "list":
            return "a list of addresses"
        label = "all contacts" if self.show == "all" else f"contacts “{FILTERS.get(self.show, 'All')}”"
        return f"{label} that “{self.search}” finds" if self.search else label


@dataclass(frozen=True)
class Measured:
    """How many get it, and who does not. `unknown` are listed addresses that are no contact's."""

    people: int
    left_out: dict[str, int]
    sentence: str
    unknown: tuple[str, ...] = ()


def read_list(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The matching keys of pasted addresses, each once, and the pieces that are no address."""
    keys: dict[str, None] = {}
    wrong: list[str] = []
    for piece in PIECES.split(text):  # each on its own, since a quote that is never closed would cost the more the longer
        found, other = parse_people(piece[:MAX_PIECE])
        keys.update(dict.fromkeys(address.key for address in found))
        wrong += other
    return tuple(keys), tuple(wrong)


def measure(account_id: UUID, audience: Audience) -> Measured:
    """Judge everybody who is chosen, without writing anything."""
    tally, known = Tally(_unsubscribed(account_id)), set()
    for row in db.session.execute(_ordered(account_id, audience)):
        tally.judge(row.email_key)
        known.add(row.email_key)
    unknown = tuple(key for key in audience.people if key not in known) if audience.by == "list" else ()
    return Measured(tally.people, {why.value: n for why, n in tally.left_out.items()}, tally.sentence, unknown)


def choose(account_id: UUID, audience: Audience) -> tuple[list[Chosen], dict[str, int]]:
    """Everybody who gets it, in the order of the contacts' creation, and how many do not by reason."""
    tally = Tally(_unsubscribed(account_id))
    people = list(_judged(account_id, audience, tally))
    return people, {why.value: count for why, count in tally.left_out.items()}


def choose_one(account_id: UUID, audience: Audience, place: int) -> Chosen | None:
    """The person at a place from 1 on; None behind the last."""
    people = _judged(account_id, audience, Tally(_unsubscribed(account_id)))
    return next((chosen for number, chosen in enumerate(people, 1) if number == place), None)


def _judged(account_id: UUID, audience: Audience, tally: Tally) -> Iterator[Chosen]:
    for row in db.session.execute(_ordered(account_id, audience)):
        if tally.judge(row.email_key) is None:
            yield Chosen(*row)


def _ordered(account_id: UUID, audience: Audience) -> Select[UUID, str, str, str, str]:
    query = select(Contact.id, Contact.email, Contact.email_key, Contact.first_name, Contact.last_name)
    return query.where(_condition(account_id, audience)).order_by(Contact.created_at, Contact.id)


def _condition(account_id: UUID, audience: Audience) -> ColumnElement[bool]:
    if audience.by == "list":
        return and_(Contact.account_id == account_id, Contact.email_key.in_(audience.people))
    return contacts_found(account_id, audience.search, audience.show)


def _unsubscribed(account_id: UUID) -> frozenset[str]:
    return frozenset(db.session.scalars(unsubscribed_keys(account_id)))
