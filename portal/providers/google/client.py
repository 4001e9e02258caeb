"""Gmail over HTTP and nothing else: tokens, quota, batches, and errors sorted by what to do about them.

Source: the Gmail API reference and its pages on quota, batching and errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import orjson

from portal.lib.http import READ_SECONDS, SEND_SECONDS, Answer, Http, NoAnswer
from portal.providers.base import TokenSource
from portal.providers.errors import AuthorizationLost, Limited, ProviderError, Temporary, TokenRefused, Unanswered
from portal.providers.google.batch import build_batch, read_batch
from portal.providers.google.errors import error_of

Spend = Callable[[int], Awaitable[None]]

# Quota units of projects made since 2026-05-01.
UNITS = {
    "profile": 1, "send_as": 1, "history": 2, "list": 5, "get": 20, "attachment": 20, "send": 100, "watch": 100, "stop": 50,
}  # fmt: skip
BATCH_MOST, BATCH_LEAST = 50, 1
BATCHES_IN_FLIGHT = 4
TRIES = 6


async def spend_freely(_units: int) -> None:
    """No quota kept: for tests of the client alone."""


class GmailClient:
    """One mailbox's requests. `token_source` gives access tokens, `spend` waits for quota units before each call."""

    def __init__(self, http: Http, base: str, token_source: TokenSource, spend: Spend = spend_freely) -> None:
        self._http, self._base, self._token_source, self._spend = http, base.rstrip("/"), token_source, spend
        self._batch_size = BATCH_MOST
        self._gate = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def get(self, path: str, units: int, params: Any = None) -> dict[str, Any]:
        """GET below users/me. Raises the errors of `providers.errors`."""
        return _json(await self._call("GET", f"/gmail/v1/users/me/{path}", units, params=params))

    async def post(self, path: str, units: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST JSON below users/me."""
        content = orjson.dumps(body) if body is not None else b""
        headers = {"Content-Type": "application/json"}
        answer = await self._call("POST", f"/gmail/v1/users/me/{path}", units, content=content, headers=headers)
        return _json(answer) if answer.body.strip() else {}

    async def post_send(self, path: str, content: bytes, content_type: str, params: Any = None) -> dict[str, Any]:
        """POST a message to be sent. Raises Unanswered where it may have been taken although no answer says so."""
        try:
            answer = await self._call(
                "POST", path, UNITS["send"], params=params, content=content,
                headers={"Content-Type": content_type}, read_seconds=SEND_SECONDS,
            )  # fmt: skip
            return _json(answer)
        except Temporary as error:
            raise error if isinstance(error, NotSent) else Unanswered(str(error)) from error

    async def batch_get(self, paths: Sequence[str]) -> list[dict[str, Any] | ProviderError]:
        """Many GETs below users/me, `messages.get` each, in batches, answered in the order asked.

        A part that was limited or failed for a moment is asked again in smaller batches; one that stays so comes back
        as its error. Raises what concerns the whole mailbox (authorisation, quota of the day).
        """
        found: dict[int, dict[str, Any] | ProviderError] = {}
        waiting = list(range(len(paths)))
        for attempt in range(TRIES):
            size = self._batch_size
            groups = [waiting[start : start + size] for start in range(0, len(waiting), size)]
            results = await asyncio.gather(*(self._one_batch([(i, paths[i]) for i in group]) for group in groups))
            limited: Limited | None = None
            for result in results:
                for index, value in result:
                    found[index] = value
                    limited = value if isinstance(value, Limited) else limited
            waiting = [i for i in waiting if isinstance(found[i], (Limited, Temporary))]
            if not waiting:
                self._batch_size = min(BATCH_MOST, self._batch_size * 2)
                break
            if limited is not None and (limited.until or limited.seconds):
                raise limited
            self._batch_size = max(BATCH_LEAST, self._batch_size // 2)
            await asyncio.sleep(min(8.0, 0.25 * 2**attempt))
        if stuck := next((v for v in found.values() if isinstance(v, (Limited, AuthorizationLost))), None):
            raise stuck
        return [found[i] for i in range(len(paths))]

    async def _one_batch(self, parts: list[tuple[int, str]]) -> list[tuple[int, dict[str, Any] | ProviderError]]:
        async with self._gate:
            boundary = f"batch_{uuid4().hex}"
            answer = await self._call(
                "POST", "/batch/gmail/v1", UNITS["get"] * len(parts), content=build_batch(boundary, parts),
                headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
            )  # fmt: skip
        answers = read_batch(answer)
        results: list[tuple[int, dict[str, Any] | ProviderError]] = []
        for index, _path in parts:
            part = answers.get(index)
            results.append((index, _judge(part) if part else Temporary("a part of the batch has no answer")))
        return results

    async def _call(
        self, method: str, path: str, units: int, *, params: Any = None, content: bytes | None = None,
        headers: dict[str, str] | None = None, read_seconds: float = READ_SECONDS,
    ) -> Answer:  # fmt: skip
        """One call with its quota; a refused token is refreshed once. Raises the errors of `providers.errors`."""
        refused: str | None = None
        while True:
            token = await self._token_source(refused)
            await self._spend(units)
            sent_headers = {"Authorization": f"Bearer {token}", **(headers or {})}
            try:
                answer = await self._http.request(
                    method, self._base + path, params=params, headers=sent_headers, content=content,
                    read_seconds=read_seconds,
                )  # fmt: skip
            except NoAnswer as error:
                raise Temporary(str(error)) if error.sent else NotSent(str(error)) from None
            error = error_of(answer)
            if not isinstance(error, TokenRefused):
                break
            if refused is not None:
                raise AuthorizationLost("the refreshed token was refused too")
            refused = token
        if error is not None:
            raise error
        return answer


class NotSent(Temporary):
    """The request never left: it may simply be repeated."""


def _judge(answer: Answer) -> dict[str, Any] | ProviderError:
    error = error_of(answer)
    if isinstance(error, TokenRefused):
        return Temporary("a part of the batch was refused its token")
    if error is not None:
        return error
    try:
        return _json(answer)
    except Temporary as unreadable:
        return unreadable


def _json(answer: Answer) -> dict[str, Any]:
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise Temporary("an answer that is no JSON") from None
    if not isinstance(value, dict):
        raise Temporary("an answer of the wrong kind")
    return value
