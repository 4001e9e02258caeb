"""Mailboxes and mails as plain values, for the control plane and the console."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.accounts import sort_of, subject_of
from sandbox.headers import decode_value, first_of, wire_headers
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft.ids import immutable_id
from sandbox.mime import ParsedMail, parse_mail
from sandbox.sink import SinkMail
from sandbox.state import World

SHOWN_HEADERS = {
    "from": "From", "to": "To", "cc": "Cc", "bcc": "Bcc", "subject": "Subject", "date": "Date",
    "message_id": "Message-ID", "in_reply_to": "In-Reply-To", "references": "References",
    "auto_submitted": "Auto-Submitted", "list_id": "List-Id", "x-crm-ref": "X-CRM-Ref",
}  # fmt: skip


def shown_headers(parsed: ParsedMail) -> dict[str, str]:
    """The headers that people and tests look at; empty text for one that is absent."""
    return {key: first_of(parsed.headers, name) for key, name in SHOWN_HEADERS.items()}


def describe_message(message: StoredMessage) -> dict[str, Any]:
    """A message of a mailbox: `internal_date` in epoch milliseconds, attachments by name; `immutable_id` is Graph's."""
    parsed = message.parsed
    return {
        "id": message.id, "thread_id": message.thread_id, "labels": sorted(message.labels),
        "internal_date": message.internal_date, "history_id": message.history_id, "size": len(message.raw),
        "headers": shown_headers(parsed), "snippet": parsed.snippet, "text": parsed.text,
        "attachments": list(parsed.attachment_names), "immutable_id": immutable_id(message.id),
    }  # fmt: skip


def describe_mailbox(world: World, mailbox: Mailbox) -> dict[str, Any]:
    """A mailbox with its counts and the tokens that are alive; no secret but the invented password."""
    watch = mailbox.watch
    return {
        "address": mailbox.address, "name": mailbox.name, "provider": mailbox.provider, "kind": mailbox.kind,
        "sort": sort_of(mailbox), "sub": mailbox.sub, "subject": subject_of(mailbox), "password": mailbox.password,
        "aliases": mailbox.aliases, "forward_to": mailbox.forward_to, "auto_reply": mailbox.auto_reply,
        "code": mailbox.code, "needs_approval": mailbox.needs_approval, "is_disabled": mailbox.is_disabled,
        "mail_enabled": mailbox.mail_enabled, "send_cap": mailbox.send_cap,
        "history_id": mailbox.history_id, "history_floor": mailbox.history_floor,
        "messages": len(mailbox.messages), "threads": len(mailbox.threads), "drafts": dict(mailbox.drafts),
        "watch": {"topic": watch.topic, "labels": watch.labels, "expires": watch.expires} if watch else None,
        "subscriptions": list(mailbox.subscriptions.values()),
        "tokens": world.tokens_of(mailbox).count(mailbox.address),
    }  # fmt: skip


def describe_sink_mail(mail: SinkMail, *, with_text: bool = True) -> dict[str, Any]:
    """A mail of the sink: its envelope, all its headers (names in lower case, the first of each) and its size.

    Text and attachments cost a parse; a list of thousands goes without them.
    """
    wire = wire_headers(mail.raw)
    known = {name.lower(): decode_value(name, value) for name, value in reversed(wire)}
    headers = {key: known.get(name.lower(), "") for key, name in SHOWN_HEADERS.items()}
    shown = {
        "id": mail.id, "at": mail.at, "via": mail.via, "mail_from": mail.mail_from, "rcpts": mail.rcpt_to,
        "delivered": mail.delivered, "headers": known | headers, "message_id": headers["message_id"],
        "size": len(mail.raw),
    }  # fmt: skip
    if with_text:
        parsed = parse_mail(mail.raw)
        shown |= {"text": parsed.text, "attachments": list(parsed.attachment_names)}
    return shown


def oldest_first(mailbox: Mailbox) -> list[StoredMessage]:
    """All messages of a mailbox, oldest first."""
    return mailbox.by_date()[::-1]


def utc(epoch_seconds: float) -> str:
    """A moment for people, in UTC."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
