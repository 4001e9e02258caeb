"""The one HTTP wrapper for calls to providers: timeouts, no redirects, bounded answers, one kind of trouble."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any

import httpx2

CONNECT_SECONDS, READ_SECONDS, SEND_SECONDS = 5.0, 30.0, 120.0
DRIP_FACTOR = 2  # a whole answer may take this many times the longest pause
MAX_ANSWER_BYTES = 64 * 1024 * 1024  # a 35 MB message grows by a third in base64
TOO_LARGE = "answer too large"
NEVER_LEFT = (
    httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)  # fmt: skip


class NoAnswer(Exception):
    """No usable answer. `sent` tells whether the request may have reached the other side."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Answer:
    """A complete answer: status, headers, body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Http:
    """A pool of connections. Use it as an async context manager, one per run; never across event loops."""

    def __init__(self, *, max_connections: int = 100) -> None:
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=READ_SECONDS),
            limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            verify=_certificates(),
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> Answer:
        """One request. Raises NoAnswer for connection trouble, time-outs, cut or oversized answers."""
        timeout = httpx2.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=READ_SECONDS)
        try:
            request = self._client.build_request(
                method, url, params=params, headers=dict(headers or {}), content=content, data=form, timeout=timeout
            )
            async with asyncio.timeout(read_seconds * DRIP_FACTOR):
                answer = await self._client.send(request, stream=True)
                try:
                    body = await _bounded(answer)
                finally:
                    await answer.aclose()
        except NEVER_LEFT as error:
            raise NoAnswer(type(error).__name__, sent=False) from None
        except (httpx2.HTTPError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__, sent=True) from None
        return Answer(answer.status_code, answer.headers, body)


@lru_cache(maxsize=1)
def _certificates() -> ssl.SSLContext:
    """Checks certificates against those of certifi, TLS 1.2 or later. Loaded once: it costs more than many calls."""
    return httpx2.create_ssl_context(trust_env=False)


async def _bounded(answer: httpx2.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise NoAnswer(TOO_LARGE, sent=True)
        parts.append(part)
    return b"".join(parts)
