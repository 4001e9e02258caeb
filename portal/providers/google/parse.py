"""Gmail's JSON to the portal's types. Pure, bounded, and never raising on what a stranger may send.

Source: users.messages in Gmail's discovery document.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from portal.providers.headers import Headers, fields_of, mark_of, read_facts, subject_of
from portal.providers.parts import PartReader
from portal.providers.types import RemoteMail
from portal.rules.facts import Direction, MailFacts

CAP_REPORT = "You have reached a limit for sending mail"  # Gmail's mailer-daemon, in the thread of the mail
FORWARD_MARK = re.compile(r"^-{6,}\s*Forwarded message\s*-{6,}\s*$", re.MULTILINE)  # Gmail's own


def facts_of(message: dict[str, Any], own_keys: frozenset[str]) -> MailFacts:
    """The facts of a message in any format that has headers (metadata, full)."""
    return _facts(message, _headers(message), own_keys)


def mail_of(message: dict[str, Any], own_keys: frozenset[str]) -> RemoteMail:
    """A whole message (format=full). Text and HTML are decoded, files stay behind their id unless Gmail sent them along.

    What had to be repaired or left away stands in `defects`: charset, base64, text_cut, text_as_file, too_many_parts,
    too_many_files.
    """
    headers = _headers(message)
    facts = _facts(message, headers, own_keys)
    reader = PartReader()
    reader.read(message.get("payload") or {})
    text, html = reader.text, reader.html
    if facts.direction == Direction.OUTBOUND and not facts.is_forward and FORWARD_MARK.search(text):
        facts = replace(facts, is_forward=True)
    return RemoteMail(
        facts=facts,
        subject=subject_of(headers),
        text=text,
        html=html,
        files=tuple(reader.files),
        size=int(message.get("sizeEstimate") or 0),
        defects=tuple(sorted(reader.defects)),
    )


def reference_of(message: dict[str, Any]) -> UUID | None:
    """The CRM's own mark of a message."""
    return mark_of(_headers(message))


def _facts(message: dict[str, Any], headers: Headers, own_keys: frozenset[str]) -> MailFacts:
    labels = frozenset(message.get("labelIds") or ())
    direction = Direction.OUTBOUND if "SENT" in labels else Direction.INBOUND
    place: dict[str, Any] = {
        "provider_message_id": str(message["id"]),
        "provider_thread_id": str(message.get("threadId") or message["id"]),
        "direction": direction,
        "received_at": _moment(message.get("internalDate")),
        "is_draft": "DRAFT" in labels,
        "is_chat": "CHAT" in labels,
        "is_spam": "SPAM" in labels,
        "is_trash": "TRASH" in labels,
    }
    facts = read_facts(place, headers, len((message.get("payload") or {}).get("headers") or ()), own_keys)
    if facts.is_bounce and CAP_REPORT in str(message.get("snippet") or ""):
        return replace(facts, is_cap_report=True)
    return facts


def _headers(message: dict[str, Any]) -> Headers:
    """The header fields that count, by lower-case name."""
    entries = (message.get("payload") or {}).get("headers") or ()
    return fields_of((str(entry.get("name") or ""), str(entry.get("value") or "")) for entry in entries)


def _moment(internal_date: Any) -> datetime:
    """Gmail's internalDate, milliseconds since 1970 as text; what cannot be read lies before any connection."""
    try:
        return datetime.fromtimestamp(int(internal_date) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
