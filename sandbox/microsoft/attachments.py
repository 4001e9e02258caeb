"""Attachments of a message: list, read, add to a draft, and upload sessions for large ones.

https://learn.microsoft.com/graph/outlook-large-attachments
"""

from __future__ import annotations

import base64
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.http import ApiError, Request, Response, json_response
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.content import File, content_of
from sandbox.microsoft.drafting import Draft
from sandbox.microsoft.messages import iso
from sandbox.mime import part_data
from sandbox.state import World

MAX_SMALL = 3 * 1024 * 1024  # a file in one request must be smaller
MAX_LARGE = 150 * 1024 * 1024
MAX_PIECE = 4 * 1024 * 1024
SESSION_SECONDS = 24 * 3600
SELECTABLE = (
    "id lastModifiedDateTime name contentType size isInline contentId contentLocation contentBytes item".lower().split()
)  # fmt: skip
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def _resource(message: StoredMessage, file: File, with_bytes: bool) -> dict[str, Any]:
    is_mail = file.kind == "message/rfc822"
    made: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{'item' if is_mail else 'file'}Attachment",
        "@odata.mediaContentType": file.kind, "id": ids.attachment_id(message, file.part),
        "lastModifiedDateTime": iso(message.internal_date), "name": file.name or ("Message" if is_mail else "noname"),
        "contentType": None if is_mail else file.kind, "size": file.size, "isInline": file.inline,
    }  # fmt: skip
    if not is_mail:
        made |= {"contentId": file.content_id or None, "contentLocation": None}
        if with_bytes:
            made["contentBytes"] = base64.b64encode(_bytes(message, file)).decode()
    return made


def _bytes(message: StoredMessage, file: File) -> bytes:
    found = part_data(message.raw, file.part)
    return found[0] if found else b""


def _chosen(request: Request, made: dict[str, Any]) -> dict[str, Any]:
    wanted = [name.strip().lower() for name in request.first("$select").split(",") if name.strip()]
    for name in wanted:
        if name.rpartition("/")[2] not in SELECTABLE:
            raise errors.bad_query(f"Could not find a property named '{name}' on type 'microsoft.graph.attachment'.")
    names = {name.rpartition("/")[2] for name in wanted} | {"id"}
    return {key: value for key, value in made.items() if not wanted or key.startswith("@") or key.lower() in names}


def list_attachments(message: StoredMessage, request: Request) -> Response:
    """All attachments of a message; without `$select` with their bytes, as Graph does."""
    with_bytes = "contentbytes" in request.first("$select").lower() or not request.first("$select")
    rows = [_chosen(request, _resource(message, file, with_bytes)) for file in content_of(message).files]
    return json_response({"value": rows})


def find_file(message: StoredMessage, text: str) -> File:
    """The attachment of an id. Raises ApiError (404, 400)."""
    part = ids.attachment_part(message, text)
    found = next((file for file in content_of(message).files if file.part == part), None)
    if found is None:
        raise errors.not_found()
    return found


def get_attachment(message: StoredMessage, text: str, request: Request) -> Response:
    """One attachment. Raises ApiError (404)."""
    return json_response(_chosen(request, _resource(message, find_file(message, text), True)))


def get_value(message: StoredMessage, text: str) -> Response:
    """The raw bytes of an attachment; of an attached mail its MIME. Raises ApiError (404)."""
    file = find_file(message, text)
    return Response(200, _bytes(message, file), [("Content-Type", file.kind)])


# adding --------------------------------------------------------------------------------------------------------------


def require_draft(message: StoredMessage) -> None:
    """Refuse to change a mail that is no draft. Raises ApiError (400)."""
    if "DRAFT" not in message.labels:
        raise errors.fail(400, "ErrorInvalidOperation", "The operation can only be performed on a draft message.")


def file_from(values: Any) -> tuple[str, str, bytes, str, bool]:
    """(name, type, bytes, content id, inline) of a fileAttachment in JSON. Raises ApiError (400, 413)."""
    if not isinstance(values, dict) or values.get("@odata.type", "").lstrip("#") != "microsoft.graph.fileAttachment":
        raise errors.fail(400, "ErrorInvalidRequest", "Only fileAttachment can be added here.")
    name = str(values.get("name") or "")
    if not name:
        raise errors.fail(400, "ErrorInvalidRequest", "Required property 'name' is missing.")
    try:
        data = base64.b64decode(str(values.get("contentBytes") or ""), validate=True)
    except ValueError:
        raise errors.fail(400, "RequestBodyRead", "Cannot convert a value to target type 'Edm.Binary'.") from None
    if len(data) >= MAX_SMALL:
        raise errors.fail(413, "ErrorMessageSizeExceeded", "The attachment exceeds the maximum size of one request.")
    kind = str(values.get("contentType") or "application/octet-stream")
    return name, kind, data, str(values.get("contentId") or ""), bool(values.get("isInline"))


def add_files(
    world: World, mailbox: Mailbox, message: StoredMessage, files: list[tuple[str, str, bytes, str, bool]]
) -> list[File]:
    """Put files into a draft; their descriptions. Raises ApiError (400)."""
    with world.lock:
        require_draft(message)
        draft = Draft.of(message)
        draft.files += files
        world.changed(mailbox, message, [mailbox.rewrite(message, draft.bytes())])
        return content_of(message).files[-len(files) :]


