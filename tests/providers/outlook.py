"""Amy's Outlook mailbox, with what its tests look at: every request that leaves, and an address for notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from portal.lib.http import Answer, Http
from portal.providers.microsoft.client import GraphClient
from portal.providers.microsoft.mail import GraphProvider
from tests.providers.conftest import Box

Result = TypeVar("Result")


class Recording(Http):
    """The real wrapper; notes what it is asked."""

    def __init__(self, asked: list[tuple[str, str, dict[str, str]]]) -> None:
        super().__init__(max_connections=12)
        self._asked = asked

    async def request(self, method: str, url: str, **values: Any) -> Answer:
        """As the wrapper's."""
        self._asked.append((method, url, dict(values.get("headers") or {})))
        return await super().request(method, url, **values)


@dataclass
class OutlookBox(Box):
    """Amy's mailbox; `asked` is every request as (method, url, headers)."""

    base_url: str = ""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def run(self, work: Callable[[Any], Awaitable[Result]]) -> Result:
        """What `work` gives for the opened mailbox."""
        async def opened() -> Result:
            async with Recording(self.asked) as http:
                client = GraphClient(http, f"{self.sandbox.url}/graph", self.tokens)
                return await work(GraphProvider(client, self.base_url))

        return asyncio.run(opened())

    def drafts(self, address: str) -> list[dict[str, Any]]:
        """What lies among somebody's drafts."""
        return [m for m in self.sandbox.messages(address) if "DRAFT" in m["labels"] and "TRASH" not in m["labels"]]


class _Echo(BaseHTTPRequestHandler):
    """Answers the handshake of a subscription; other notices are taken and forgotten."""

    def do_POST(self) -> None:
        """Give a validation token back as text."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = parse_qs(urlsplit(self.path).query).get("validationToken", [""])[0]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(token.encode())

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def listening() -> Iterator[str]:
    """The address of a program that takes notices."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
