"""The account's own mail server, as those use it who send through it (S-01).

A server that is away or asks us to wait puts all mail of its account off: `retry_at` says until when, `trouble` why. Nothing
is lost by that; the mail waits.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

from flask import current_app
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import MailRelay
from portal.providers.errors import OperatorFault, ProviderError, Refused
from portal.providers.smtp.relay import HostRefused, RelayServer, SenderRefused, SignInRefused, TlsRefused
from portal.sealing import open_text

PASSWORD = "mail_relay.password"  # noqa: S105  the place that it is sealed for
MAX_WORDS = 300
WORDS: tuple[tuple[type[ProviderError], str], ...] = (
    (SignInRefused, "The mail server refuses the sign-in."),
    (TlsRefused, "The mail server offers no encryption that can be trusted."),
    (HostRefused, "The mail server’s name leads to a place that the portal may not send to."),
    (OperatorFault, "The mail server refuses to talk to the portal."),
    (SenderRefused, "The mail server does not take mail from this sender."),
    (Refused, "The mail server refused the mail."),
    (ProviderError, "The mail server cannot be reached at the moment, or asked the portal to wait."),
)


def relay_of(account_id: UUID) -> MailRelay | None:
    """The account's mail server when its settings have passed a test; else None."""
    return db.session.scalar(select(MailRelay).where(MailRelay.account_id == account_id, MailRelay.is_on.is_(True)))


def settings_of(account_id: UUID) -> MailRelay | None:
    """The account's mail server, in use or not."""
    return db.session.scalar(select(MailRelay).where(MailRelay.account_id == account_id))


def server_of(relay: MailRelay) -> RelayServer:
    """Where to connect and how to sign in; opens the sealed password. Needs no transaction afterwards."""
    settings = current_app.extensions["settings"]
    return RelayServer(
        host=relay.host,
        port=relay.port,
        security=relay.security,
        username=relay.username,
        password=open_text(relay.password, PASSWORD, relay.account_id, relay.id),
        may_be_private=settings.relay_private_hosts,
        client_name=_public_name(settings.base_url),
    )


def _public_name(base_url: str) -> str:
    """The portal's name for EHLO; "" where it has an address only."""
    host = urlsplit(base_url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host if "." in host else ""
    return ""


def words_of(error: ProviderError) -> str:
    """What a server's trouble is, in one sentence, with nothing of what the server wrote."""
    return next(words for kind, words in WORDS if isinstance(error, kind))


def is_waiting(relay: MailRelay) -> bool:
    """Whether nothing is to be tried at present."""
    return relay.retry_at is not None and relay.retry_at > now()


def note_trouble(relay: MailRelay, words: str, retry_at: datetime) -> None:
    """Put the account's mail off until `retry_at`, in the caller's transaction."""
    relay.trouble, relay.retry_at = words[:MAX_WORDS], retry_at


def note_recovered(relay: MailRelay) -> None:
    """Mail flows again; writes nothing when it did all the time."""
    if relay.trouble or relay.retry_at is not None:
        relay.trouble, relay.retry_at = "", None
