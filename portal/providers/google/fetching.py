"""Gmail's part of getting much at once: batches in multipart, a few in flight, fewer when Gmail complains.

Source: Gmail's pages on batching (at most 100 calls, more than 50 not recommended) and on errors ("Too many concurrent
requests for user").
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from uuid import uuid4

from portal.lib.http import Answer
from portal.providers.answers import json_of
from portal.providers.errors import Limited, Temporary
from portal.providers.fetching import BatchFetching, Found, Part
from portal.providers.google.batch import build_batch, read_batch
from portal.providers.google.client import UNITS, GmailClient
from portal.providers.google.errors import TOO_MANY, error_of

BATCH_MOST = 50
LANES_MOST = 4
TRIES = 7  # enough to come down from the largest batch to single gets


class Fetching(BatchFetching):
    """`messages.get` below users/me, many at once. The number of batches in flight is remembered between calls too."""

    def __init__(self, client: GmailClient) -> None:
        super().__init__(BATCH_MOST, TRIES)
        self._client = client
        self._lanes = _Lanes()

    async def _answers(self, parts: list[Part]) -> tuple[dict[int, Found], str]:
        async with self._lanes:
            boundary = f"batch_{uuid4().hex}"
            answer, token = await self._client.call(
                "POST", "/batch/gmail/v1", UNITS["get"] * len(parts), content=build_batch(boundary, parts),
                content_type=f"multipart/mixed; boundary={boundary}",
            )  # fmt: skip
        return {number: _judge(part) for number, part in read_batch(answer).items()}, token

    def _note_refused(self, token: str) -> None:
        self._client.refused = token

    def _shrink(self, limited: Sequence[Limited]) -> None:
        super()._shrink(limited)
        if any(TOO_MANY in str(trouble) for trouble in limited):
            self._lanes.most = max(1, self._lanes.most // 2)

    def _grow(self) -> None:
        super()._grow()
        self._lanes.most = min(LANES_MOST, self._lanes.most + 1)


class _Lanes:
    """How many batches may be in flight; the number may change while some are."""

    def __init__(self) -> None:
        self.most, self._busy, self._free = LANES_MOST, 0, asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._free:
            await self._free.wait_for(lambda: self._busy < self.most)
            self._busy += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._busy -= 1
        async with self._free:
            self._free.notify_all()


def _judge(answer: Answer) -> Found:
    if trouble := error_of(answer):
        return trouble
    try:
        return json_of(answer)
    except Temporary as unreadable:
        return unreadable
