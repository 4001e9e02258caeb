"""The sink: every mail that left for the world outside or came in by SMTP, kept for a look, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_MAILS = 20_000
MAX_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class SinkMail:
    """A mail that left for the world outside, or came in through the SMTP sink."""

    at: float
    via: str  # "smtp", "gmail" or "outlook"
    mail_from: str
    rcpt_to: list[str]
    raw: bytes
    delivered: dict[str, str] = field(default_factory=dict)
    id: str = ""  # given when it is kept; in the order of arrival


class Sink:
    """The newest mails, oldest first. Change it only while holding the world's lock; nothing here parses a mail."""

    def __init__(self, on_gone: Callable[[SinkMail], None] = lambda _mail: None) -> None:
        self._mails: deque[SinkMail] = deque()
        self._bytes = 0
        self._number = 0
        self._on_gone = on_gone

    def __len__(self) -> int:
        return len(self._mails)

    def add(self, mail: SinkMail) -> None:
        """Keep a mail; the oldest go when there are too many, or too large ones."""
        self._number += 1
        mail.id = mail.id or f"{mail.at:020.6f}-{self._number:08d}"
        self._mails.append(mail)
        self._bytes += len(mail.raw)
        while len(self._mails) > MAX_MAILS or (self._bytes > MAX_BYTES and len(self._mails) > 1):
            gone = self._mails.popleft()
            self._bytes -= len(gone.raw)
            self._on_gone(gone)

    def mails(self, to: str = "") -> list[SinkMail]:
        """All, oldest first; with `to` those with this recipient in the envelope."""
        wanted = to.lower()
        return [mail for mail in list(self._mails) if not wanted or wanted in (a.lower() for a in mail.rcpt_to)]

    def newest(self, count: int) -> list[SinkMail]:
        """The newest so many, newest first."""
        return list(self._mails)[: -count - 1 : -1]

    def recipients(self) -> int:
        """How many different addresses stand in the envelopes."""
        return len({address.lower() for mail in list(self._mails) for address in mail.rcpt_to})

    def clear(self) -> None:
        """Forget all."""
        self._mails.clear()
        self._bytes = 0
