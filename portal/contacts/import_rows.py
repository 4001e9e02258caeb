"""Judge the rows of an uploaded file: new, a contact already, wrong, or a colleague. Nothing is written here.

Two steps, because the first takes seconds and needs no database: `read_rows` checks every field, `judge_rows` compares with
the contacts that exist at that moment, under the lock of the account when it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select

from portal.contacts.colleagues import Colleagues, Likeness, colleagues_of
from portal.contacts.columns import details_of
from portal.contacts.details import ContactDetails, problems
from portal.database import db
from portal.lib.csv import Line
from portal.models import Account, Contact

BATCH = 500  # parameters of one query; SQLite and PostgreSQL allow far more
FIELD_LABELS = {
    "first_name": "First name", "last_name": "Last name", "email": "Primary address",
    "alternates": "Alternate address", "phone": "Phone", "notes": "Notes",
}  # fmt: skip

Identity = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One row and what becomes of it: new, duplicate, error. `likeness` warns of colleagues."""

    number: int
    details: ContactDetails
    status: str = "new"
    field: str = ""
    message: str = ""
    likeness: Likeness = Likeness.NONE

    def refuse(self, field: str, message: str) -> Row:
        """The same row, not to be written for this reason."""
        return replace(self, status="error", field=field, message=message)


def read_rows(lines: Sequence[Line], columns: Sequence[str], told: Callable[[int], None] = lambda done: None) -> list[Row]:
    """Rows with their fields checked; `told` hears how many are done, now and then."""
    found: list[Row] = []
    for place, line in enumerate(lines, start=1):
        row = Row(line.number, details_of(line.cells, columns))
        if wrong := problems(row.details):
            field, message = next(iter(wrong.items()))
            row = row.refuse(field, _with_value(getattr(row.details, field), message))
        found.append(row)
        if place % BATCH == 0:
            told(place)
    return found


def _with_value(value: object, message: str) -> str:
    text = value if isinstance(value, str) else ""
    return f"“{' '.join(text.split())[:60]}”: {message}" if text.strip() else message


def judge_rows(rows: Sequence[Row], account: Account) -> list[Row]:
    """The same rows, compared with the account's contacts, its people, and each other; the first of two equal rows wins."""
    good = [row for row in rows if row.status == "new"]
    seen = _known_identities(account, good)
    primaries = {row.details.email_key for row in good} - {""}
    primaries |= _known_primaries(account.id, {key for row in good for key in row.details.alternate_keys})
    colleagues = colleagues_of(account.id)
    judged: list[Row] = []
    for row in rows:
        if row.status == "new":
            row = _judge(row, account, seen, primaries, colleagues)
        judged.append(row)
    return judged


def _judge(row: Row, account: Account, seen: set[Identity], primaries: set[str], colleagues: Colleagues) -> Row:
    identity = _identity(row.details, account.allow_duplicate_contacts)
    if identity in seen:
        return replace(row, status="duplicate", message="Already a contact here, or earlier in this file.")
    taken = next((key for key in row.details.alternate_keys if key in primaries), "")
    if taken and not account.allow_duplicate_contacts:  # G-08: mail with it is filed under the other
        return row.refuse("alternates", f"“{taken}” is the primary address of another contact.")
    seen.add(identity)
    return replace(row, likeness=colleagues.closest((row.details.email_key, *row.details.alternate_keys)))


def _identity(details: ContactDetails, with_name: bool) -> Identity:
    """What makes two rows the same contact: the address; with the name where duplicates are allowed; else name and phone."""
    if not details.email_key:
        return "", details.name_key, details.phone
    return (details.email_key, details.name_key) if with_name else (details.email_key,)


def _known_identities(account: Account, rows: Sequence[Row]) -> set[Identity]:
    with_name = account.allow_duplicate_contacts
    columns = select(Contact.email_key, Contact.name_key, Contact.phone).where(Contact.account_id == account.id)
    found: set[Identity] = set()
    for keys in _chunks(row.details.email_key for row in rows):
        for email_key, name_key, _ in db.session.execute(columns.where(Contact.email_key.in_(keys))):
            found.add((email_key, name_key) if with_name else (email_key,))
    for names in _chunks(row.details.name_key for row in rows if not row.details.email_key):
        query = columns.where(Contact.email_key == "", Contact.name_key.in_(names))
        found.update(("", name_key, phone) for _, name_key, phone in db.session.execute(query))
    return found


def _known_primaries(account_id: UUID, keys: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for chunk in _chunks(keys):
        query = select(Contact.email_key).where(Contact.account_id == account_id, Contact.email_key.in_(chunk))
        found.update(db.session.scalars(query))
    return found


def _chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    wanted = sorted(set(values) - {""})
    return (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
