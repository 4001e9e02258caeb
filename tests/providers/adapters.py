"""Mail adapters under contract, each with the mailbox it opens at the stand-in; a second provider is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from portal.lib.http import Http
from portal.providers.base import MailProvider
from portal.providers.errors import AuthorizationLost
from portal.providers.google.client import GmailClient, Spend, spend_freely
from portal.providers.google.mail import GmailProvider
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
    """How to open a mailbox through one provider's adapter."""

    name: str
    open: Callable[[Http, str, Tokens, Spend], MailProvider]

    def tokens(self, sandbox: Sandbox, address: str, count: int = 1) -> Tokens:
        """Access tokens as after a whole consent."""
        found = [str(sandbox.grant(address)["access_token"]) for _ in range(count)]
        return Tokens(found[0], found[1:])


def _open_gmail(http: Http, url: str, tokens: Tokens, spend: Spend = spend_freely) -> MailProvider:
    return GmailProvider(GmailClient(http, url, tokens, spend), topic=TOPIC)


ADAPTERS = (Adapter("gmail", _open_gmail),)
