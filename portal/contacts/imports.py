"""An import of contacts from a CSV file: uploaded, looked at, then handed to the job that runs it.

The file waits sealed in the import's row and is dropped when the import is done. Nothing is written before a person has
seen what would be. Past mail is never brought in by an import (G-12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from portal import queues
from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.contacts import columns as choice
from portal.contacts.colleagues import Likeness
from portal.contacts.import_rows import FIELD_LABELS, Row, judge_rows, read_rows
from portal.database import db
from portal.errors import DomainError
from portal.lib.csv import CsvProblem, Line, Sheet, read_sheet, write_rows
from portal.lib.ids import new_id
from portal.lib.sniff import OCTETS, content_type, danger, display_name
from portal.models import Account, ContactImport
from portal.sealing import envelope, place

MAX_BYTES, MAX_ROWS, MAX_COLUMNS, MAX_CELL = 5 * 1024 * 1024, 20_000, 50, 10_000
MAX_ERRORS, MAX_RISKY, PREVIEW_ROWS = 2_000, 200, 20
KIND = "contact_import.content"
TEXT_TYPES = ("text/csv", "text/plain", OCTETS)  # OCTETS: text with stray bytes; reading says where


class ImportRefused(DomainError):
    """The file cannot be imported. Nothing was stored or written."""

    status = 400
    title = "The file was not imported"


def upload(account: Account, user_id: UUID, data: bytes, name: str) -> ContactImport:
    """Take a file and judge it with a guess of its columns. Raises ImportRefused naming the row of the first fault."""
    sheet = _read(data)
    first = sheet.lines[0].cells
    heading = choice.has_heading(first)
    found = ContactImport(
        id=new_id(), account_id=account.id, user_id=user_id, file_name=display_name(name)[:200], state="preview",
        mapping={"encoding": sheet.encoding, "delimiter": sheet.delimiter, "attempts": 0},
    )  # fmt: skip
    found.content = envelope().seal(data, place(KIND, account.id, found.id))
    db.session.add(found)
    set_columns(found, account, choice.guess_columns(first, heading), heading, sheet)
    db.session.flush()
    return found


def _read(data: bytes) -> Sheet:
    if len(data) > MAX_BYTES:
        raise ImportRefused(
            "The file is over 5 MB. Split it and upload the parts one after the other. Nothing was stored.",
            cause="too_large",
        )
    if content_type(data, "import.csv") not in TEXT_TYPES or danger(data, "import.csv") == "dangerous":
        raise ImportRefused(
            "This is not a CSV file, whatever its name says. In your spreadsheet choose “Save as”, then “CSV UTF-8”. "
            "Nothing was stored.",
            cause="not_csv",
        )  # fmt: skip
    try:
        sheet = read_lines(data)
    except CsvProblem as problem:
        where = f"Row {problem.row:,} " if problem.row else ""
        raise ImportRefused(f"{where}{problem.message} Nothing was stored.", cause="unreadable") from None
    if not sheet.lines:
        raise ImportRefused("The file has no rows. Nothing was stored.", cause="empty")
    return sheet


def read_lines(data: bytes, first: int | None = None) -> Sheet:
    """The rows of a file within the limits of an import. Raises CsvProblem."""
    return read_sheet(data, max_rows=MAX_ROWS + 1, max_columns=MAX_COLUMNS, max_cell=MAX_CELL, first=first)


def content_of(found: ContactImport) -> bytes:
    """The uploaded file. Raises SealError when it does not open here, or was dropped."""
    return open_content(found.content or b"", found.account_id, found.id)


def open_content(sealed: bytes, account_id: UUID, import_id: UUID) -> bytes:
    """A sealed file, for code that holds no transaction open. Raises SealError."""
    return envelope().open(sealed, place(KIND, account_id, import_id))


def set_columns(
    found: ContactImport, account: Account, columns: Sequence[str], heading: bool, sheet: Sheet | None = None
) -> None:
    """Choose what the columns hold, and judge all rows anew. A choice that cannot be is kept with its problem."""
    sheet = sheet or read_lines(content_of(found))
    first = sheet.lines[0].cells
    problem = choice.problem_of(columns, first, heading)
    lines = sheet.lines[heading:]
    found.mapping = found.mapping | {"columns": list(columns), "heading": heading, "problem": problem}
    found.total = len(lines)
    if problem:
        found.errors = []
        found.mapping = found.mapping | {"counts": {}, "risky": []}
        return
    rows = judge_rows(read_rows(lines, columns), account)
    note_errors(found, rows)
    counts = Counter(row.status for row in rows)
    risky = [[row.number, row.details.name, row.likeness.value] for row in rows if row.likeness]
    found.mapping = found.mapping | {
        "counts": {**counts, "risk": len(risky)},
        "risky": risky[:MAX_RISKY],
    }


def note_errors(found: ContactImport, rows: Sequence[Row]) -> None:
    """Keep which rows are wrong and why, up to a bound."""
    found.errors = [
        {"row": row.number, "column": FIELD_LABELS.get(row.field, ""), "message": row.message}
        for row in rows
        if row.status == "error"
    ][:MAX_ERRORS]


@dataclass(frozen=True)
class Preview:
    """The first rows as they would be written, and the columns with their headings and first values."""

    columns: list[dict[str, Any]]
    rows: list[Row]
    repeated: list[str]
    ids: list[str]


def preview(found: ContactImport, account: Account) -> Preview:
    """What a person looks at before running an import."""
    heading, columns = found.mapping["heading"], found.mapping["columns"]
    lines = read_lines(content_of(found), first=PREVIEW_ROWS + heading).lines
    first, body = lines[0].cells, lines[heading:]
    return Preview(
        columns=[_column(place, first, body, heading, target) for place, target in enumerate(columns)],
        rows=[] if found.mapping["problem"] else judge_rows(read_rows(body, columns), account),
        repeated=choice.repeated_headings(first) if heading else [],
        ids=[cell for cell in first if choice.is_id_column(cell)] if heading else [],
    )


def _column(place: int, first: Sequence[str], body: Sequence[Line], heading: bool, target: str) -> dict[str, Any]:
    values = [line.cells[place] for line in body if place < len(line.cells) and line.cells[place].strip()]
    name = first[place].strip() if heading and place < len(first) else ""
    return {
        "place": place,
        "name": name or f"Column {place + 1}",
        "sample": values[0][:60] if values else "",
        "target": target,
        "is_id": heading and choice.is_id_column(name),
    }


def change_columns(import_id: UUID, account: Account, columns: Sequence[str], heading: bool) -> ContactImport:
    """Set the columns of an import that still waits; one that was started meanwhile stays as it is."""
    found = find(ContactImport, import_id, own=True, lock=True)
    if found.state == "preview":
        set_columns(found, account, columns, heading)
    return found


def start(import_id: UUID, *, leave_out_colleagues: bool) -> ContactImport:
    """Hand an import to the job. A second press changes nothing. Raises ImportRefused while the columns cannot be."""
    found = find(ContactImport, import_id, own=True, lock=True)
    db.session.refresh(found)
    if found.state != "preview":
        return found
    if found.mapping["problem"]:
        raise ImportRefused(f"{found.mapping['problem']} Nothing was imported.", cause="columns")
    found.state = "queued"
    found.mapping = found.mapping | {"leave_out_colleagues": leave_out_colleagues}
    record(events.CONTACTS_IMPORT_STARTED, found, rows=found.total)
    queues.enqueue("contacts.run_import", found.id, once=f"import-{found.id}")
    return found


def drop(import_id: UUID) -> None:
    """Forget an import that was not started, with its file; a started one goes on."""
    found = find(ContactImport, import_id, own=True, lock=True)
    db.session.refresh(found)
    if found.state == "preview":
        found.state, found.content, found.errors = "dropped", None, []
        found.mapping = {}
        record(events.CONTACTS_IMPORT_DROPPED, found)


def errors_file(found: ContactImport) -> bytes:
    """The row errors as a CSV file that is safe to open in a spreadsheet."""
    record(events.IMPORT_ERRORS_TAKEN, found, rows=len(found.errors))
    rows = [(error["row"], error["column"], error["message"]) for error in found.errors]
    return write_rows([("Row", "Column", "Problem"), *rows])


def likeness_words(value: str) -> str:
    """Why a row is flagged, for the list of flagged rows."""
    return {
        Likeness.CRM_USER.value: "has a login here",
        Likeness.OWN_DOMAIN.value: "is at the practice’s own domain",
    }.get(value, "")