def add_attachment(world: World, mailbox: Mailbox, message: StoredMessage, values: Any) -> Response:
    """Add a small file to a draft. Raises ApiError (400, 413)."""
    added = add_files(world, mailbox, message, [file_from(values)])
    return json_response(_resource(message, added[-1], True), 201)


def remove_attachment(world: World, mailbox: Mailbox, message: StoredMessage, text: str) -> Response:
    """Take a file out of a draft. Raises ApiError (400, 404)."""
    with world.lock:
        require_draft(message)
        place = content_of(message).files.index(find_file(message, text))
        draft = Draft.of(message)
        del draft.files[place]
        world.changed(mailbox, message, [mailbox.rewrite(message, draft.bytes())])
    return Response(204)


# upload sessions -----------------------------------------------------------------------------------------------------


@dataclass
class _Session:
    mailbox: Mailbox
    message: StoredMessage
    item: dict[str, Any]
    size: int
    expires: float
    data: bytearray = field(default_factory=bytearray)


class UploadSessions:
    """Sessions of large attachments. Their address is the permission: no Authorization belongs there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def begin(self, mailbox: Mailbox, message: StoredMessage, values: dict[str, Any], request: Request) -> Response:
        """createUploadSession for a file of 3 to 150 MB. Raises ApiError (400)."""
        item = values.get("AttachmentItem") or values.get("attachmentItem")
        if not isinstance(item, dict) or not item.get("name") or str(item.get("attachmentType", "")).lower() != "file":
            raise errors.fail(400, "ErrorInvalidRequest", "AttachmentItem needs attachmentType, name and size.")
        require_draft(message)
        size = int(item.get("size") or 0)
        if size < MAX_SMALL:
            text = "Attachment size must be greater than the minimum size of an upload session."
            raise errors.fail(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", text)
        if size > MAX_LARGE:
            raise errors.fail(400, "ErrorAttachmentSizeLimitExceeded", "Attachment size exceeds the limit.")
        short = self.world.quirks.take("ms_upload_lifetime", mailbox.address)
        expires = self.world.clock.now() + float(short or SESSION_SECONDS)
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[token] = _Session(mailbox, message, item, size, expires)
        url = f"http://{request.headers.get('host', '')}/graph-upload/AttachmentSessions/{token}"
        return json_response({**self._state(self._sessions[token]), "uploadUrl": url}, 201)

    def _state(self, session: _Session) -> dict[str, Any]:
        return {"expirationDateTime": self.world.clock.iso(session.expires), "nextExpectedRanges": [f"{len(session.data)}-"]}

    def owner(self, path: str) -> str:
        """The mailbox of a session's address, or ""."""
        session = self._sessions.get(path.rpartition("/")[2])
        return session.mailbox.address if session else ""

    def answer(self, request: Request) -> Response:
        """A call of a session's address: GET, PUT or DELETE. Raises ApiError."""
        token = request.path.rpartition("/")[2]
        session = self._sessions.get(token)
        if request.headers.get("authorization"):
            raise errors.unauthenticated("The audience claim is not valid for this resource.")
        if session is None or session.expires <= self.world.clock.now():
            raise errors.fail(404, "ErrorItemNotFound", "The upload session was not found or has expired.")
        methods: dict[str, Callable[[str, _Session, Request], Response]] = {
            "GET": lambda _token, found, _request: json_response(self._state(found)),
            "PUT": self._take, "DELETE": self._cancel,
        }  # fmt: skip
        if request.method not in methods:
            raise errors.fail(405, "MethodNotAllowed", "Use PUT, GET or DELETE.")
        return methods[request.method](token, session, request)

    def _cancel(self, token: str, _session: _Session, _request: Request) -> Response:
        with self._lock:
            self._sessions.pop(token, None)
        return Response(204)

    def _take(self, token: str, session: _Session, request: Request) -> Response:
        data = request.body
        with self._lock:
            self._check(session, request.headers.get("content-range", ""), len(data))
            session.data += data
            if len(session.data) < session.size:
                return json_response(self._state(session))
            self._sessions.pop(token, None)
        item = session.item
        kind = str(item.get("contentType") or "application/octet-stream")
        if session.message.id not in session.mailbox.messages:
            raise errors.not_found()
        file = (str(item["name"]), kind, bytes(session.data), str(item.get("contentId") or ""), bool(item.get("isInline")))
        added = add_files(self.world, session.mailbox, session.message, [file])[-1]
        where = f"Users('{session.mailbox.address}')/Messages('{ids.message_id(session.message, True)}')"
        host = request.headers.get("host", "")
        location = f"http://{host}/graph/v1.0/{where}/Attachments('{ids.attachment_id(session.message, added.part)}')"
        return Response(201, b"", [("Location", location)])

    def _check(self, session: _Session, given: str, length: int) -> None:
        match = _RANGE.fullmatch(given)
        if match is None:
            raise errors.fail(400, "InvalidContentRange", "The Content-Range header is missing or malformed.")
        start, end, total = (int(part) for part in match.groups())
        if length > MAX_PIECE:
            raise errors.fail(413, "RequestEntityTooLarge", "A piece must not be larger than 4 MB.")
        if end - start + 1 != length or total != session.size or end >= total:
            raise errors.fail(400, "InvalidContentRange", "The Content-Range header does not fit the content.")
        if start != len(session.data):
            text = f"The next expected range begins at {len(session.data)}."
            raise _out_of_order(text)


def _out_of_order(text: str) -> ApiError:
    return errors.fail(416, "ErrorInvalidRange", text)
