"""Where a mail's own text ends and the quoted mail below it begins, so that a thread can be read without repeats."""

from __future__ import annotations

import re

MAX_TEXT, MAX_LINES = 400_000, 20_000
WROTE = re.compile(
    r"^\s*(?:On|Am|Le|El|Il|Op|W dniu)\b.{0,300}"
    r"(?:wrote|schrieb|écrit|escribió|scritto|schreef|napisał[a-z()]*)\b.{0,200}:\s*$"
)
ORIGINAL = re.compile(r"^\s*[-_]{3,}\s*(?:Original Message|Ursprüngliche Nachricht|Message d'origine)\s*[-_]{3,}\s*$", re.I)
FIELD = re.compile(r"^\s*\*?(?:From|Sent|Date|To|Cc|Subject|Von|Gesendet|An|Betreff)\s*:\*?\s", re.IGNORECASE)
FROM = re.compile(r"^\s*\*?(?:From|Von)\s*:\*?\s", re.IGNORECASE)


def split_quoted(text: str) -> tuple[str, str]:
    """A mail's own text and what it quotes below; the second is empty when nothing is quoted at its end.

    A forward's text is its own: only what stands at the end behind a known mark counts, and a mail that is nothing but
    quotation is left whole.
    """
    lines = text[:MAX_TEXT].splitlines()
    start = _start(lines) if len(lines) <= MAX_LINES else len(lines)
    own = "\n".join(lines[:start]).rstrip()
    quoted = "\n".join(lines[start:]).strip()
    return (own, quoted) if own and quoted else (text.strip(), "")


def _start(lines: list[str]) -> int:
    """The index of the first line of the quotation; the number of lines when there is none."""
    first, last = _trailing_quotes(lines), _last_quote(lines)
    for index, line in enumerate(lines):
        if ORIGINAL.match(line) or _is_field_block(lines, index):
            return index
        if not WROTE.match(line) and not (index + 1 < len(lines) and WROTE.match(f"{line} {lines[index + 1]}")):
            continue
        if _only_quotes(lines, index + 1, first) or last < index:
            return index
    return first


def _is_field_block(lines: list[str], index: int) -> bool:
    """Outlook's head of a quoted mail: From and at least two more fields, behind an empty line or a rule."""
    if not FROM.match(lines[index]) or (index and lines[index - 1].strip(" _-")):
        return False
    return sum(1 for line in lines[index + 1 : index + 6] if FIELD.match(line)) >= 2


def _only_quotes(lines: list[str], index: int, first: int) -> bool:
    """Whether nothing but quoted and empty lines follows, the introduction's second line aside. `first` is where the
    quoted lines at the end of the text begin."""
    at = _next_filled(lines, index)
    if at < len(lines) and not _is_quote(lines[at]):
        at = _next_filled(lines, at + 1)
    return first <= at < len(lines)


def _next_filled(lines: list[str], index: int) -> int:
    while index < len(lines) and not lines[index].strip():
        index += 1
    return index


def _is_quote(line: str) -> bool:
    return line.lstrip().startswith(">")


def _last_quote(lines: list[str]) -> int:
    """The index of the last quoted line; -1 when there is none."""
    return next((index for index in range(len(lines) - 1, -1, -1) if _is_quote(lines[index])), -1)


def _trailing_quotes(lines: list[str]) -> int:
    end = len(lines)
    while end and (not lines[end - 1].strip() or _is_quote(lines[end - 1])):
        end -= 1
    return end if any(line.strip() for line in lines[end:]) else len(lines)
