"""Gmail's batch envelope: many GETs in one request, multipart/mixed both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable

from portal.lib.http import Answer

BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
ITEM = re.compile(rb"content-id:\s*<?response-item-(\d+)>?", re.IGNORECASE)
STATUS = re.compile(rb"\s*HTTP/\d(?:\.\d)?\s+(\d{3})")


def build_batch(boundary: str, parts: Iterable[tuple[int, str]]) -> bytes:
    """The body of a batch; each part is (its number, path below users/me)."""
    lines = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <item-{index}>\r\n\r\n"
        f"GET /gmail/v1/users/me/{path}\r\n\r\n"
        for index, path in parts
    ]
    return ("".join(lines) + f"--{boundary}--\r\n").encode("ascii")


def read_batch(answer: Answer) -> dict[int, Answer]:
    """The answers by number. Parts come in any order; one that cannot be read is absent."""
    match = BOUNDARY.search(answer.headers.get("content-type", ""))
    if match is None:
        return {}
    found: dict[int, Answer] = {}
    for part in answer.body.split(b"--" + match.group(1).encode("latin-1"))[1:]:
        head, _, inner = part.partition(b"\r\n\r\n")
        number, status = ITEM.search(head), STATUS.match(inner)
        if number is None or status is None:
            continue
        inner_head, _, body = inner.partition(b"\r\n\r\n")
        code = int(status.group(1))
        found[int(number.group(1))] = Answer(code, {} if code == 200 else _fields(inner_head), body)
    return found


def _fields(head: bytes) -> dict[str, str]:
    """The header fields of one answer inside, by lower-case name."""
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
