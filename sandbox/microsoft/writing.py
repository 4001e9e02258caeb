"""Messages made and changed: drafts from JSON or MIME, replies, PATCH, move, delete."""

from __future__ import annotations

import base64
import html
import secrets
from email.utils import formataddr
from typing import Any

import orjson

from sandbox.addresses import addresses_in, canonical
from sandbox.headers import first_of, values_of
from sandbox.http import Request
from sandbox.mailbox import Mailbox, StoredMessage, subject_key
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.attachments import file_from
from sandbox.microsoft.content import as_html, content_of, conversation_index
from sandbox.microsoft.drafting import ON_DRAFTS_ONLY, Draft, apply_extra, apply_fields, check_fields
from sandbox.microsoft.sending import MAX_REQUEST, OutlookSender
from sandbox.state import World

Values = dict[str, Any]


def json_body(request: Request) -> Values:
    """The JSON object of a call; an empty body is an empty object. Raises ApiError (400, 413)."""
    body = limited_body(request)
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.fail(400, "BadRequest", "Unable to read JSON request payload.") from None
    if not isinstance(value, dict):
        raise errors.fail(400, "BadRequest", "Unable to read JSON request payload.")
    return value


def limited_body(request: Request) -> bytes:
    """The body of a call of at most 4 MB. Raises ApiError (413)."""
    if len(request.body) > MAX_REQUEST:
        raise errors.fail(413, "RequestEntityTooLarge", "The request body is too large; at most 4 MB are taken.")
    return request.body


def is_mime(request: Request) -> bool:
    """Whether the body is a MIME mail in base64."""
    return request.headers.get("content-type", "").lower().startswith("text/plain")


