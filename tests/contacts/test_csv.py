"""CSV files: what is read, what is refused and where, and what a spreadsheet will not execute."""

from __future__ import annotations

import pytest

from portal.lib.csv import CsvProblem, plain_cell, read_sheet, safe_cell, write_rows

LIMITS = {"max_rows": 100, "max_columns": 5, "max_cell": 200}
TEXT = "Name,Email\r\nZoë Ångström,zoe@mail.example\r\n"


def rows(data: bytes) -> list[tuple[str, ...]]:
    return [line.cells for line in read_sheet(data, **LIMITS).lines]


@pytest.mark.bad_input(62)
@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8"),
        (TEXT.encode("utf-16"), "UTF-16"),
        ("\ufeff".encode("utf-16-be") + TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("latin-1"), "Western (Windows-1252)"),
        (TEXT.encode("latin-1") + b"\x81,x", "Western (Latin-1)"),
    ],
)
def test_encodings_are_found_and_named(data: bytes, encoding: str) -> None:
    sheet = read_sheet(data, **LIMITS)
    assert sheet.lines[1].cells == ("Zoë Ångström", "zoe@mail.example")
    assert sheet.encoding == encoding


@pytest.mark.bad_input(62)
@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        (b"Name\nJonah\nPri\0ya\n", 3, "NUL"),
        (TEXT.encode("utf-16")[2:], 1, "NUL"),
        (b"\xef\xbb\xbfName\nZo\xeb\n", 2, "UTF-8"),
        (TEXT.encode("utf-16") + b"x", 3, "UTF-16"),
    ],
)
def test_what_is_no_text_is_refused_with_its_row(data: bytes, row: int, words: str) -> None:
    with pytest.raises(CsvProblem, match=words) as caught:
        read_sheet(data, **LIMITS)
    assert caught.value.row == row


@pytest.mark.bad_input(62)
def test_mixed_line_endings_and_empty_rows_keep_their_numbers() -> None:
    lines = read_sheet(b"a,b\r1,2\n\n,\r\n3,4\r\n", **LIMITS).lines
    assert [(line.number, line.cells) for line in lines] == [(1, ("a", "b")), (2, ("1", "2")), (5, ("3", "4"))]


@pytest.mark.parametrize(
    ("text", "first", "word"),
    [
        ("a,b\n1,2", ("a", "b"), "comma"),
        ("a;b\n1,5;2", ("a", "b"), "semicolon"),
        ("a\tb\n1,5\t2", ("a", "b"), "tab"),
        ("only\none", ("only",), "comma"),
        ('name;note\nJo;"a, b, c, d"\nPri;"x, y, z, w"', ("name", "note"), "semicolon"),
    ],
)
def test_the_delimiter_is_found(text: str, first: tuple[str, ...], word: str) -> None:
    sheet = read_sheet(text.encode(), **LIMITS)
    assert (sheet.lines[0].cells, sheet.delimiter) == (first, word)


@pytest.mark.bad_input(64)
@pytest.mark.requirement("LIM-2")
@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        (b'a,b\n1,2\n3,"4\n5,6\n', 3, "never closed"),
        (b'a,b\n"x" y,2\n', 2, "after a closing quote"),
        (b"a,b\n" + b"," * 1_000_000 + b"\n", 2, "1,000,001 columns"),
        (b"a\n" * 200, 101, "100 rows"),
        (b"a,b\n1," + b"x" * 201, 2, "200 characters"),
        (b"a,b\n1," + b"x" * 4_000_000, 2, "never closed|200 characters"),
    ],
)
def test_limits_are_named_with_their_row(data: bytes, row: int, words: str) -> None:
    with pytest.raises(CsvProblem, match=words) as caught:
        read_sheet(data, **LIMITS)
    assert caught.value.row == row


@pytest.mark.bad_input(63)
@pytest.mark.requirement("WEB-7")
@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil","x")', "@SUM(1)", "+cmd|' /C calc'!A0", "-1+1", "\tx", "\r=1", "\n=1", "＝1+1", "+1 312 555 0100",
        "'=already quoted", "''@twice",
    ],
)  # fmt: skip
def test_formulas_leave_as_text_and_come_back_as_they_were(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert plain_cell(safe_cell(text)) == text
    assert rows(write_rows([("x", text)])) == [("x", text)]


@pytest.mark.parametrize("text", ["", "O'Brien", "'quoted'", "a=b", "x@mail.example", 'say "hi", please', "two\nlines"])
def test_plain_cells_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text
    assert rows(write_rows([("x", text)])) == [("x", text)]
