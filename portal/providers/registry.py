"""Which adapter speaks to which provider: the only place that knows them all."""

from __future__ import annotations

from typing import Protocol

from portal.lib.http import Http
from portal.providers.base import Authority, MailProvider, TokenSource
from portal.providers.google import oauth as google_oauth
from portal.providers.google.client import GmailClient, Spend, spend_freely
from portal.providers.google.mail import GmailProvider
from portal.providers.microsoft import oauth as microsoft_oauth
from portal.providers.microsoft.client import GraphClient
from portal.providers.microsoft.mail import GraphProvider

GOOGLE, MICROSOFT = "google", "microsoft"


class ProviderSettings(Protocol):
    """What adapters need of the settings."""

    @property
    def gmail_api_base(self) -> str: ...

    @property
    def google_pubsub_topic(self) -> str: ...

    @property
    def graph_base(self) -> str: ...

    @property
    def base_url(self) -> str: ...

    @property
    def ms_push(self) -> bool: ...


def mail_provider(
    provider: str, token_source: TokenSource, http: Http, settings: ProviderSettings, spend: Spend | None = None
) -> MailProvider:
    """The adapter for one mailbox. `spend` waits for Gmail's quota units before each call; None keeps no quota.

    Raises ValueError for a provider that has no adapter.
    """
    if provider == MICROSOFT:
        graph = GraphClient(http, settings.graph_base, token_source)
        return GraphProvider(graph, settings.base_url if settings.ms_push else "")
    if provider != GOOGLE:
        raise ValueError(f"no mail provider is called {provider!r}")
    client = GmailClient(http, settings.gmail_api_base, token_source, spend or spend_freely)
    return GmailProvider(client, topic=settings.google_pubsub_topic)


def authority(provider: str) -> Authority:
    """Who gives consent to such mailboxes. Raises ValueError for a provider that is not known."""
    known: tuple[Authority, ...] = (google_oauth, microsoft_oauth)
    for found in known:
        if found.name == provider:
            return found
    raise ValueError(f"no mail provider is called {provider!r}")