def mime_body(request: Request) -> bytes:
    """The mail of a base64 body. Raises ApiError (400, 413)."""
    body = limited_body(request)
    try:
        raw = base64.b64decode(b"".join(body.split()), validate=True)
    except ValueError:
        raw = b""
    if not raw.strip():
        raise errors.fail(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
    return raw


class Writer:
    """Writes in the Outlook mailboxes of one world."""

    def __init__(self, world: World, sender: OutlookSender) -> None:
        self.world, self.sender = world, sender

    def create(self, mailbox: Mailbox, request: Request) -> StoredMessage:
        """A draft of a JSON message or a MIME mail. Raises ApiError (400, 413)."""
        if is_mime(request):
            return self.sender.file_draft(mailbox, mime_body(request))
        return self.from_fields(mailbox, json_body(request))

    def from_fields(self, mailbox: Mailbox, values: Values) -> StoredMessage:
        """A draft of a JSON message. Raises ApiError (400, 413)."""
        draft, extra = Draft(), dict[str, Any]()
        apply_fields(draft, values)
        apply_extra(draft, extra, values)
        draft.files = [file_from(row) for row in values.get("attachments") or []]
        with self.world.lock:
            message = self.sender.file_draft(mailbox, draft.bytes(), keep_sender=True)
            message.extra |= extra
            self.world.changed(mailbox, message, [])
        return message

    def reply(self, mailbox: Mailbox, parent: StoredMessage, values: Values, everybody: bool) -> StoredMessage:
        """createReply and createReplyAll: a draft with the threading fields that Exchange makes. Raises ApiError (400)."""
        draft, extra = Draft(), dict[str, Any]()
        headers = parent.parsed.headers
        to, cc = _addressees(mailbox, parent, everybody)
        subject = parent.subject if subject_key(parent.subject) != parent.subject.casefold() else f"Re: {parent.subject}"
        chain = [mid for mid in (*parent.references(), parent.internet_message_id) if mid]
        index = conversation_index(mailbox, parent) + secrets.token_bytes(5)
        for name, value in [
            ("From", formataddr((mailbox.name, mailbox.address))), ("To", ", ".join(to)), ("Cc", ", ".join(cc)),
            ("Subject", subject), ("Thread-Topic", first_of(headers, "Thread-Topic") or parent.subject),
            ("Thread-Index", base64.b64encode(index).decode()), ("In-Reply-To", parent.internet_message_id),
            ("References", " ".join(dict.fromkeys(chain))),
        ]:  # fmt: skip
            draft.put(name, value)
        comment = html.escape(str(values.get("comment") or ""))
        draft.html = _quoted(parent, comment)
        fields = values.get("message") or {}
        apply_fields(draft, fields)
        apply_extra(draft, extra, fields)
        with self.world.lock:
            message = self.sender.file_draft(mailbox, draft.bytes(), parent.thread_id)
            message.extra |= extra
            self.world.changed(mailbox, message, [])
        return message

    def change(self, mailbox: Mailbox, message: StoredMessage, values: Values) -> StoredMessage:
        """PATCH: anything of a draft, little of a mail that was sent or received. Raises ApiError (400)."""
        check_fields(values)
        written = set(values) & (ON_DRAFTS_ONLY | {"singleValueExtendedProperties"})
        is_draft = "DRAFT" in message.labels
        if not is_draft and written - {"singleValueExtendedProperties"}:
            name = sorted(written)[0]
            raise errors.fail(400, "ErrorInvalidPropertySet", f"Property '{name}' can only be set on a draft.")
        with self.world.lock:
            entries = []
            draft = Draft.of(message)
            apply_extra(draft, message.extra, values)
            if is_draft and written:
                apply_fields(draft, values)
                old = subject_key(message.subject)
                entries.append(mailbox.rewrite(message, draft.bytes()))
                if subject_key(message.subject) != old and message.thread_id != message.id:
                    mailbox.rethread(message, message.id)  # another subject begins another conversation
            if isinstance(values.get("isRead"), bool):
                entries += mailbox.relabel(message, *(({"UNREAD"}, set())[:: -1 if values["isRead"] else 1]))
            self.world.changed(mailbox, message, entries)
        return message

    def move(self, mailbox: Mailbox, message: StoredMessage, folder: str) -> StoredMessage:
        """Put a message into another folder; its mutable id changes."""
        with self.world.lock:
            message.extra["moves"] = int(message.extra.get("moves", 0)) + 1
            gone = {label for label in message.labels if label in ids.WELL_KNOWN.values() or label.startswith("FOLDER:")}
            if folder == "deleteditems":
                gone.discard("DRAFT")  # what was never sent stays a draft there (isDraft)
            label = ids.folder_label(folder)
            self.world.changed(mailbox, message, mailbox.relabel(message, {label}, gone - {label}))
        return message

    def delete(self, mailbox: Mailbox, message: StoredMessage) -> None:
        """Into Deleted Items, or away for good when it lies there."""
        if ids.folder_of(message.labels) != "deleteditems":
            self.move(mailbox, message, "deleteditems")
            return
        with self.world.lock:
            self.world.changed(mailbox, message, [mailbox.remove(message)])


def _addressees(mailbox: Mailbox, parent: StoredMessage, everybody: bool) -> tuple[list[str], list[str]]:
    """(To, Cc) as Exchange sets them: a reply to one's own mail goes to oneself."""
    headers = parent.parsed.headers
    to = addresses_in(values_of(headers, "Reply-To")) or addresses_in(values_of(headers, "From"))
    if not everybody:
        return to, []
    own = {canonical(address) for address in mailbox.own_addresses()}
    more = [address for address in addresses_in(values_of(headers, "To")) if canonical(address) not in own]
    cc = [address for address in addresses_in(values_of(headers, "Cc")) if canonical(address) not in own]
    return list(dict.fromkeys([*to, *more])), [address for address in cc if address not in to]


def _quoted(parent: StoredMessage, comment: str) -> str:
    """The HTML of a reply: the comment, then the mail that it answers."""
    headers = parent.parsed.headers
    lines = "<br>".join(
        f"<b>{name}:</b> {html.escape(first_of(headers, name))}" for name in ("From", "Date", "To", "Subject")
    )
    return (
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body>{comment}'
        f'<hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr">{lines}</div>'
        f"<div>{as_html(content_of(parent), True)}</div></body></html>"
    )
