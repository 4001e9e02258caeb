"""What a file is, by its bytes; whether its name lies; and a name that is safe to show.

No file is ever opened, unpacked or converted here: a look at the first bytes is all (ATT-4).
"""

from __future__ import annotations

import re
import unicodedata

OCTETS = "application/octet-stream"
HEAD_BYTES = 2048
MAX_NAME = 120
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"MZ", "application/x-msdownload"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xca\xfe\xba\xbe", "application/x-executable"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-executable"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
)
FTYP = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic", b"avif": "image/avif",
        b"qt  ": "video/quicktime", b"M4A ": "audio/mp4"}  # fmt: skip
OFFICE = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
}
OLE = {"doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint",
       "msg": "application/vnd.ms-outlook"}  # fmt: skip
TEXTS = {"csv": "text/csv", "ics": "text/calendar", "vcf": "text/vcard", "eml": "message/rfc822", "json": "application/json",
         "md": "text/markdown"}  # fmt: skip
# An extension that promises a kind of file must be that kind; the first word of each is what the bytes must begin with.
PROMISES: dict[str, tuple[str, ...]] = {
    "jpg": ("image/",), "jpeg": ("image/",), "png": ("image/",), "gif": ("image/",), "webp": ("image/",),
    "heic": ("image/",), "bmp": ("image/",), "tif": ("image/",), "tiff": ("image/",),
    "pdf": ("application/pdf",), "zip": ("application/zip",), "rar": ("application/vnd.rar",),
    "7z": ("application/x-7z",), "gz": ("application/gzip",),
    "mp4": ("video/", "audio/"), "mov": ("video/",), "mpeg": ("video/", "audio/"), "mpg": ("video/",),
    "mp3": ("audio/",), "wav": ("audio/",), "rtf": ("application/rtf",),
    "doc": ("application/msword", "application/rtf", "application/zip"), "xls": ("application/vnd.ms-excel",),
    **{name: (kind,) for name, kind in OFFICE.items()},
    "txt": ("text/", "message/", "application/json"), "csv": ("text/",), "ics": ("text/",), "vcf": ("text/",),
}  # fmt: skip
RUNNABLE = frozenset(
    "ade adp app appx apk bat chm cmd com cpl dll dmg docm dotm ex_ exe hta iso img inf ins isp jar js jse lib lnk mde msc"
    " msi msix msp mst nsh pif potm ppam ppsm pptm ps1 ps2 psc1 reg scr sct sh shb sys vb vbe vbs vhd vxd wsc wsf wsh xlam"
    " xlsm xltm xll".split()
)
RUNNABLE_TYPES = ("application/x-msdownload", "application/x-executable", "application/x-ms-shortcut")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
MARKUP = re.compile(
    rb"\s*+(?:<!--(?:(?!-->).)*+-->\s*+)*+<(!doctype\s+html|html|head|body|script|svg|\?xml|iframe|img|table|a\s)",
    re.I | re.S,
)  # possessive, so that a file of comments costs no more than its length


def content_type(data: bytes, name: str) -> str:
    """The media type of `data`. The name only chooses among kinds that look alike (a .docx is a ZIP)."""
    head = data[:HEAD_BYTES]
    ending = extension(name)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return OFFICE.get(ending, "application/zip")
    if head[4:8] == b"ftyp":
        return FTYP.get(head[8:12], "video/mp4")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 text announces itself
        return TEXTS.get(ending, "text/plain")
    if kind := _signed_type(head):
        return OLE.get(ending, kind) if kind == "application/x-ole-storage" else kind
    if ending == "pdf" and b"%PDF-" in head[:1024]:  # readers allow some bytes before it
        return "application/pdf"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/mpeg"
    return _text_type(head, ending)


def _signed_type(head: bytes) -> str:
    for offset, magic, kind in SIGNATURES:
        if head[offset : offset + len(magic)] != magic or (offset and not head.startswith(b"RIFF")):
            continue
        if len(magic) > 3 or not magic.isalnum() or b"\0" in head:  # a text may begin with "BM" or "MZ"
            return kind
    return ""


def _text_type(head: bytes, ending: str) -> str:
    if match := MARKUP.match(head.removeprefix(b"\xef\xbb\xbf")):
        word = match[1].lower()
        if word == b"svg" or (word == b"?xml" and b"<svg" in head.lower()):
            return "image/svg+xml"
        return "text/xml" if word == b"?xml" else "text/html"
    if b"\0" in head:
        return OCTETS
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 and any(byte < 9 or 13 < byte < 32 for byte in head):
            return OCTETS
    return TEXTS.get(ending, "text/plain")


def danger(data: bytes, name: str) -> str:
    """Why a file must not be kept: "dangerous" (it runs, carries macros, is the test virus), "disguised" (it is not what
    its name says), or "" (ATT-1)."""
    ending = extension(name)
    kind = content_type(data, name)
    if ending in RUNNABLE or kind in RUNNABLE_TYPES or EICAR in data[:4096]:
        return "dangerous"
    promised = PROMISES.get(ending)
    if not data or promised is None:
        return ""
    return "disguised" if kind == "image/svg+xml" or not kind.startswith(promised) else ""


def is_dangerous(data: bytes, name: str) -> bool:
    """Whether a file must not be kept, for whatever reason `danger` names."""
    return bool(danger(data, name))


def extension(name: str) -> str:
    """The last ending of a name in lower case, without the dot; empty when there is none."""
    shown = display_name(name)
    return shown.rpartition(".")[2].lower() if "." in shown else ""


def display_name(name: str) -> str:
    """A name that can be shown and offered for saving: no path, no control or direction marks, at most 120 characters.

    Marks that turn the reading direction or are invisible become a visible sign, so that `invoice\u202efdp.exe` cannot
    look like a PDF (ATT-2).
    """
    text = name[:8192].replace("\0", "").replace("\\", "/").rsplit("/", 1)[-1]
    text = "".join("\ufffd" if unicodedata.category(c) in ("Cf", "Cs", "Co", "Zl", "Zp") else c for c in text)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Zs") else c for c in text)
    text = " ".join(text.split()).strip(". ").removeprefix("C:")
    text = re.sub(r'[<>:"|?*]', "_", text)
    if RESERVED.match(text):
        text = "_" + text
    if len(text) > MAX_NAME:
        stem, dot, ending = text.rpartition(".")
        text = (
            text[:MAX_NAME]
            if not dot or len(ending) > 10
            else stem[: MAX_NAME - len(ending) - 1] + dot + ending
        )
    return text or "attachment"
