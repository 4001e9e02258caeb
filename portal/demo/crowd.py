"""Many invented contacts, for campaigns of a real size. The number of one decides its name and its address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from portal.database import db
from portal.lib import clock
from portal.lib.ids import new_id
from portal.models import Account, Contact
from portal.rules.addresses import match_key

DOMAIN = "people.example"  # nobody has a mailbox there
CHUNK = 500
FIRST_NAMES = (
    "Ada", "Amir", "Beatriz", "Chidi", "Clara", "Dana", "Elif", "Emre", "Farah", "Gita", "Hugo", "Ines", "Jamal", "Jun",
    "Kofi", "Lena", "Luca", "Maya", "Mila", "Nadia", "Noah", "Olga", "Pilar", "Quinn", "Rosa", "Sami", "Søren", "Tess",
    "Uma", "Yara", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Baker", "Castro", "Dubois", "Eriksen", "Fontaine", "Garcia", "Hughes", "Ito", "Jansen", "Khan", "Larsen",
    "Müller", "Nguyen", "O'Neill", "Petrov", "Quist", "Rossi", "Santos", "Tanaka", "Usman", "Vega", "Weiss", "Yilmaz",
    "Zhou", "Adler", "Bloom", "Cole", "Duarte",
)  # fmt: skip


def address_of(number: int) -> str:
    """The address of the contact with this number, from 1."""
    return f"guest{number:05d}@{DOMAIN}"


def name_of(number: int) -> tuple[str, str]:
    """First and last name of the contact with this number."""
    return FIRST_NAMES[number % len(FIRST_NAMES)], LAST_NAMES[number % len(LAST_NAMES)]


def make_contacts(slug: str, count: int) -> int:
    """Contacts 1 to `count` of an account, those that it has not yet; how many were made.

    In the caller's transaction. Raises LookupError for an unknown account.
    """
    account_id = db.session.scalar(select(Account.id).where(Account.slug == slug))
    if account_id is None:
        raise LookupError(slug)
    known = set(
        db.session.scalars(
            select(Contact.email_key).where(Contact.account_id == account_id, Contact.email_key.endswith(f"@{DOMAIN}"))
        )
    )
    rows = list(_rows(account_id, count, known))
    for start in range(0, len(rows), CHUNK):
        db.session.execute(insert(Contact), rows[start : start + CHUNK])
    return len(rows)


def _rows(account_id: UUID, count: int, known: set[str]) -> Iterator[dict[str, Any]]:
    at = clock.now()
    for number in range(1, count + 1):
        email = address_of(number)
        if match_key(email) in known:
            continue
        first, last = name_of(number)
        yield {
            "id": new_id(), "created_at": at, "account_id": account_id, "first_name": first, "last_name": last,
            "name_key": f"{last} {first}".casefold(), "email": email, "email_key": match_key(email), "source": "demo",
        }  # fmt: skip
