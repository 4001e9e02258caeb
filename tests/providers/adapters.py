"""Mail adapters under contract, each with the mailbox it opens at the stand-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from portal.lib.http import Http
from portal.providers.base import MailProvider
from portal.providers.errors import AuthorizationLost
from portal.providers.google.client import GmailClient, Spend, spend_freely
from portal.providers.google.mail import GmailProvider
from portal.providers.microsoft.client import GraphClient
from portal.providers.microsoft.mail import GraphProvider
from sandbox.microsoft.ids import gone_id
from tests.services.programs import Sandbox

TOPIC = "projects/demo/topics/gmail"


@dataclass
class Tokens:
    """The token source of a test: gives `now` until it is refused, then each of `later`, then raises."""

    now: str
    later: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def __call__(self, refused: str | None) -> str:
        if refused == self.now:
            self.refused.append(refused)
            if not self.later:
                raise AuthorizationLost("no other token")
            self.now = self.later.pop(0)
        return self.now


@dataclass(frozen=True)
class Adapter:
    """How to open a mailbox through one provider's adapter, and what the stand-in calls things there."""

    name: str
    provider: str
    open: Callable[[Http, str, Tokens, Spend], MailProvider]
    id_of: Callable[[str], str]  # the provider's id of a message of the stand-in
    quirks: dict[str, str]  # oddities that both providers have, by a name for both

    def tokens(self, sandbox: Sandbox, address: str, count: int = 1) -> Tokens:
        """Access tokens as after a whole consent."""
        found = [str(sandbox.grant(address)["access_token"]) for _ in range(count)]
        return Tokens(found[0], found[1:])


def _open_gmail(http: Http, url: str, tokens: Tokens, spend: Spend = spend_freely) -> MailProvider:
    return GmailProvider(GmailClient(http, url, tokens, spend), topic=TOPIC)


def _open_outlook(http: Http, url: str, tokens: Tokens, _spend: Spend = spend_freely) -> MailProvider:
    return GraphProvider(GraphClient(http, f"{url}/graph", tokens))


GMAIL = Adapter(
    "gmail", "google", _open_gmail, lambda number: number,
    {"page_size": "history_page_size", "empty_page": "history_empty_page", "duplicate": "history_duplicate"},
)  # fmt: skip
OUTLOOK = Adapter(
    "outlook", "microsoft", _open_outlook, lambda number: gone_id(number, immutable=True),
    {"page_size": "ms_delta_page_size", "empty_page": "ms_delta_empty_page", "duplicate": "ms_delta_duplicate"},
)  # fmt: skip
ADAPTERS = (GMAIL, OUTLOOK)
