"""Where a mail's own text ends and the quoted mail below it begins, so that a thread can be read without repeats."""

from __future__ import annotations

import re

MAX_TEXT = 400_000
WROTE = re.compile(
    r"^\s*(?:On|Am|Le|El|Il|Op|W dniu)\b.{0,300}(?:wrote|schrieb|écrit|escribió|scritto|schreef|napisał[a-z()]*)\b.{0,200}:\s*$"
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
    start = _start(lines)
    own = "\n".join(lines[:start]).rstrip()
    quoted = "\n".join(lines[start:]).strip()
    return (own, quoted) if own and quoted else (text.strip(), "")


def _start(lines: list[str]) -> int:
    """The index of the first line of the quotation; the number of lines when there is none."""
    for index, line in enumerate(lines):
        if ORIGINAL.match(line) or _is_field_block(lines, index):
            return index
        if not WROTE.match(line) and not (index + 1 < len(lines) and WROTE.match(f"{line} {lines[index + 1]}")):
            continue
        if _only_quotes(lines, index + 1) or not any(rest.lstrip().startswith(">") for rest in lines[index:]):
            return index
    return _trailing_quotes(lines)


def _is_field_block(lines: list[str], index: int) -> bool:
    """Outlook's head of a quoted mail: From and at least two more fields, behind an empty line or a rule."""
    if not FROM.match(lines[index]) or (index and lines[index - 1].strip(" _-")):
        return False
    return sum(1 for line in lines[index + 1 : index + 6] if FIELD.match(line)) >= 2


def _only_quotes(lines: list[str], index: int) -> bool:
    """Whether nothing but quoted and empty lines follows, the introduction's second line aside."""
    rest = [line for line in lines[index:] if line.strip()]
    if rest and not rest[0].lstrip().startswith(">"):
        rest = rest[1:]
    return bool(rest) and all(line.lstrip().startswith(">") for line in rest)


def _trailing_quotes(lines: list[str]) -> int:
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith(">")):
        end -= 1
    return end if any(line.strip() for line in lines[end:]) else len(lines)
