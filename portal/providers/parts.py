"""The parts of a mail: its text and HTML, its files, and what had to be repaired. Bounded, never recursive.

A part has the shape that Gmail's API gives it (mimeType, filename, headers, body, parts). Graph's mails and those that came
as bytes are brought into it, with a body's decoded bytes under "bytes" in place of base64 under "data".
"""

from __future__ import annotations

import mimetypes
import re
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Any

from portal.lib.mailboxes import decode_bytes, decode_words, is_known_charset
from portal.lib.sniff import display_name
from portal.providers.types import RemoteFile

CHARSET = re.compile(r"charset\s*=\s*\"?([^\";]+)", re.IGNORECASE)
NOT_BASE64 = re.compile(r"[^A-Za-z0-9_-]+")
MAX_DEPTH, MAX_PARTS, MAX_FILES = 30, 500, 200
MAX_TEXT_BYTES = 2 * 1024 * 1024  # of a mail's text, and of its HTML; what is longer is cut and said so
BODIES = ("text/plain", "text/html")
WHOLE = "message/rfc822"  # a mail inside a mail is a file: its text is somebody else's
# Kinds of parts that often come without a name, called what people know them as.
NAMES = {
    WHOLE: "message.eml", "text/calendar": "invitation.ics", "application/ics": "invitation.ics",
    "application/ms-tnef": "winmail.dat", "application/vnd.ms-tnef": "winmail.dat",
    "application/pkcs7-mime": "smime.p7m", "application/x-pkcs7-mime": "smime.p7m",
    "application/pkcs7-signature": "smime.p7s", "application/x-pkcs7-signature": "smime.p7s",
    "application/pgp-signature": "signature.asc", "application/pgp-encrypted": "version.asc",
    "application/octet-stream": "attachment", "text/x-amp-html": "amp version.txt", "text/plain": "text.txt",
    "text/html": "text.html", "message/delivery-status": "delivery status.txt", "image/jpeg": "picture.jpg",
}  # fmt: skip

Part = dict[str, Any]


class PartReader:
    """Walks a payload and collects text, HTML, files and defects."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._html: list[str] = []
        self.files: list[RemoteFile] = []
        self.defects: set[str] = set()

    @property
    def text(self) -> str:
        """The plain text of all parts read so far, cut at the limit."""
        return self._joined(self._text, "\n\n")

    @property
    def html(self) -> str:
        """The HTML of all parts read so far, cut at the limit."""
        return self._joined(self._html, "\n")

    def _joined(self, pieces: list[str], between: str) -> str:
        text = pieces[0] if len(pieces) == 1 else between.join(pieces)
        if len(text) > MAX_TEXT_BYTES:
            self.defects.add("text_cut")
        return text[:MAX_TEXT_BYTES]

    def read(self, payload: Part) -> None:
        """Take in everything below `payload`."""
        for part, mime in leaves(payload, self.defects):
            if is_body(part, mime):
                self._add_body(part, mime)
            else:
                self._add_file(part, mime)

    def _add_body(self, part: Part, mime: str) -> None:
        body = part.get("body") or {}
        if "data" not in body and body.get("attachmentId"):  # too large to read along
            self.defects.add("text_as_file")
            self._add_file(part, mime)
            return
        text = self._decoded(part, body)
        if text:
            (self._html if mime == "text/html" else self._text).append(text)

    def _decoded(self, part: Part, body: Part) -> str:
        """Gmail hands out text as UTF-8 whatever the part's header claims; a claim counts only where it is not that."""
        data = self._bytes(body)
        if len(data) > MAX_TEXT_BYTES:
            data = data[:MAX_TEXT_BYTES]
            self.defects.add("text_cut")
        if data.isascii():
            text = data.decode("ascii")
        else:
            text = self._foreign(data, field_of(part, "content-type"))
        return text.replace("\x00", "\ufffd") if "\x00" in text else text

    def _foreign(self, data: bytes, content_type: str) -> str:
        match = CHARSET.search(content_type[:1000])
        claimed = match.group(1) if match else ""
        if claimed and not is_known_charset(claimed):
            self.defects.add("charset")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if error.start > len(data) - 4 and "text_cut" in self.defects:
                return data[: error.start].decode()
        text, held = decode_bytes(data, claimed)
        if not held:
            self.defects.add("charset")
        return text

    def _bytes(self, body: Part) -> bytes:
        if "bytes" in body:
            found: bytes = body["bytes"]
            return found
        try:
            return decode_base64(str(body.get("data") or ""))
        except ValueError:
            self.defects.add("base64")
            return salvage_base64(str(body.get("data")))

    def _add_file(self, part: Part, mime: str) -> None:
        body = part.get("body") or {}
        data = self._bytes(body) if "data" in body or "bytes" in body else None
        remote_id = str(body.get("attachmentId") or "")
        if data is None and not remote_id and not part.get("filename"):
            return  # an empty part
        if len(self.files) >= MAX_FILES:
            self.defects.add("too_many_files")
            return
        self.files.append(
            RemoteFile(
                name=_name(str(part.get("filename") or ""), mime),
                claimed_type=mime[:100],
                size=int(body.get("size") or len(data or b"")),
                data=data if data is not None or remote_id else b"",
                remote_id=remote_id,
                content_id=field_of(part, "content-id").strip("<> ")[:300],
            )
        )


def leaves(payload: Part, defects: set[str]) -> Iterator[tuple[Part, str]]:
    """The parts without parts, in order, each with its media type in lower case."""
    stack, count = [(payload, 0)], 0
    while stack:
        part, depth = stack.pop()
        count += 1
        if count > MAX_PARTS or depth > MAX_DEPTH:
            defects.add("too_many_parts")
            continue
        mime = str(part.get("mimeType") or "text/plain").lower()
        children = part.get("parts") if mime != WHOLE else None
        if children:
            stack.extend((child, depth + 1) for child in reversed(children[: MAX_PARTS + 1]))
        else:
            yield part, mime


def is_body(part: Part, mime: str) -> bool:
    """Whether a leaf is the mail's own text. A multipart that could not be divided is read as text, too."""
    if part.get("filename") or not (mime in BODIES or mime.startswith("multipart/")):
        return False
    return not field_of(part, "content-disposition").lower().lstrip().startswith("attachment")


def field_of(part: Part, name: str) -> str:
    """A header field of a part, by lower-case name; "" when it has none."""
    for entry in part.get("headers") or ():
        if str(entry.get("name")).lower() == name:
            return str(entry.get("value") or "")
    return ""


def _name(written: str, mime: str) -> str:
    """The name to show: what the sender wrote, made safe, or a name for the kind of file."""
    if written.strip():
        return display_name(decode_words(written[:8192]))
    return NAMES.get(mime) or "attachment" + (mimetypes.guess_extension(mime, strict=True) or "")


def decode_base64(data: str) -> bytes:
    """base64url as Gmail writes it, padded or not. Raises ValueError."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return a2b_base64(data + "=" * (-len(data) % 4))


def salvage_base64(data: str) -> bytes:
    """What can be read of damaged base64url: everything up to a last group that is not whole."""
    text = NOT_BASE64.sub("", data)
    return decode_base64(text[: len(text) - len(text) % 4])
