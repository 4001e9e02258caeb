"""The header block of a mail, byte for byte: read, drop and add fields without touching the rest."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header

_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:")
_FOLD = re.compile(r"\r?\n[ \t]*")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_ENCODED = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=(?:[ \t\r\n]+=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)*")
_SPECIAL = re.compile(r'[@,;:<>()\[\]\\"]')
ADDRESS_FIELDS = frozenset({"from", "to", "cc", "bcc", "reply-to", "sender"})


def normalise_line_ends(raw: bytes) -> bytes:
    """CRLF line ends, as mail has on the wire. Mail that already has CRLF stays as it is."""
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")


def body_offset(raw: bytes) -> int:
    """Where the body begins: behind the first empty line, or at the end when there is none."""
    if raw.startswith(b"\r\n"):
        return 2
    at = raw.find(b"\r\n\r\n")
    return len(raw) if at < 0 else at + 4


def raw_fields(raw: bytes) -> list[tuple[str, bytes]]:
    """Header fields in order as (name, whole field with its folds and line end). Broken lines join the one before."""
    fields: list[tuple[str, bytes]] = []
    for line in raw[: body_offset(raw)].splitlines(keepends=True):
        if line in (b"\r\n", b"\n"):
            break
        match = _FIELD.match(line) if line[:1] not in b" \t" else None
        if match:
            fields.append((match.group(1).decode("ascii"), line))
        elif fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
    return fields


def wire_headers(raw: bytes) -> list[tuple[str, str]]:
    """Header fields as (name, unfolded value). Bytes beyond ASCII are read as UTF-8, else Latin-1."""
    pairs = []
    for name, field in raw_fields(raw):
        value = field.partition(b":")[2]
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        pairs.append((name, _FOLD.sub(" ", text).strip()))
    return pairs


def values_of(headers: list[tuple[str, str]], name: str) -> list[str]:
    """All values of the field `name`, whatever its case."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]


def first_of(headers: list[tuple[str, str]], name: str) -> str:
    """First value of the field `name`, or an empty string."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), "")


def message_ids(value: str) -> list[str]:
    """All `<...>` tokens of a References, In-Reply-To or Message-ID value."""
    return _MESSAGE_ID.findall(value)


def _decode_words(match: re.Match[str], quote: bool) -> str:
    try:
        text = "".join(
            part.decode(charset or "ascii", "replace") if isinstance(part, bytes) else part
            for part, charset in decode_header(match.group(0))
        )
    except (LookupError, ValueError, HeaderParseError):
        return match.group(0)
    if quote and _SPECIAL.search(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def decode_value(name: str, value: str) -> str:
    """`value` as Gmail's JSON shows it: encoded words decoded, a display name quoted again where it needs it."""
    if "=?" not in value:
        return value
    quote = name.lower() in ADDRESS_FIELDS
    return _ENCODED.sub(lambda match: _decode_words(match, quote), value)


def without_fields(raw: bytes, *names: str) -> bytes:
    """`raw` without the named fields."""
    unwanted = {name.lower() for name in names}
    fields = raw_fields(raw)
    if not any(name.lower() in unwanted for name, _ in fields):
        return raw
    kept = b"".join(field for name, field in fields if name.lower() not in unwanted)
    return kept + b"\r\n" + raw[body_offset(raw) :]


def with_fields(raw: bytes, fields: list[tuple[str, str]]) -> bytes:
    """`raw` with `fields` put in front of its header block."""
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode("utf-8") + raw


def replaced_field(raw: bytes, name: str, value: str) -> bytes:
    """`raw` with exactly one field `name`, in the place of the first old one or else in front."""
    wanted, placed, parts = name.lower(), False, []
    new = f"{name}: {value}\r\n".encode()
    for key, field in raw_fields(raw):
        if key.lower() != wanted:
            parts.append(field)
        elif not placed:
            parts.append(new)
            placed = True
    if not placed:
        parts.insert(0, new)
    return b"".join(parts) + b"\r\n" + raw[body_offset(raw) :]


def encoded_name(name: str) -> str:
    """A display name that is safe in a header."""
    plain = " ".join(decode_value("From", name).split())
    return '"' + plain.replace("\\", "").replace('"', "'") + '"'
