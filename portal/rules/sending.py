"""Individual mail: which way it takes, whether the cap allows it, how it threads, when to try it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portal.rules.addresses import Address, match_key

WINDOW = timedelta(hours=24)
WARN_PER_CENT = 80
KEPT_LAST_IDS = 20  # of a long References chain: the first and these
MAX_FILE_BYTES = 25 * 1024 * 1024  # all files of one mail together (G-13)
MAX_MIME_BYTES = 36_700_160  # of a whole mail as providers take it, 35 MiB: 25 MiB in base64, and its text
WIRE_ID = re.compile(r"<[^<>\s]+>")
REPLY_MARK = re.compile(r"^\s*re(?:\[\d+\])?\s*:", re.IGNORECASE)
FORWARD_MARK = re.compile(r"^\s*(?:fwd?|fw)\s*:", re.IGNORECASE)


class Path(StrEnum):
    """The way an individual mail takes, or why none is open to it (S-01)."""

    MAILBOX = "mailbox"
    PROVIDER = "provider"  # the account's own mail server
    NO_MAILBOX = "no_mailbox"
    PAUSED = "paused"
    NEEDS_ATTENTION = "needs_attention"

    @property
    def is_open(self) -> bool:
        return self in (Path.MAILBOX, Path.PROVIDER)


def decide_path(connection_state: str | None, has_provider: bool = False) -> Path:
    """The way for a person whose connection is in this state (None: nothing is connected) in an account with or without
    a provider of its own (S-01): the mailbox where it works, else the provider, else none, with the reason.

    The cap of a mailbox opens no other way: at the cap the mail fails, clearly (G-14).
    """
    path = {
        "connected": Path.MAILBOX,
        "paused": Path.PAUSED,
        "needs_attention": Path.NEEDS_ATTENTION,
    }.get(connection_state or "", Path.NO_MAILBOX)
    return Path.PROVIDER if has_provider and path is not Path.MAILBOX else path


def cap_setting(provider: str, *, is_consumer: bool) -> str:
    """Which rule of the account limits a mailbox: the name of its setting, by the kind of connection (G-14)."""
    if provider == "microsoft":
        return "send_cap_microsoft"
    return "send_cap" if is_consumer else "send_cap_workspace"


@dataclass(frozen=True)
class Cap:
    """Use of a mailbox in the rolling 24 hours. `next_free_at` is set while no mail can leave.

    `waiting` mails stand in line for a place; `closed_until`: the provider itself takes none before.
    """

    used: int
    limit: int
    next_free_at: datetime | None = None
    waiting: int = 0
    closed_until: datetime | None = None

    @property
    def left(self) -> int:
        return 0 if self.closed_until else max(0, self.limit - self.used)

    @property
    def is_reached(self) -> bool:
        return self.used >= self.limit or self.closed_until is not None

    @property
    def must_wait(self) -> bool:
        """Whether one more mail has no place now, or would overtake those in line."""
        return self.is_reached or self.waiting > 0

    @property
    def is_near(self) -> bool:
        return self.used * 100 >= self.limit * WARN_PER_CENT


def measure_cap(
    sent_at: Sequence[datetime], limit: int, now: datetime, *, waiting: int = 0, closed_until: datetime | None = None
) -> Cap:
    """Count what left in the last 24 hours; at the cap, tell when the next place frees up (G-14)."""
    used = sum(1 for moment in sent_at if moment > now - WINDOW)
    closed_until = closed_until if closed_until and closed_until > now else None
    free_at = place_free_at(sent_at, limit, now, waiting, closed_until)
    return Cap(used, max(0, limit), free_at if free_at > now else None, waiting, closed_until)


def place_free_at(
    sent_at: Sequence[datetime], limit: int, now: datetime, ahead: int = 0, closed_until: datetime | None = None
) -> datetime:
    """When a mail with `ahead` others before it in line gets its place: 24 hours after one that left, counting those
    before it as they leave themselves; `now` when it has one (G-14)."""
    if limit <= 0:
        return now + WINDOW
    floor = max(now, closed_until or now)
    taken = sorted(moment for moment in sent_at if moment > now - WINDOW)
    first = len(taken) - limit
    free_at = floor
    for number in range(ahead + 1):
        older = first + number
        free_at = max(floor, taken[older] + WINDOW) if older >= 0 else floor
        taken.append(free_at)
    return free_at


def reply_references(parent_id: str, parent_references: str) -> str:
    """The References of a reply: the parent's chain and the parent, cut in the middle (RFC 5322 3.6.4).

    `parent_references` holds the parent's References, or its single In-Reply-To when it had none.
    """
    parent = WIRE_ID.findall(parent_id)[:1]
    chain = [
        found for found in dict.fromkeys(WIRE_ID.findall(parent_references)) if found not in parent
    ] + parent
    if len(chain) > KEPT_LAST_IDS + 1:
        chain = chain[:1] + chain[-KEPT_LAST_IDS:]
    return " ".join(chain)


def reply_subject(subject: str) -> str:
    """The subject of a reply: the thread's own, marked once, so that Gmail keeps the thread (G-19)."""
    return subject if REPLY_MARK.match(subject) else f"Re: {subject}".strip()


