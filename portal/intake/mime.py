"""A mail's bytes, divided into parts: in linear time, bounded, without recursion, and never raising (SMT-5).

Python's own parser recurses on parts in parts and takes seconds for a hundred thousand header fields. The parts have the
shape that `providers.parts` reads.
"""

from __future__ import annotations

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, a2b_qp, a2b_uu
from email.message import Message
from email.utils import collapse_rfc2231_value

from portal.lib.mailboxes import decode_bytes
from portal.providers.parts import MAX_DEPTH, MAX_PARTS, WHOLE, Part

MAX_HEAD_BYTES, MAX_FIELDS = 512 * 1024, 2_000  # of one part; what lies beyond is not read
MAX_VALUE = 200_000  # characters of one field
MAX_PARAMETERS = 8_192  # characters of a Content-Type or Content-Disposition that are read
MAX_BOUNDARY = 200  # RFC 2046 allows 70
HEAD_END = re.compile(rb"\r?\n\r?\n")
FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:[ \t]*(.*)", re.DOTALL)
FOLD = re.compile(rb"\r?\n(?![ \t])")
TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")

Fields = list[tuple[str, str]]


def divide(raw: bytes, defects: set[str]) -> Part:
    """The tree of a mail's parts. What had to be repaired is added to `defects`: headers_cut, too_many_parts, boundary,
    base64, uuencode, encoding."""
    root = _part(raw, defects)
    waiting, count = [(root, 0)], 1
    while waiting:
        part, depth = waiting.pop()
        body = part["body"].get("bytes", b"")
        boundary = _boundary(part)
        if not boundary:
            if part["mimeType"].startswith("multipart/"):
                defects.add("boundary")
            _decode(part, defects)
            continue
        pieces = _pieces(body, boundary, MAX_PARTS - count + 1)
        if not pieces:
            defects.add("boundary")
            continue
        if depth >= MAX_DEPTH or len(pieces) > MAX_PARTS - count:
            defects.add("too_many_parts")
            pieces = pieces[: MAX_PARTS - count] if depth < MAX_DEPTH else []
        count += len(pieces)
        part["parts"] = [_part(piece, defects) for piece in pieces]
        part["body"] = {"size": 0}
        waiting += [(child, depth + 1) for child in part["parts"]]
    return root


def fields_in(part: Part) -> Fields:
    """A part's header fields in their order."""
    return [(entry["name"], entry["value"]) for entry in part["headers"]]


def read_fields(head: bytes, defects: set[str]) -> Fields:
    """The fields of a header block, unfolded; lines that are none are left out."""
    if len(head) > MAX_HEAD_BYTES:
        head = head[:MAX_HEAD_BYTES]
        defects.add("headers_cut")
    found: Fields = []
    for line in FOLD.split(head):
        match = FIELD.match(line)
        if match is None:
            continue
        if len(found) >= MAX_FIELDS:
            defects.add("headers_cut")
            break
        value = re.sub(rb"\r?\n", b"", match[2]).strip()
        found.append((match[1].decode("ascii"), _text(value[:MAX_VALUE])))
    return found


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() else decode_bytes(value, "utf-8")[0]


def _part(raw: bytes, defects: set[str]) -> Part:
    """A part with its still encoded body under "bytes"."""
    if raw.startswith((b"\r\n", b"\n")):  # no header at all
        head, body = b"", raw[2 if raw.startswith(b"\r") else 1 :]
    elif end := HEAD_END.search(raw):
        head, body = raw[: end.start()], raw[end.end() :]
    else:
        head, body = raw, b""
    fields = read_fields(head, defects)
    content_type, disposition = _field(fields, "content-type"), _field(fields, "content-disposition")
    mime = content_type.partition(";")[0].strip().lower()
    return {
        "mimeType": mime if TYPE.fullmatch(mime) else "text/plain",
        "filename": _parameter(disposition, "filename") or _parameter(content_type, "name"),
        "headers": [{"name": name, "value": value} for name, value in fields],
        "body": {"size": len(body), "bytes": body},
    }


def _field(fields: Fields, name: str) -> str:
    return next((value for key, value in fields if key.lower() == name), "")


def _parameter(value: str, name: str) -> str:
    """A parameter of a structured field, joined and decoded as RFC 2231 says; "" for none and for one that is nonsense."""
    if not value:
        return ""
    message = Message()
    try:
        message["Content-Type"] = value[:MAX_PARAMETERS]
        found = message.get_param(name)
        return "" if found is None else str(collapse_rfc2231_value(found))  # type: ignore[arg-type]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def _boundary(part: Part) -> bytes:
    """The mark between the parts of a multipart; empty for what is none or has none that may be."""
    if not part["mimeType"].startswith("multipart/"):
        return b""
    content_type = next((e["value"] for e in part["headers"] if e["name"].lower() == "content-type"), "")
    found = _parameter(content_type, "boundary").rstrip()
    return found.encode("utf-8", "replace") if len(found) <= MAX_BOUNDARY else b""


def _pieces(body: bytes, boundary: bytes, most: int) -> list[bytes]:
    """What stands between the marks, at most so many pieces. A last piece without its closing mark counts too."""
    mark = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|$)")
    pieces: list[bytes] = []
    start = -1
    for match in mark.finditer(body):
        if start >= 0:
            pieces.append(body[start : match.start()])
        start = _after_line(body, match.end())
        if match[1] or len(pieces) >= most:
            return pieces
    return [*pieces, body[start:]] if start >= 0 else pieces


def _after_line(body: bytes, position: int) -> int:
    for end in (b"\r\n", b"\n"):
        if body.startswith(end, position):
            return position + len(end)
    return position


def _decode(part: Part, defects: set[str]) -> None:
    """Undo the transfer encoding of a leaf. A mail inside a mail stays as it is: it is kept as a file."""
    encoding = next((e["value"] for e in part["headers"] if e["name"].lower() == "content-transfer-encoding"), "")
    encoding, body = encoding.strip().lower()[:40], part["body"]["bytes"]
    if encoding == "base64" and not (part["mimeType"] == WHOLE and body.lstrip()[:1].isupper() and b":" in body[:200]):
        body = _from_base64(body, defects)
    elif encoding == "quoted-printable":
        body = a2b_qp(body)
    elif encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
        body = _from_uuencode(body, defects)
    elif encoding not in ("", "7bit", "8bit", "binary"):
        defects.add("encoding")
    part["body"] = {"size": len(body), "bytes": body}


def _from_base64(body: bytes, defects: set[str]) -> bytes:
    """Strictly, else what can be read up to a last group that is not whole."""
    packed = b"".join(body.split())
    try:
        return a2b_base64(packed, strict_mode=True) if packed else b""
    except (BinasciiError, ValueError):
        defects.add("base64")
    packed = NOT_BASE64.sub(b"", packed)
    return a2b_base64(packed[: len(packed) - len(packed) % 4])


def _from_uuencode(body: bytes, defects: set[str]) -> bytes:
    """The lines that can be read."""
    found: list[bytes] = []
    for line in body.splitlines():
        if line.startswith((b"begin ", b"end")) or not line:
            continue
        try:
            found.append(a2b_uu(line))
        except (BinasciiError, ValueError):
            defects.add("uuencode")
    return b"".join(found)
