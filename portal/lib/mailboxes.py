"""Read address headers (From, To, CC) in linear time and without guessing.

Python's own parser takes seconds for large headers, recurses on comments and can be talked into another address; this
one takes an address from the angle part only, refuses what is contradictory, and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

MAX_HEADER_CHARS = 100_000
MAX_COMMENT_DEPTH = 20
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Marks that turn the reading direction or cannot be seen, and halves of characters: shown as a sign, never obeyed.
DECEIVING = re.compile("[\u200b\u2060\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
STRUCTURE = re.compile(r'["()\\:;]')  # what makes a comma or an angle mean something else
QUOTED, BRACKET = re.compile(r'"[^"]*"'), re.compile(r"[\[\]]")
SPECIAL = re.compile(r'["()<>\[\]\\]')
PLAIN = re.compile(r"[^\s\"(),:;<>\[\]\\@]+@[^\s\"(),:;<>\[\]\\@]+")
CHARSETS = frozenset(
    "utf-8 utf8 us-ascii ascii iso-8859-1 iso-8859-2 iso-8859-9 iso-8859-15 latin-1 latin1 windows-1250 windows-1251 "
    "windows-1252 cp1252 koi8-r gb2312 gbk gb18030 big5 shift_jis euc-jp iso-2022-jp euc-kr utf-16 utf-16le utf-16be".split()
)


@dataclass(frozen=True)
class Mailbox:
    """A name and the address as written, not yet judged."""

    name: str
    address: str


@dataclass(frozen=True)
class Mailboxes:
    """The mailboxes of a header. `is_sound` is false when some part of it could not be read beyond doubt, `is_broken` true
    when it is longer, deeper or less balanced than any header may be, so that the rest of it was not read."""

    found: tuple[Mailbox, ...]
    is_sound: bool
    is_broken: bool = False


def parse_mailboxes(values: Iterable[str]) -> Mailboxes:
    """Read all values of one header. Parts that cannot be read are left out and make it unsound."""
    found: list[Mailbox] = []
    is_sound, is_broken = True, False
    for value in values:
        if len(value) > MAX_HEADER_CHARS:
            return Mailboxes((), False, True)
        for item in _items(value) if STRUCTURE.search(value) else value.split(","):
            mailbox = _usual(item) or _mailbox(item) if item is not None else None
            if mailbox is not None:
                found.append(mailbox)
            elif item is None or item.strip():
                is_sound, is_broken = False, is_broken or item is None
    return Mailboxes(tuple(found), is_sound, is_broken)


def _usual(item: str) -> Mailbox | None:
    """One address with at most a simple name, as nearly all are; None for everything else."""
    item = item.strip()
    name, angle, rest = item.partition("<")
    address = rest[:-1] if angle and rest.endswith(">") else name if not angle else ""
    if not PLAIN.fullmatch(address) or (angle and SPECIAL.search(name := _unquoted(name.strip()))):
        return None
    return Mailbox(decode_words(name) if angle and name else "", address)


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name


def _items(value: str) -> Iterator[str | None]:
    """The comma-separated parts without comments and group names; None for a part that is out of balance."""
    item: list[str] = []
    depth, in_quote, in_angle, groups, escaped = 0, False, False, 0, False
    for char in value:
        if escaped:
            escaped = False
            if not depth:
                item.append(char)
        elif char == "\\" and (in_quote or depth):
            escaped = True
        elif in_quote:
            in_quote = char != '"'
            item.append(char)
        elif char == "(":
            depth += 1
            if depth > MAX_COMMENT_DEPTH:
                yield None
                return
        elif char == ")":
            if not depth:
                yield None
                return
            depth -= 1
        elif depth:
            continue
        elif char == '"':
            in_quote = True
            item.append(char)
        elif char in "<>":
            in_angle = char == "<"
            item.append(char)
        elif char == ":" and not in_angle:
            groups += 1
            if groups > 1:
                yield None
                return
            item = []
        elif char in ",;" and not in_angle:
            groups = 0 if char == ";" else groups
            yield "".join(item)
            item = []
        else:
            item.append(char)
    yield None if in_quote or depth or in_angle else "".join(item)


def _mailbox(item: str) -> Mailbox | None:
    """One part: `name <address>` or a bare address."""
    item = item.strip()
    if not item:
        return None
    if "<" not in item:
        return Mailbox("", item) if "@" in item and not re.search(r'[\s>"\]]', item) else None
    name, _, rest = item.partition("<")
    address, closing, tail = rest.partition(">")
    if not closing or tail.strip() or "<" in address or _has_brackets(name):
        return None
    return Mailbox(decode_words(name.strip().strip('"')), address.strip())


def _has_brackets(name: str) -> bool:
    """Whether a name has brackets outside quotes: then it is half of some other address."""
    return ("[" in name or "]" in name) and BRACKET.search(QUOTED.sub("", name)) is not None


def decode_words(value: str) -> str:
    """A header's text with its encoded words decoded, on one line. Unknown charsets are replaced, never raised.

    Control characters become blanks; marks that would turn or hide what stands there become a visible sign.
    """
    value = CONTROL.sub(" ", value).strip()
    if "=?" in value and len(value) <= MAX_HEADER_CHARS:
        value = CONTROL.sub(" ", _decoded(value)).strip()
    return value if value.isascii() else DECEIVING.sub("\ufffd", value)


def _decoded(value: str) -> str:
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError, LookupError):
        return value
    return "".join(part if isinstance(part, str) else decode_bytes(part, charset or "ascii")[0] for part, charset in parts)


def is_known_charset(name: str) -> bool:
    """Whether text in this charset is read as claimed: only charsets of mail are, for others do more than text."""
    return _normal(name) in CHARSETS or _normal(name).replace("-", "_") in CHARSETS


def decode_bytes(data: bytes, charset: str) -> tuple[str, bool]:
    """Text of bytes in a claimed charset, and whether the claim held."""
    name = _normal(charset)
    known = name if is_known_charset(charset) else ""
    for candidate in (known, "utf-8"):
        if candidate:
            try:
                return data.decode(candidate), candidate == known
            except (UnicodeDecodeError, LookupError):
                continue
    return data.decode("windows-1252" if not known else "utf-8", "replace"), False


def _normal(charset: str) -> str:
    return charset.strip().strip("\"'").lower().replace("_", "-")
