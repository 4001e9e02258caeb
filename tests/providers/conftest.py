"""A mailbox at the stand-in, opened by each adapter in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from portal.lib.http import Http
from portal.providers.base import MailProvider
from portal.providers.google import fetching
from portal.providers.google.client import Spend, spend_freely
from portal.providers.types import ChangePage, Unread
from portal.rules.facts import MailFacts
from tests.providers.adapters import ADAPTERS, Adapter, Tokens
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
        return [self.sandbox.deliver(letter(number), AMY, PAT, **params)[AMY] for number in range(count)]


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
    """Amy's mailbox; Pat lives in the stand-in, too."""
    sandbox.add_mailbox(AMY, "Amy Stone", kind="workspace", aliases=["office@practice.example"])
    sandbox.add_mailbox(PAT, "Pat Rivers")
    return Box(sandbox, request.param, request.param.tokens(sandbox, AMY))


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
