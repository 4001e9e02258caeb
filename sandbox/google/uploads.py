"""The upload endpoints: media, multipart and resumable (https://developers.google.com/workspace/gmail/api/guides/uploads)."""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any

import orjson

from sandbox.google import errors
from sandbox.google.sending import MAX_RAW
from sandbox.http import Request, Response

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.I)
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
Upload = tuple[dict[str, Any], bytes]


@dataclass
class _Session:
    fields: dict[str, Any]
    data: bytearray = field(default_factory=bytearray)


def split_multipart(body: bytes, content_type: str) -> list[tuple[dict[str, str], bytes]]:
    """Parts of a MIME multipart body as (headers with lower-case names, content). Raises ApiError without a boundary."""
    match = _BOUNDARY.search(content_type)
    if not match:
        raise errors.fail(400, "Missing boundary", "badRequest")
    mark = b"--" + match.group(1).encode()
    parts = []
    for piece in (b"\n" + body).split(b"\n" + mark)[1:]:
        if piece.startswith(b"--"):
            break
        piece = piece.split(b"\n", 1)[1] if b"\n" in piece else b""
        head, separator, content = piece.partition(b"\r\n\r\n")
        if not separator:
            head, _, content = piece.partition(b"\n\n")
        if piece.startswith((b"\r\n", b"\n")):
            head, content = b"", piece.lstrip(b"\r\n")
        headers = {}
        for line in head.decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        parts.append((headers, content.removesuffix(b"\r")))
    return parts


def _fields(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data) if data.strip() else {}
    except orjson.JSONDecodeError:
        raise errors.fail(400, "Invalid JSON payload received.", "parseError") from None
    return value if isinstance(value, dict) else {}


class Uploads:
    """Takes the mail out of an upload; keeps the sessions of resumable ones."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def receive(self, request: Request) -> Upload | Response:
        """(Message fields, mail) when the upload is complete, else the answer that asks for more. Raises ApiError."""
        kind = request.first("uploadType") or request.first("upload_protocol") or "media"
        if request.first("upload_id"):
            return self._chunk(request)
        if int(request.headers.get("content-length") or 0) > MAX_RAW * 1.05:
            raise errors.fail(413, "Request Entity Too Large", "uploadTooLarge")
        if kind == "resumable":
            return self._begin(request)
        if kind == "multipart":
            parts = split_multipart(request.body, request.headers.get("content-type", ""))
            if len(parts) != 2:
                raise errors.fail(400, "Multipart upload needs a metadata part and a media part.", "badRequest")
            return _fields(parts[0][1]), self._checked(parts[1][1], parts[1][0].get("content-type", ""))
        return {}, self._checked(request.body, request.headers.get("content-type", ""))

    def _checked(self, raw: bytes, content_type: str) -> bytes:
        if not content_type.lower().startswith("message/"):
            message = f"Media type '{content_type}' is not supported. Valid media types: [message/*]"
            raise errors.fail(400, message, "badContent")
        if len(raw) > MAX_RAW:
            raise errors.fail(413, "Request Entity Too Large", "uploadTooLarge")
        return raw

    def _begin(self, request: Request) -> Response:
        session = secrets.token_urlsafe(24)
        with self._lock:
            self._sessions[session] = _Session(_fields(request.body))
        host = request.headers.get("host")
        base = f"http://{host}" if host else self._base_url
        location = f"{base}{request.path}?uploadType=resumable&upload_id={session}"
        return Response(200, b"", [("Location", location), ("X-GUploader-UploadID", session)])

    def _chunk(self, request: Request) -> Upload | Response:
        session = self._sessions.get(request.first("upload_id"))
        if session is None:
            raise errors.not_found()
        match = _RANGE.fullmatch(request.headers.get("content-range", ""))
        total = len(request.body) if match is None or match.group(3) == "*" else int(match.group(3))
        if total > MAX_RAW:
            raise errors.fail(413, "Request Entity Too Large", "uploadTooLarge")
        with self._lock:
            at = int(match.group(1)) if match and match.group(1) else len(session.data)
            if at <= len(session.data) and request.body:
                session.data[at:] = request.body
            if len(session.data) >= total > 0:
                del self._sessions[request.first("upload_id")]
                return session.fields, bytes(session.data)
        reached = [("Range", f"bytes=0-{len(session.data) - 1}")] if session.data else []
        return Response(308, b"", reached)
