"""Which adapter speaks to which provider: the only place that knows them all."""

from __future__ import annotations

from typing import Protocol

from portal.lib.http import Http
from portal.providers.base import MailProvider, TokenSource
from portal.providers.google.client import GmailClient, Spend, spend_freely
from portal.providers.google.mail import GmailProvider

GOOGLE = "google"


class ProviderSettings(Protocol):
    """What adapters need of the settings."""

    @property
    def gmail_api_base(self) -> str: ...

    @property
    def google_pubsub_topic(self) -> str: ...


def mail_provider(
    provider: str, token_source: TokenSource, http: Http, settings: ProviderSettings, spend: Spend | None = None
) -> MailProvider:
    """The adapter for one mailbox. `spend` waits for quota units before each call; None keeps no quota.

    Raises ValueError for a provider that has no adapter.
    """
    if provider != GOOGLE:
        raise ValueError(f"no mail provider is called {provider!r}")
    client = GmailClient(http, settings.gmail_api_base, token_source, spend or spend_freely)
    return GmailProvider(client, topic=settings.google_pubsub_topic)
