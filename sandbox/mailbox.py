"""One person's mailbox at Google or Microsoft: messages, threads, labels, the history log with its floor, the watch."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from sandbox.headers import decode_value, first_of, message_ids, values_of, wire_headers
from sandbox.mime import ParsedMail, parse_mail

_REPLY_PREFIX = re.compile(r"^\s*((re|fwd?|fw|aw|wg|antw|sv|tr)\s*(\[\d+\])?\s*:\s*)+", re.I)


def subject_key(subject: str) -> str:
    """A subject without its reply and forward prefixes, for Gmail's threading rule."""
    return " ".join(_REPLY_PREFIX.sub("", subject).split()).casefold()


@dataclass(slots=True)
class StoredMessage:
    """A message of one mailbox. `raw` changes for Outlook's drafts only (`Mailbox.rewrite`); labels and `history_id` do."""

    id: str
    thread_id: str
    raw: bytes
    labels: set[str]
    internal_date: int  # epoch ms
    history_id: int = 0
    extra: dict[str, Any] = field(default_factory=dict)  # what only Outlook knows: properties, moves, importance
    _parsed: ParsedMail | None = None
    _wire: list[tuple[str, str]] | None = None

    @property
    def wire(self) -> list[tuple[str, str]]:
        """The fields that threading needs, as on the wire; far cheaper than `parsed`."""
        if self._wire is None:
            wanted = ("message-id", "references", "in-reply-to", "subject")
            self._wire = [pair for pair in wire_headers(self.raw) if pair[0].lower() in wanted]
        return self._wire

    @property
    def parsed(self) -> ParsedMail:
        """The parsed mail, made once."""
        if self._parsed is None:
            self._parsed = parse_mail(self.raw)
        return self._parsed

    @property
    def internet_message_id(self) -> str:
        """The Message-ID on the wire, empty when the mail has none that can be read."""
        found = message_ids(first_of(self.wire, "Message-ID"))
        return found[0] if found else ""

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return decode_value("Subject", first_of(self.wire, "Subject"))

    def references(self) -> list[str]:
        """Message-IDs this mail refers to, the nearest last."""
        headers = self.wire
        chain = [mid for value in values_of(headers, "References") for mid in message_ids(value)]
        parent = [mid for value in values_of(headers, "In-Reply-To") for mid in message_ids(value)]
        return chain + [mid for mid in parent if mid not in chain]


@dataclass(slots=True)
class HistoryEntry:
    """One change. `kind` is Gmail's history type; `labels` are those added or removed, or all that the message had then."""

    id: int
    kind: str
    message_id: str
    thread_id: str
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Watch:
    """A push registration of the mailbox."""

    topic: str
    labels: list[str]
    exclude: bool
    expires: float


