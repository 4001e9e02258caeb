"""A mailbox at the stand-in, opened by each adapter in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from portal.lib.http import Http
from portal.providers import fetching
from portal.providers.base import MailProvider
from portal.providers.google.client import Spend, spend_freely
from portal.providers.types import ChangePage, Unread
from portal.rules.facts import MailFacts
from tests.providers.adapters import ADAPTERS, GMAIL, Adapter, Tokens
from tests.providers.smtp_server import Begin, MailServer, Script
from tests.services.programs import Sandbox

AMY, PAT = "amy@practice.example", "pat@gmail.com"
OWN = frozenset({AMY, "office@practice.example"})
Result = TypeVar("Result")


@dataclass
class Box:
    """Amy's mailbox through one adapter."""

    sandbox: Sandbox
    adapter: Adapter
    tokens: Tokens
    spend: Spend = spend_freely

    def run(self, work: Callable[[MailProvider], Awaitable[Result]]) -> Result:
        """What `work` gives for the opened mailbox."""

        async def opened() -> Result:
            async with Http(max_connections=12) as http:
                return await work(self.adapter.open(http, self.sandbox.url, self.tokens, self.spend))

        return asyncio.run(opened())

    def cursor(self) -> str:
        """The cursor of now."""
        return self.run(lambda provider: provider.profile()).cursor

    def changes(self, cursor: str) -> list[ChangePage]:
        """Every page after a cursor."""

        async def read(provider: MailProvider) -> list[ChangePage]:
            return [page async for page in provider.changes(cursor)]

        return self.run(read)

    def receive(self, count: int = 1, **params: Any) -> list[str]:
        """Letters from Pat; their ids, oldest first."""
        return [self.deliver(letter(number), **params) for number in range(count)]

    def deliver(self, raw: bytes, **params: Any) -> str:
        """Let a mail of Pat's arrive as it is; its id."""
        return self.adapter.id_of(self.sandbox.deliver(raw, AMY, PAT, **params)[AMY])

    def relabel(self, message_id: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Change a message's labels at the stand-in; those of folders move it."""
        [number] = [m["id"] for m in self.sandbox.messages(AMY) if self.adapter.id_of(m["id"]) == message_id]
        body = {"add": list(add), "remove": list(remove)}
        self.sandbox.call("POST", f"/mailboxes/{AMY}/messages/{number}/labels", json=body)

    def quirk(self, name: str, **values: Any) -> None:
        """Switch an oddity on that every provider has."""
        self.sandbox.quirk(self.adapter.quirks[name], **values)


def letter(number: int = 0, text: str = "Good morning", **fields: str) -> bytes:
    """A plain mail from Pat to Amy, with header fields changed or added (`Message_ID`)."""
    head = {"From": f"Pat Rivers <{PAT}>", "To": f"Amy <{AMY}>", "Subject": f"Letter {number}"}
    head |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in head.items()]
    return "\r\n".join([*lines, "", text, ""]).encode()


def ids_of(pages: list[ChangePage]) -> list[str]:
    """The messages that pages name, in order."""
    return [change.provider_message_id for page in pages for change in page.changes]


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def box(request: pytest.FixtureRequest, sandbox: Sandbox) -> Box:
    """Amy's mailbox at every provider in turn; what only one of them does has a `box` of its own."""
    return open_box(sandbox, request.param)


def open_box(sandbox: Sandbox, adapter: Adapter) -> Box:
    """Amy's mailbox at one provider; Pat lives in the stand-in, too."""
    own = {"aliases": ["office@practice.example"]} if adapter is GMAIL else {}
    sandbox.add_mailbox(AMY, "Amy Stone", kind="workspace", provider=adapter.provider, **own)
    sandbox.add_mailbox(PAT, "Pat Rivers")
    return Box(sandbox, adapter, adapter.tokens(sandbox, AMY))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between two tries are short; their number stays."""
    real = asyncio.sleep
    monkeypatch.setattr(fetching.asyncio, "sleep", lambda seconds: real(min(seconds, 0.02)))


def headers(box: Box, ids: list[str]) -> list[MailFacts | Unread]:
    """The headers of some messages of Amy's."""
    return box.run(lambda provider: provider.headers(ids, OWN))


OUT = letter(From=f"Amy <{AMY}>", To=PAT)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts servers that say what the test wants."""
    servers: list[MailServer] = []

    def start(answers: dict[str, str] | None = None, **values: Any) -> MailServer:
        servers.append(MailServer(Script(answers or {}, **values)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
