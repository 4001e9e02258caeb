"""The protocol that every mail adapter keeps; the same contract suite runs against each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from portal.providers.types import ChangePage, Held, Profile, RemoteFile, RemoteMail, Sent, Unread, Watch
from portal.rules.facts import MailFacts

TokenSource = Callable[[str | None], Awaitable[str]]
"""Gives an access token; told the one that was refused, it gives another or raises AuthorizationLost."""


class MailProvider(Protocol):
    """One mailbox at a provider. Every call raises the errors of `providers.errors`."""

    async def profile(self) -> Profile:
        """Address and present cursor."""
        ...

    async def aliases(self) -> tuple[str, ...]:
        """Addresses the mailbox may send as, itself included."""
        ...

    def changes(self, cursor: str) -> AsyncIterator[ChangePage]:
        """What happened after `cursor`, page by page, oldest first; each message once. Raises CursorExpired."""
        ...

    def listing(self, since: datetime, cursor: str) -> AsyncIterator[ChangePage]:
        """What arrived since a moment, oldest first, for when history is lost. Only the last page bears `cursor`."""
        ...

    async def headers(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[MailFacts | Unread]:
        """The headers of many messages, in the order asked."""
        ...

    async def messages(self, ids: Sequence[str], own_keys: frozenset[str]) -> list[RemoteMail | Unread]:
        """Whole messages, in the order asked; large files stay behind their id."""
        ...

    async def file(self, provider_message_id: str, file: RemoteFile) -> bytes:
        """The bytes of one file. Raises Gone when neither its id nor one like it is in the message any more."""
        ...

    async def send(self, raw: bytes, thread_id: str | None) -> Sent:
        """Send a MIME message, in a thread where that is possible. Raises Unanswered when it may have left all the same."""
        ...

    async def find_sent(self, crm_ref: UUID, since: datetime) -> Sent | None:
        """The sent mail that bears this reference, looked for in what was sent since a moment."""
        ...

    async def watch(self, secret: str, held: Sequence[Held] = ()) -> Watch | None:
        """Ask for push notices or renew those `held`; None where the operator has not set them up.

        Notices bear `secret` where the provider lets us give one (Graph's clientState).
        """
        ...

    async def stop_watch(self, held: Sequence[Held] = ()) -> None:
        """End the push notices of this mailbox."""
        ...
