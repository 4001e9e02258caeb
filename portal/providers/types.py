"""What adapters hand over: the same types whatever the provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from portal.rules.facts import MailFacts


@dataclass(frozen=True)
class Profile:
    """The mailbox behind a grant, and the cursor that stands for "from now on"."""

    address: str
    cursor: str


@dataclass(frozen=True)
class Change:
    """A message that the mailbox's history names. `moved`: it is not new, its labels changed."""

    provider_message_id: str
    moved: bool = False


@dataclass(frozen=True)
class ChangePage:
    """One page of history, oldest first. `cursor` may be stored once everything up to here is stored; "" on a page after
    which none may be stored yet."""

    changes: tuple[Change, ...]
    cursor: str
    is_last: bool


@dataclass(frozen=True)
class RemoteFile:
    """A file of a message: its bytes, or where they can be asked for."""

    name: str
    claimed_type: str
    size: int
    data: bytes | None = None
    remote_id: str = ""
    content_id: str = ""


@dataclass(frozen=True)
class RemoteMail:
    """A whole message: its facts, and the content that may enter once the rules have admitted it."""

    facts: MailFacts
    subject: str
    text: str
    html: str
    files: tuple[RemoteFile, ...] = ()
    size: int = 0
    defects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """A message that could not be had. `gone`: the provider no longer has it; else it may be tried again."""

    provider_message_id: str
    gone: bool
    error: str = ""


@dataclass(frozen=True)
class Sent:
    """What the provider says of a mail it took: its id, its thread, and the Message-ID the world sees."""

    provider_message_id: str
    provider_thread_id: str
    internet_message_id: str


@dataclass(frozen=True)
class Tokens:
    """A token answer. `refresh_token` is "" when none came; `scope` is what was granted, "" when not said."""

    access_token: str = field(repr=False)  # what is repr=False cannot come into a log by accident (OAU-8)
    expires_in: int
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    id_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Identity:
    """Who consented. `subject` is the provider's own id of the person; `organization` is "" for a personal account."""

    subject: str
    organization: str


@dataclass(frozen=True)
class Held:
    """A subscription as the provider knows it: its id there, what it watches, until when."""

    remote_id: str
    resource: str
    expires_at: datetime


@dataclass(frozen=True)
class Watch:
    """Push notices of a mailbox: until when, and the subscriptions they rest on (Gmail has none of its own name)."""

    expires_at: datetime
    held: tuple[Held, ...] = ()
