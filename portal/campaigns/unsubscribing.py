"""Who wants no campaigns of an account, said by the link that each campaign mail carries (RFC 8058, RFC 2369).

The link's token is the authority: 130 random bits that stand in one mail to one person. What is kept is the address, so
that it outlives the contact's record and holds for whoever is saved with it later.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.errors import NotFound
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Account, Delivery, Unsubscribe

TOKEN = re.compile(r"[a-z2-7]{26}")  # as lib.ids.new_token makes it


class UnknownLink(NotFound):
    """No campaign mail has this link; said to somebody who has no login here and only wants no more mail."""

    title = "This link is not known here"

    def __init__(self) -> None:
        super().__init__("unknown_link")
        self.message = (
            "Nothing was changed. Perhaps the link was cut: press it in the mail itself, or answer the mail and say that "
            "you want no more."
        )


class Standing(NamedTuple):
    """What a link is about, and how it stands: whose campaigns, to which address, unsubscribed since when."""

    practice: str
    location: str
    masked: str
    since: datetime | None


def unsubscribed_keys(account_id: UUID) -> Select[str]:
    """The matching keys of the addresses that want no campaigns of an account, as a query."""
    return select(Unsubscribe.email_key).where(Unsubscribe.account_id == account_id)


def unsubscribed_since(account_id: UUID, email_key: str) -> datetime | None:
    """Since when an address wants no campaigns of an account; None when it gets them."""
    query = select(Unsubscribe.created_at).where(Unsubscribe.account_id == account_id, Unsubscribe.email_key == email_key)
    return db.session.scalar(query)


def standing_of(token: str) -> Standing:
    """How the link with this token stands; changes nothing. Raises NotFound alike for every token that is no link's."""
    delivery = _delivery_of(token)
    account = db.session.get_one(Account, delivery.account_id)
    since = unsubscribed_since(delivery.account_id, delivery.email_key)
    return Standing(account.name, account.location, mask(delivery.email), since)


def unsubscribe(token: str, source: str) -> None:
    """Send no more campaigns of the account to the address; a second time changes nothing.

    `source` is "one_click" (a mail program's own button) or "page". Raises NotFound as `standing_of`.
    """
    delivery = _delivery_of(token)
    values = {
        "id": new_id(), "created_at": now(), "account_id": delivery.account_id, "email_key": delivery.email_key,
        "delivery_id": delivery.id, "source": source,
    }  # fmt: skip
    dialect = postgresql if db.session.connection().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(Unsubscribe).values(values).on_conflict_do_nothing().returning(Unsubscribe.id)
    if db.session.connection().execute(insert).all():  # psycopg counts no rows of such a statement
        record(events.UNSUBSCRIBED, delivery, source=source)


def subscribe_again(token: str) -> None:
    """Send campaigns of the account to the address again. Raises NotFound as `standing_of`."""
    delivery = _delivery_of(token)
    mine = (Unsubscribe.account_id == delivery.account_id, Unsubscribe.email_key == delivery.email_key)
    if db.session.connection().execute(delete(Unsubscribe).where(*mine)).rowcount:
        record(events.SUBSCRIBED_AGAIN, delivery, source="page")


def mask(email: str) -> str:
    """An address as its owner knows it again and nobody else learns it: `p•••@m•••.example`."""
    local, _, domain = email.rpartition("@")
    name, dot, rest = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••{dot}{rest}"


def _delivery_of(token: str) -> Delivery:
    """The campaign mail with this token. Workflow mail carries no link, so its token opens nothing."""
    query = select(Delivery).where(Delivery.token == token, Delivery.campaign_id.is_not(None))
    delivery = db.session.scalar(query) if TOKEN.fullmatch(token) else None  # a zero byte would upset PostgreSQL
    if delivery is None:
        raise UnknownLink()
    return delivery