def forward_subject(subject: str) -> str:
    """The subject of a forward, marked once."""
    return subject if FORWARD_MARK.match(subject) else f"Fwd: {subject}".strip()


def is_header_safe(text: str) -> bool:
    """Whether a text may stand in a header: one line, no control characters (NET-3)."""
    return not any(_breaks_a_line(char) for char in text)


def one_line(text: str) -> str:
    """A text from elsewhere (a thread's subject, a person's name) made fit for a header."""
    return " ".join("".join(" " if _breaks_a_line(char) else char for char in text).split())


def _breaks_a_line(char: str) -> bool:
    return ord(char) < 32 or ord(char) == 127 or char in "\u0085\u2028\u2029"


PIECE = re.compile(r'(?:"[^"]*"|[^,;"])+')
NAMED = re.compile(r'^(?P<name>[^<>]*)<(?P<email>[^<>]+)>$')


def parse_people(text: str) -> tuple[tuple[Address, ...], tuple[str, ...]]:
    """The people of a typed list (`Ann <ann@x.example>, bob@y.example`), each once, and the other pieces.

    An address whose local part is not ASCII is none here: it cannot travel without SMTPUTF8.
    """
    found: dict[str, Address] = {}
    wrong: list[str] = []
    for piece in (piece.strip() for piece in PIECE.findall(text)):
        named = NAMED.match(piece)
        email = (named["email"] if named else piece).strip()
        name = named["name"].strip().strip('"').strip() if named else ""
        key = match_key(email)
        if not is_reachable(key) or not is_header_safe(piece):
            if piece:
                wrong.append(piece)
        else:
            found.setdefault(key, Address(email, key, name))
    return tuple(found.values()), tuple(wrong)


def is_reachable(key: str) -> bool:
    """Whether mail can be addressed to a matching key: it is an address, and its local part is plain ASCII.

    One that looks like an encoded word is nobody's, and would be decoded into something else in a header (NET-3).
    """
    local = key.rpartition("@")[0]
    return bool(local) and local.isascii() and "=?" not in local


# A killed process may leave a request under way for as long as the HTTP wrapper lets a send last.
CERTAIN_AFTER_LOST_ANSWER = timedelta(seconds=60)
CERTAIN_AFTER_KILLED_WORKER = timedelta(seconds=300)


def may_send_again(*, answer_was_lost: bool, since: datetime, now: datetime) -> bool:
    """Whether a mail that the provider does not list can no longer turn up there: sending it anew is safe.

    `answer_was_lost`: our request ended without an answer at `since`; otherwise its worker vanished after it.
    """
    certain = CERTAIN_AFTER_LOST_ANSWER if answer_was_lost else CERTAIN_AFTER_KILLED_WORKER
    return now - since >= certain


def next_look_at(attempts: int, now: datetime) -> datetime:
    """When to try or look again: soon at first, at most every ten minutes."""
    return now + timedelta(seconds=min(600, 15 * 2 ** min(attempts, 6)))
