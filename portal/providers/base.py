"""The protocol that every mail adapter keeps; the same contract suite runs against each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from config import Settings
from portal.lib.http import Http
from portal.providers.types import (
    ChangePage,
    Held,
    Identity,
    Profile,
    RemoteFile,
    RemoteMail,
    Sent,
    Tokens,
    Unread,
    Watch,
)
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

    async def thread_messages(self, thread_ids: Sequence[str], since: datetime) -> list[str]:
        """Messages of these threads since a moment that `changes` may not name, oldest first; empty where it names all."""
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


class Authority(Protocol):
    """Who gives consent to a mailbox: the consent page, tokens, identity. A module of the provider keeps this protocol."""

    name: str  # as it is stored
    label: str  # as people call it
    callback: str  # our path that it sends people back to; one for each provider (OAU-3)
    can_revoke: bool  # a consent can be given back, and then ends for everybody who leans on it
    reading_box: str  # the permission to read mail, in the words of the consent page

    def authorize_url(
        self, settings: Settings, *, state: str, nonce: str, verifier: str, login_hint: str = ""
    ) -> str:
        """The consent page's address with PKCE S256. `login_hint` is the mailbox whose consent is renewed."""
        ...

    def is_issuer(self, settings: Settings, said: str) -> bool:
        """Whether an answer whose `iss` (RFC 9207) is `said` can come from here."""
        ...

    def refusal(self, error: str, description: str) -> str:
        """Why the consent page sent somebody back without a code: a word of connections.refusals."""
        ...

    async def exchange(self, http: Http, settings: Settings, code: str, verifier: str) -> Tokens:
        """Tokens for a code. Raises CodeRefused, AuthorizationLost, OperatorFault, Temporary."""
        ...

    async def verify_identity(
        self, http: Http, settings: Settings, id_token: str, nonce: str, now: datetime
    ) -> Identity:
        """Who an id_token speaks of (OAU-5). Raises IdentityRefused; Temporary when the keys cannot be had."""
        ...

    def missing_boxes(self, tokens: Tokens) -> tuple[str, ...]:
        """The permissions that sync needs and that were not given, in the words of the consent page."""
        ...

    def is_consumer(self, address: str, identity: Identity) -> bool:
        """Whether the mailbox is a personal one, which no BAA can cover (P-06)."""
        ...

    async def refresh(self, http: Http, settings: Settings, refresh_token: str) -> Tokens:
        """A new access token, with a new refresh token where the provider rotates it.

        Raises AuthorizationLost (its cause is a word of rules.reasons.Cause), MissingPermission, OperatorFault, Temporary.
        """
        ...

    async def revoke(self, http: Http, settings: Settings, token: str) -> str:
        """Give the consent back as far as that is possible; a word that says what became of it. Raises Temporary."""
        ...
