"""CSV files: read what people upload within limits and without guessing wrongly, write what no spreadsheet will execute.

Reading says the row of the first fault, before anything is done with any row. Writing follows RFC 4180 and keeps cells that
a spreadsheet would take for a formula as text (WEB-7); reading takes that mark away again.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
LOOKED_AT_CHARS, LOOKED_AT_ROWS = 20_000, 20
FORMULA = re.compile(r"'*[=+\-@\t\r\n\0＝＋－＠]")  # full-width signs are formulas to some spreadsheets too
QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r\n\0＝＋－＠]")


class CsvProblem(ValueError):
    """The file cannot be read. `row` is the row as a spreadsheet counts it, from 1; 0 when it is the file as a whole."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row, self.message = row, message


@dataclass(frozen=True)
class Line:
    """One row with its number in the file; empty rows are left out but counted."""

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """A file that was read whole. `encoding` and `delimiter` are words to show."""

    lines: list[Line]
    encoding: str
    delimiter: str


def read_sheet(data: bytes, *, max_rows: int, max_columns: int, max_cell: int, first: int | None = None) -> Sheet:
    """Read a file. With `first` only so many rows, and no fault behind them is seen. Raises CsvProblem."""
    text, encoding = decode(data)
    if (position := text.find("\0")) >= 0:
        row = len(text[:position].splitlines()) or 1
        raise CsvProblem(row, "holds NUL characters. Save the file as “CSV UTF-8” and upload it again.")
    delimiter = detect_delimiter(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[Line] = []
    number = 0
    while first is None or len(lines) < first:
        number += 1
        try:
            cells = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            raise CsvProblem(number, _fault(str(error))) from None
        if any(cell.strip() for cell in cells) or len(cells) > max_columns:
            _check_size(number, cells, len(lines), max_rows, max_columns, max_cell)
            lines.append(Line(number, tuple(plain_cell(cell) for cell in cells)))
    return Sheet(lines, encoding, DELIMITERS[delimiter])


def _check_size(number: int, cells: list[str], before: int, max_rows: int, max_columns: int, max_cell: int) -> None:
    if before >= max_rows:
        raise CsvProblem(number, f"is one too many: a file may have {max_rows:,} rows, its heading included.")
    if len(cells) > max_columns:
        raise CsvProblem(number, f"has {len(cells):,} columns; a file may have {max_columns}.")
    if any(len(cell) > max_cell for cell in cells):
        raise CsvProblem(number, f"has a cell of more than {max_cell:,} characters. Is a quote not closed?")


def _fault(error: str) -> str:
    if "unexpected end of data" in error or "field larger" in error:
        return "has a quote that is never closed."
    if "expected after" in error:
        return "has text after a closing quote. A quote inside a cell is written twice."
    return "cannot be read as CSV."


def decode(data: bytes) -> tuple[str, str]:
    """The text and the encoding it was in: UTF-8 or UTF-16 by its mark, else UTF-8 if it is that, else Western."""
    for mark, codec, name in (
        (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8"), (b"\xff\xfe", "utf-16", "UTF-16"), (b"\xfe\xff", "utf-16", "UTF-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            try:
                return data.decode(codec), name
            except UnicodeDecodeError as error:
                row = bytes(error.object[: error.start]).count(b"\n") + 1
                raise CsvProblem(row, f"is not the {name} that the file says it is.") from None
    for codec, name in (("utf-8", "UTF-8"), ("cp1252", "Western (Windows-1252)"), ("latin-1", "Western (Latin-1)")):
        try:
            return data.decode(codec), name
        except UnicodeDecodeError:
            continue
    raise CsvProblem(0, "The file is in an unknown encoding.")  # not reached: Latin-1 reads every byte


def detect_delimiter(text: str) -> str:
    """The sign that splits the first rows into the same number of columns; a comma when none does."""
    return max(DELIMITERS, key=lambda sign: _regularity(text[:LOOKED_AT_CHARS], sign))


def _regularity(text: str, delimiter: str) -> tuple[int, int]:
    """How many of the first rows have the usual number of columns (if more than one), and that number."""
    widths: Counter[int] = Counter()
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                widths[len(row)] += 1
            if widths.total() == LOOKED_AT_ROWS:
                break
    except csv.Error:
        return 0, 0
    width, rows = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
    return (rows, width) if width > 1 else (0, 1)


def safe_cell(text: str) -> str:
    """The text with a leading quote when a spreadsheet would otherwise take it for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """The text that `safe_cell` was given."""
    return text[1:] if QUOTED_FORMULA.match(text) else text


def write_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file in UTF-8 with its mark, every cell safe to open."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([safe_cell(str(cell)) for cell in row])
    return out.getvalue().encode("utf-8-sig", "replace")
