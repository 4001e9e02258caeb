"""What the columns of an uploaded file mean. Pure: a guess from the headings, and what speaks against a choice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from portal.contacts.details import ContactDetails, split_addresses

LEFT_OUT = ""
TARGETS = {
    LEFT_OUT: "Leave out",
    "first_name": "First name",
    "last_name": "Last name",
    "name": "Full name",
    "email": "Primary address",
    "alternate": "Alternate address",
    "phone": "Phone",
    "notes": "Notes",
}
ALIASES = {
    "first_name": "first firstname givenname forename vorname prenom nombre",
    "last_name": "last lastname surname familyname nachname nom apellido apellidos",
    "name": "name fullname contact contactname patient patientname client clientname displayname",
    "email": "email emailaddress mail mailaddress primaryemail primaryaddress emailprimary email1 emailadresse correo",
    "alternate": "alternate alternateemail alternateaddress otheremail secondaryemail email2 email3 secondemail",
    "phone": "phone phonenumber mobile mobilephone cell cellphone telephone tel telefon telefono",
    "notes": "notes note comment comments remarks bemerkung",
}
TARGET_OF = {alias: target for target, aliases in ALIASES.items() for alias in aliases.split()}
IDS = frozenset(
    "id uuid guid accountid account contactid recordid tenantid locationid ownerid userid createdby createdbyid".split()
)
SINGLE = ("first_name", "last_name", "name", "email", "phone", "notes")


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.casefold())


def is_id_column(heading: str) -> bool:
    """Whether a column names records or accounts. Those are the portal's to give and are never read from a file."""
    return _plain(heading) in IDS


def has_heading(first: Sequence[str]) -> bool:
    """Whether the first row holds names of columns: no address in it, and at least one name that is known."""
    return not any("@" in cell for cell in first) and any(_plain(cell) in TARGET_OF or _plain(cell) in IDS for cell in first)


def guess_columns(first: Sequence[str], heading: bool) -> list[str]:
    """A target for each column; of two columns for one target the first has it, so that a person decides."""
    if not heading:
        email = next((place for place, cell in enumerate(first) if "@" in cell), None)
        return ["email" if place == email else LEFT_OUT for place in range(len(first))]
    found: list[str] = []
    for cell in first:
        target = TARGET_OF.get(_plain(cell), LEFT_OUT)
        found.append(LEFT_OUT if target in SINGLE and target in found else target)
    return found


def repeated_headings(first: Sequence[str]) -> list[str]:
    """Headings that stand more than once, as written the first time."""
    seen: dict[str, list[str]] = {}
    for cell in first:
        if cell.strip():
            seen.setdefault(cell.strip().casefold(), []).append(cell.strip())
    return [cells[0] for cells in seen.values() if len(cells) > 1]


def problem_of(columns: Sequence[str], first: Sequence[str], heading: bool) -> str:
    """Why a file cannot be imported with these columns; "" when it can."""
    if any(target not in TARGETS for target in columns) or len(columns) != len(first):
        return "Choose for each column what it holds."
    for target in SINGLE:
        if columns.count(target) > 1:
            return f"Two columns are set to “{TARGETS[target]}”. Choose one of them."
    if any(target and heading and is_id_column(cell) for target, cell in zip(columns, first, strict=True)):
        return "A column of ids cannot be imported: the portal gives ids itself. Leave it out."
    if "name" in columns and ("first_name" in columns or "last_name" in columns):
        return "“Full name” and “First name” or “Last name” cannot both be chosen."
    if not {"email", "name", "first_name", "last_name"} & set(columns):
        return "Choose at least the column with the primary address or the name."
    return ""


def details_of(cells: Sequence[str], columns: Sequence[str]) -> ContactDetails:
    """One row as a contact. Cells behind the last column are nobody's."""
    values: dict[str, str] = {}
    alternates: list[str] = []
    for target, cell in zip(columns, cells, strict=False):
        if target == "alternate":
            alternates += split_addresses(cell)
        elif target:
            values[target] = cell
    if "name" in values:
        values["first_name"], values["last_name"] = split_name(values.pop("name"))
    return ContactDetails.clean(alternates=alternates, **values)


def split_name(text: str) -> tuple[str, str]:
    """First and last name of "Jonah Whitfield" or "Whitfield, Jonah"."""
    if "," in text:
        last, _, first = text.partition(",")
        return first.strip(), last.strip()
    first, _, last = text.strip().partition(" ")
    return first, last.strip()
