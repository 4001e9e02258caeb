"""Write the mails of a campaign fast: the library parses, folds and encodes each header anew, which costs most of a mail.

Headers come out as `build_mime` writes them, byte for byte: those of plain words are themselves, the others are folded by
the library, once for all mails that have the same. The texts are encoded in C, so that soft line breaks fall elsewhere.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from binascii import b2a_qp
from email.headerregistry import Address
from functools import lru_cache
from secrets import token_hex

from portal.sending.mime import DOCUMENT, LITERAL_FIELDS, POLICY, OutgoingMail, build_mime, head_fields

WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
PERSON = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)* <[\w+-]+(?:\.[\w+-]+)*@[a-z0-9-]+(?:\.[a-z0-9-]+)*>", re.ASCII)
LINE = 78  # characters, without the line break
VERSION = b"MIME-Version: 1.0\r\n"
ALTERNATIVE = 'Content-Type: multipart/alternative;\r\n boundary="{}"\r\n\r\n'


def write_mime(mail: OutgoingMail) -> bytes:
    """The message that `build_mime` makes, with its head. Raises ValueError on a header with a line break (NET-3).

    A mail with more than two texts is left to the library.
    """
    if mail.files or mail.pictures:
        return build_mime(mail)
    head = b"".join(_field(name, value) for name, value in head_fields(mail)) + VERSION
    text = _part("plain", mail.text.replace("\r\n", "\n").rstrip("\n"))
    if not mail.html:
        return head + text
    page = _part("html", DOCUMENT.format(mail.html))
    boundary = f"=_{token_hex(16)}"  # in neither text: nobody can know it before
    mark = f"--{boundary}".encode()
    kind = ALTERNATIVE.format(boundary).encode()
    return b"".join((head, kind, mark, b"\r\n", text, b"\r\n", mark, b"\r\n", page, b"\r\n", mark, b"--\r\n"))


def _field(name: str, value: str | list[Address]) -> bytes:
    """One header with its line break."""
    pattern, text = (WORDS, value) if isinstance(value, str) else (PERSON, ", ".join(map(str, value)))
    line = f"{name}: {text}"
    fits = len(line) <= LINE or (name.lower() in LITERAL_FIELDS and " " not in text)
    is_plain = fits and pattern.fullmatch(text) and "=?" not in text
    return f"{line}\r\n".encode("ascii") if is_plain else _folded(name, text)


@lru_cache(maxsize=64)
def _folded(name: str, value: str) -> bytes:
    """The library's way. Raises ValueError on a line break."""
    return POLICY.fold_binary(*POLICY.header_store_parse(name, value))


def _part(subtype: str, text: str) -> bytes:
    """A text with the fields that describe it: as it stands where it is ASCII in short lines, else in the shorter coding."""
    lines = text.encode().splitlines() or [b""]
    data = b"\r\n".join(lines) + b"\r\n"
    if data.isascii() and max(map(len, lines)) <= LINE:
        coding = "7bit"
    else:
        quoted, packed = b2a_qp(data, istext=True), encodebytes(data).replace(b"\n", b"\r\n")
        coding, data = ("quoted-printable", quoted) if len(quoted) <= len(packed) else ("base64", packed)
    fields = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {coding}\r\n\r\n'
    return fields.encode("ascii") + data
