"""The Gmail API: which path is which method, who may call it, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.addresses import canonical
from sandbox.delivery import Post
from sandbox.google import errors
from sandbox.google.listing import list_history, list_messages
from sandbox.google.messages import checked_format, get_attachment, get_message, get_thread
from sandbox.google.methods import AUTH, BODY_FIELDS, SCOPES, check_fields, check_parameters, find_route
from sandbox.google.sending import MAX_JSON, Sender
from sandbox.google.uploads import Uploads
from sandbox.google.watching import start_watch, stop_watch
from sandbox.http import Request, Response, json_response
from sandbox.mailbox import Mailbox
from sandbox.mime import from_base64url
from sandbox.quota import UNITS
from sandbox.state import World
from sandbox.tokens import Token

SYSTEM_LABELS = ("INBOX", "SENT", "DRAFT", "SPAM", "TRASH", "UNREAD", "STARRED", "IMPORTANT", "CHAT")


@dataclass(slots=True)
class Call:
    """An authorised call of one method."""

    method: str
    request: Request
    mailbox: Mailbox
    arguments: list[str]
    metadata_only: bool
    raw: bytes | None = None  # the mail of an upload
    fields: dict[str, Any] | None = None  # the JSON beside it


class Gmail:
    """The API over one world."""

    def __init__(self, world: World, post: Post) -> None:
        self.world = world
        self.sender = Sender(world, post)
        self.uploads = Uploads(world.settings.base_url)
        self._handlers: dict[str, Callable[[Call], Response]] = {
            "users.getProfile": self.profile,
            "users.labels.list": self.labels,
            "users.history.list": lambda call: list_history(world, call.mailbox, call.request),
            "users.messages.list": lambda call: list_messages(world, call.mailbox, call.request, call.metadata_only),
            "users.messages.get": self.message,
            "users.threads.get": self.thread,
            "users.messages.attachments.get": lambda call: get_attachment(call.mailbox, *call.arguments),
            "users.messages.send": self.send,
            "users.messages.insert": self.insert,
            "users.settings.sendAs.list": self.send_as,
            "users.watch": lambda call: start_watch(world, call.mailbox, self._json(call)),
            "users.stop": lambda call: stop_watch(world, call.mailbox),
        }

    # the way in ----------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        """Answer a call under /gmail, /upload/gmail or /resumable/upload/gmail. Never raises ApiError."""
        address = ""
        try:
            token = self._token(request)
            address = token.mailbox
            response = self._authorised(request, token)
        except errors.ApiError as error:
            response = error.response
        response.mailbox = address
        return response

    def _token(self, request: Request) -> Token:
        token = self.world.tokens.find(request.bearer)
        if token is None:
            raise errors.unauthenticated()
        return token

    def _authorised(self, request: Request, token: Token) -> Response:
        prefix, _, tail = request.path.partition("/gmail/v1/users/")
        user, *rest = tail.rstrip("/").split("/")
        method, arguments = find_route("POST" if prefix and request.method == "PUT" else request.method, rest)
        mailbox = self.world.mailboxes.get(token.mailbox)
        if mailbox is None:
            raise errors.unauthenticated()
        if user != "me" and canonical(user) != canonical(mailbox.address):
            raise errors.fail(403, f"Delegation denied for {mailbox.address}", "forbidden")
        if not token.scope_set & SCOPES[method]:
            raise errors.insufficient_scope(self.world.knobs.scope_error_form, f"caribou.api.proto.{method}")
        if not mailbox.mail_enabled:
            raise errors.fail(400, "Mail service not enabled", "failedPrecondition", status="FAILED_PRECONDITION")
        check_parameters(method, request.query)
        metadata_only = f"{AUTH}gmail.metadata" in token.scope_set
        return self._within_quota(Call(method, request, mailbox, arguments, metadata_only), bool(prefix))

    def _within_quota(self, call: Call, is_upload: bool) -> Response:
        quota, user = self.world.quota, call.mailbox.address
        wait = quota.spend(user, UNITS[call.method])
        if wait is not None:
            raise errors.over_quota(quota.form, self.world.clock.iso(self.world.clock.now() + wait), wait)
        if is_upload:
            return self._upload(call)
        return self._handlers[call.method](call)

    def _upload(self, call: Call) -> Response:
        if call.method not in ("users.messages.send", "users.messages.insert"):
            raise errors.fail(404, "Method not found.", "notFound")
        received = self.uploads.receive(call.request)
        if isinstance(received, Response):
            return received
        call.fields, call.raw = received
        check_fields(call.fields, BODY_FIELDS[call.method])
        return self._handlers[call.method](call)

    def _json(self, call: Call) -> dict[str, Any]:
        body = call.request.body
        if len(body) > MAX_JSON and call.method == "users.messages.send":
            raise errors.fail(413, "Request payload size exceeds the limit: 5242880 bytes.", "uploadTooLarge")
        if not body:
            return {}
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise errors.fail(400, "Invalid JSON payload received.", "parseError") from None
        if not isinstance(value, dict):
            raise errors.fail(400, "Invalid JSON payload received.", "parseError")
        check_fields(value, BODY_FIELDS[call.method])
        return value

    def _mail(self, call: Call) -> tuple[bytes, dict[str, Any]]:
        """The mail and the Message fields of a send or insert."""
        if call.raw is not None:
            return call.raw, call.fields or {}
        fields = self._json(call)
        try:
            raw = from_base64url(str(fields.get("raw") or ""))
        except ValueError:
            raise errors.invalid_argument("Invalid value at 'message.raw' (TYPE_BYTES), Base64 decoding failed") from None
        return raw, fields

    # methods ---------------------------------------------------------------------------------------------------------

    def profile(self, call: Call) -> Response:
        """users.getProfile"""
        box = call.mailbox
        return json_response({
            "emailAddress": box.address, "messagesTotal": len(box.messages),
            "threadsTotal": len(box.threads), "historyId": str(box.history_id),
        })  # fmt: skip

    def labels(self, call: Call) -> Response:
        """users.labels.list: the system labels and those in use."""
        used = {label for message in list(call.mailbox.messages.values()) for label in message.labels}
        names = [*SYSTEM_LABELS, *sorted(used - set(SYSTEM_LABELS))]
        kinds = [("system" if name in SYSTEM_LABELS else "user") for name in names]
        return json_response({"labels": [{"id": n, "name": n, "type": kind} for n, kind in zip(names, kinds, strict=True)]})

    def message(self, call: Call) -> Response:
        """users.messages.get"""
        form = checked_format(call.request.first("format"), call.metadata_only)
        wanted = call.request.query.get("metadataHeaders", [])
        return get_message(self.world, call.mailbox, call.arguments[0], form, wanted)

    def thread(self, call: Call) -> Response:
        """users.threads.get"""
        allowed = ("full", "metadata", "minimal")
        form = checked_format(call.request.first("format"), call.metadata_only, allowed)
        wanted = call.request.query.get("metadataHeaders", [])
        return get_thread(self.world, call.mailbox, call.arguments[0], form, wanted)

    def send(self, call: Call) -> Response:
        """users.messages.send"""
        raw, fields = self._mail(call)
        thread_id = str(fields.get("threadId") or "")
        if thread_id and thread_id not in call.mailbox.threads:
            raise errors.not_found()
        sent = self.sender.send(call.mailbox, raw, thread_id)
        return json_response({"id": sent.id, "threadId": sent.thread_id, "labelIds": sorted(sent.labels)})

    def insert(self, call: Call) -> Response:
        """users.messages.insert"""
        raw, fields = self._mail(call)
        labels = [str(label) for label in fields.get("labelIds") or []]
        by_header = call.request.first("internalDateSource") == "dateHeader"
        stored = self.sender.insert(call.mailbox, raw, labels, str(fields.get("threadId") or ""), by_header)
        answer: dict[str, Any] = {"id": stored.id, "threadId": stored.thread_id}
        return json_response({**answer, "labelIds": sorted(stored.labels)} if stored.labels else answer)

    def send_as(self, call: Call) -> Response:
        """users.settings.sendAs.list"""
        box = call.mailbox
        rows: list[dict[str, Any]] = [{
            "sendAsEmail": box.address, "displayName": box.name, "replyToAddress": "", "signature": "",
            "isPrimary": True, "isDefault": True,
        }]  # fmt: skip
        for alias in box.aliases:
            status = "accepted" if alias.get("verified", True) else "pending"
            rows.append({
                "sendAsEmail": alias["email"], "displayName": alias.get("name", box.name), "replyToAddress": "",
                "signature": "", "isDefault": False, "treatAsAlias": True, "verificationStatus": status,
            })  # fmt: skip
        return json_response({"sendAs": rows})
