"""Making and changing the mail of a draft from Graph's JSON."""

from __future__ import annotations

import re
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from email.utils import formataddr
from typing import Any

from sandbox.headers import wire_headers
from sandbox.mailbox import StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft.content import content_of, text_of
from sandbox.microsoft.messages import property_header
from sandbox.mime import part_data

_POLICY = SMTP.clone(max_line_length=900, refold_source="none")
_BREAKS = re.compile(r"[\r\n]+")
MAX_HEADERS = 5
_PEOPLE = {"toRecipients": "To", "ccRecipients": "Cc", "bccRecipients": "Bcc", "replyTo": "Reply-To", "from": "From"}
FIELDS = frozenset({
    *_PEOPLE, "sender", "subject", "body", "importance", "internetMessageHeaders", "singleValueExtendedProperties",
    "categories", "isRead", "flag", "attachments", "@odata.type", "isDeliveryReceiptRequested", "isReadReceiptRequested",
    "inferenceClassification", "internetMessageId", "id",
})  # fmt: skip
ON_DRAFTS_ONLY = frozenset({*_PEOPLE, "sender", "subject", "body", "internetMessageId", "internetMessageHeaders"})


class Draft:
    """A mail in pieces: header fields in order, text, HTML, files as (name, type, bytes, content id, inline)."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.text: str | None = None
        self.html: str | None = None
        self.files: list[tuple[str, str, bytes, str, bool]] = []

    @classmethod
    def of(cls, message: StoredMessage) -> Draft:
        """The pieces of a stored mail."""
        made, content = cls(), content_of(message)
        skipped = ("mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id")
        made.fields = [pair for pair in wire_headers(message.raw) if pair[0].lower() not in skipped]
        made.text, made.html = content.text, content.html
        for file in content.files:
            part = part_data(message.raw, file.part)
            if part:
                made.files.append((file.name, file.kind, part[0], file.content_id, file.inline))
        return made

    def put(self, name: str, value: str) -> None:
        """Set a field, in its old place when there is one; an empty value takes it away."""
        old = [index for index, (key, _) in enumerate(self.fields) if key.lower() == name.lower()]
        if old and value:
            self.fields[old[0]] = (self.fields[old[0]][0], value)
            old = old[1:]
        elif value:
            self.fields.append((name, value))
        for index in reversed(old):
            del self.fields[index]

    def bytes(self) -> bytes:
        """The mail. Raises ApiError (400) for one that cannot be made."""
        try:
            return self._mail().as_bytes()
        except (ValueError, MessageError, UnicodeError, IndexError, LookupError) as error:
            raise errors.invalid_request(f"This mail cannot be made: {error}") from None

    def _mail(self) -> EmailMessage:
        mail = EmailMessage(policy=_POLICY)
        for name, value in self.fields:
            mail[name] = _BREAKS.sub(" ", value)
        text = self.text if self.text is not None else text_of(self.html or "")
        mail.set_content(text or "\n")
        if self.html is not None:
            mail.add_alternative(self.html, subtype="html")
        for name, kind, data, content_id, inline in self.files:
            if kind == "message/rfc822":
                mail.add_attachment(BytesParser(policy=_POLICY).parsebytes(data), filename=name)
                continue
            main, _, sub = kind.partition("/")
            mail.add_attachment(
                data, maintype=main, subtype=sub or "octet-stream", filename=name,
                disposition="inline" if inline else "attachment", cid=f"<{content_id}>" if content_id else None,
            )  # fmt: skip
        return mail


# from JSON -----------------------------------------------------------------------------------------------------------


def _people(value: Any) -> str:
    rows = value if isinstance(value, list) else [value]
    found = []
    for row in rows:
        inner = row.get("emailAddress") if isinstance(row, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("address", ""), str):
            raise errors.invalid_request("A recipient must be an object with an emailAddress.")
        address, name = str(inner.get("address") or ""), str(inner.get("name") or "")
        found.append(formataddr((name, address)) if name and address.isascii() else address)
    return ", ".join(part for part in found if part)


def check_fields(values: dict[str, Any]) -> None:
    """Refuse properties that a message has not. Raises ApiError (400)."""
    for name in values:
        if name not in FIELDS and not name.startswith("@odata"):
            message = f"The property '{name}' does not exist on type 'Microsoft.OutlookServices.Message'."
            raise errors.fail(400, "RequestBodyRead", message)


def custom_headers(value: Any) -> list[tuple[str, str]]:
    """`internetMessageHeaders` of a draft. Raises ApiError (400): only x- headers may be set, at most five."""
    rows = value if isinstance(value, list) else []
    pairs = [(str(row.get("name", "")), str(row.get("value", ""))) for row in rows if isinstance(row, dict)]
    for name, _ in pairs:
        if not re.fullmatch(r"[xX]-[!-9;-~]+", name):
            message = f"The internet message header name '{name}' should start with 'x-' or 'X-'."
            raise errors.fail(400, "InvalidInternetMessageHeader", message)
    if len(pairs) > MAX_HEADERS:
        message = f"Maximum number of headers in one message should be less than or equal to {MAX_HEADERS}."
        raise errors.fail(400, "InvalidInternetMessageHeaderCollection", message)
    return pairs


def apply_fields(draft: Draft, values: dict[str, Any]) -> None:
    """Put the properties of a JSON message into a draft. Raises ApiError (400)."""
    check_fields(values)
    for name, header in _PEOPLE.items():
        if name in values:
            draft.put(header, _people(values[name] or []))
    if "subject" in values:
        draft.put("Subject", str(values["subject"] or ""))
    for name, value in custom_headers(values.get("internetMessageHeaders")):
        draft.put(name, value)
    if values.get("internetMessageId"):
        draft.put("Message-ID", str(values["internetMessageId"]))
    body = values.get("body")
    if body is not None:
        if not isinstance(body, dict):
            raise errors.invalid_request("The body must be an object.")
        content, is_html = str(body.get("content") or ""), str(body.get("contentType", "text")).lower() == "html"
        draft.text, draft.html = (None, content) if is_html else (content, None)


def apply_extra(draft: Draft, extra: dict[str, Any], values: dict[str, Any]) -> None:
    """Put what no header carries into `extra`; extended properties that are headers go into the draft."""
    for name in ("importance", "categories"):
        if name in values:
            extra[name] = values[name]
    for row in values.get("singleValueExtendedProperties") or []:
        name, value = str(row.get("id", "")), str(row.get("value", ""))
        header = property_header(name)
        if header is not None:
            draft.put(header, value)
        else:
            extra.setdefault("properties", {})[name.lower()] = value