@dataclass
class Mailbox:
    """A Google or Microsoft account with (usually) a mailbox."""

    address: str
    name: str
    provider: str = "google"  # or "microsoft": an Outlook mailbox
    kind: str = "consumer"  # or "workspace"
    password: str = "demo-password"  # noqa: S105  people of the stand-in are invented
    sub: str = ""
    aliases: list[dict[str, Any]] = field(default_factory=list)  # {"email", "name", "verified"}
    forward_to: str = ""
    auto_reply: str = ""  # the text of an out-of-office answer; each sender gets it once
    auto_replied: list[str] = field(default_factory=list)  # to whom it went
    mail_enabled: bool = True
    code: str = ""  # what Microsoft asks for after the password (multi-factor); empty: only the password
    needs_approval: bool = False  # Microsoft: only an administrator may agree to apps
    is_disabled: bool = False  # Microsoft: the account may not sign in
    history_id: int = 0
    history_floor: int = 0
    next_number: int = 1
    watch: Watch | None = None
    send_cap: dict[str, Any] | None = None  # {"mode": "429"|"bounce", "limit": n}
    drafts: dict[str, str] = field(default_factory=dict)  # draft id -> message id
    subscriptions: dict[str, dict[str, Any]] = field(default_factory=dict)  # Graph's, by their id
    sent_log: list[tuple[float, int]] = field(default_factory=list)  # (time, recipients)
    messages: dict[str, StoredMessage] = field(default_factory=dict, repr=False)
    threads: dict[str, list[str]] = field(default_factory=dict, repr=False)
    by_internet_id: dict[str, str] = field(default_factory=dict, repr=False)
    history: list[HistoryEntry] = field(default_factory=list, repr=False)

    def new_id(self, now_ms: int) -> str:
        """A message id: 16 hex digits, growing with time, unlike that of another mailbox at the same moment."""
        self.next_number += 1
        low = (self.next_number & 0xFFF) << 12 | crc32(self.address.encode()) & 0xFFF
        return f"{((now_ms & 0xFFFFFFFFFF) << 24 | low):016x}"

    def _next_history_id(self) -> int:
        self.history_id += random.randint(1, 23)
        return self.history_id

    def record(self, kind: str, message: StoredMessage, labels: Iterable[str] = ()) -> HistoryEntry:
        """Append a change to the history log."""
        entry = HistoryEntry(self._next_history_id(), kind, message.id, message.thread_id, tuple(sorted(labels)))
        message.history_id = entry.id
        self.history.append(entry)
        return entry

    def index(self, message: StoredMessage) -> None:
        """Put `message` into the lookups (also used when the store is read back)."""
        self.messages[message.id] = message
        self.threads.setdefault(message.thread_id, []).append(message.id)
        if message.internet_message_id:
            self.by_internet_id.setdefault(message.internet_message_id, message.id)

    def add(self, message: StoredMessage) -> HistoryEntry:
        """Store a new message and record it."""
        self.index(message)
        return self.record("messageAdded", message, message.labels)

    def remove(self, message: StoredMessage) -> HistoryEntry:
        """Delete for good."""
        self.messages.pop(message.id)
        siblings = self.threads.get(message.thread_id, [])
        if message.id in siblings:
            siblings.remove(message.id)
        if not siblings:
            self.threads.pop(message.thread_id, None)
        if self.by_internet_id.get(message.internet_message_id) == message.id:
            self.by_internet_id.pop(message.internet_message_id)
        return self.record("messageDeleted", message, message.labels)

    def rewrite(self, message: StoredMessage, raw: bytes) -> HistoryEntry:
        """Give a draft other bytes."""
        old = message.internet_message_id
        message.raw, message._parsed, message._wire = raw, None, None
        new = message.internet_message_id
        if old != new and self.by_internet_id.get(old) == message.id:
            self.by_internet_id.pop(old)
        if new:
            self.by_internet_id.setdefault(new, message.id)
        return self.record("messageChanged", message, message.labels)

    def rethread(self, message: StoredMessage, thread_id: str) -> None:
        """Move a message to another thread."""
        self.threads[message.thread_id].remove(message.id)
        if not self.threads[message.thread_id]:
            self.threads.pop(message.thread_id)
        message.thread_id = thread_id
        self.threads.setdefault(thread_id, []).append(message.id)

    def relabel(self, message: StoredMessage, add: set[str], remove: set[str]) -> list[HistoryEntry]:
        """Change labels; each real change is one entry."""
        added, removed = add - message.labels, remove & message.labels
        message.labels = (message.labels | added) - removed
        entries = [self.record("labelAdded", message, added)] if added else []
        return entries + ([self.record("labelRemoved", message, removed)] if removed else [])

    def thread_for(self, message: StoredMessage) -> str:
        """The thread an arriving mail joins: a known reference AND the same subject, else its own."""
        for reference in reversed(message.references()):
            parent = self.messages.get(self.by_internet_id.get(reference, ""))
            if parent and subject_key(parent.subject) == subject_key(message.subject):
                return parent.thread_id
        return message.id

    def thread_accepts(self, thread_id: str, message: StoredMessage) -> bool:
        """Gmail's rule for a send with threadId: valid References/In-Reply-To into it, and a matching subject."""
        members = [self.messages[mid] for mid in self.threads.get(thread_id, [])]
        if not members:
            return False
        known = {member.internet_message_id for member in members}
        refers = any(reference in known for reference in message.references())
        return refers and subject_key(members[0].subject) == subject_key(message.subject)

    def history_after(self, start: int) -> list[HistoryEntry]:
        """Entries younger than `start` (exclusive)."""
        return self.history[bisect_right(self.history, start, key=lambda entry: entry.id) :]

    def own_addresses(self) -> set[str]:
        """The address and every alias that receives here."""
        return {self.address, *(alias["email"] for alias in self.aliases)}

    def by_date(self) -> list[StoredMessage]:
        """All messages, newest first."""
        return sorted(self.messages.values(), key=lambda m: (m.internal_date, m.id), reverse=True)
