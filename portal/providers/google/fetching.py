"""Many gets of one mailbox: in batches, a few in flight, fewer and smaller ones when Gmail complains.

Source: Gmail's pages on batching (at most 100 calls, more than 50 not recommended; each part counts in the quota by
itself and may fail by itself) and on errors ("Too many concurrent requests for user").
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from uuid import uuid4

from portal.lib.clock import now
from portal.lib.http import TOO_LARGE, Answer
from portal.providers.answers import json_of
from portal.providers.errors import (
    AuthorizationLost,
    Limited,
    OperatorFault,
    ProviderError,
    Temporary,
    TokenRefused,
)
from portal.providers.google.batch import build_batch, read_batch
from portal.providers.google.client import UNITS, GmailClient
from portal.providers.google.errors import TOO_MANY, error_of

BATCH_MOST = 50
LANES_MOST = 4
TRIES = 7  # enough to come down from the largest batch to single gets
PATIENCE_SECONDS = 70.0  # a quota of the minute frees up within it; what takes longer is for another run
Found = dict[str, Any] | ProviderError
Part = tuple[int, str]


class Fetching:
    """Gets many messages of one mailbox. The size of batches and the number in flight are remembered between calls."""

    def __init__(self, client: GmailClient) -> None:
        self._client = client
        self._size = BATCH_MOST
        self._lanes = _Lanes()

    async def get_many(self, paths: Sequence[str]) -> list[Found]:
        """GETs below users/me, `messages.get` each, answered in the order asked.

        A part that fails for a moment is asked again; one that stays so comes back as its error. Raises what concerns
        the whole mailbox: authorisation, a quota that does not free up within a minute, Gmail being away.
        """
        found: list[Found] = [Temporary("not asked yet")] * len(paths)
        waiting = list(range(len(paths)))
        patience = PATIENCE_SECONDS
        refused: set[str] = set()  # tokens; the second one ends it
        for attempt in range(TRIES):
            await self._ask([(i, paths[i]) for i in waiting], found, refused)
            waiting = [i for i in waiting if isinstance(found[i], (Limited, Temporary, TokenRefused))]
            if not waiting:
                self._grow()
                return found
            if len(refused) > 1:
                break
            seconds = self._wait(attempt, [found[i] for i in waiting])
            if (patience := patience - seconds) < 0 or attempt == TRIES - 1:
                break
            await asyncio.sleep(seconds)
        _raise_common(found, [trouble for i in waiting if isinstance(trouble := found[i], ProviderError)])
        return found

    async def _ask(self, parts: list[Part], found: list[Found], refused: set[str]) -> None:
        """One round: every part is asked once, and its answer written into `found`."""
        groups = [parts[start : start + self._size] for start in range(0, len(parts), self._size)]
        tasks = [asyncio.create_task(self._batch(group, found, refused)) for group in groups]
        try:
            await asyncio.gather(*tasks)
        finally:  # a trouble of the whole mailbox ends the other batches too
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _batch(self, parts: list[Part], found: list[Found], refused: set[str]) -> None:
        async with self._lanes:
            boundary = f"batch_{uuid4().hex}"
            try:
                answer, token = await self._client.call(
                    "POST", "/batch/gmail/v1", UNITS["get"] * len(parts), content=build_batch(boundary, parts),
                    content_type=f"multipart/mixed; boundary={boundary}",
                )  # fmt: skip
            except (Limited, Temporary) as error:  # each of its parts is asked again
                trouble = _of_envelope(error)
                for index, _path in parts:
                    found[index] = trouble
                return
        answers = read_batch(answer)
        for index, _path in parts:
            part = answers.get(index)
            found[index] = value = _judge(part) if part else Temporary("a part of the batch has no answer")
            if isinstance(value, TokenRefused):
                refused.add(token)
                self._client.refused = token
            elif isinstance(value, (AuthorizationLost, OperatorFault)):
                raise value

    def _wait(self, attempt: int, troubles: list[Found]) -> float:
        """How long to wait before the next round, with smaller batches for it. Seconds."""
        if all(isinstance(trouble, TokenRefused) for trouble in troubles):
            return 0.0
        limited = [trouble for trouble in troubles if isinstance(trouble, Limited)]
        self._size = max(1, self._size // 2)
        if any(TOO_MANY in str(trouble) for trouble in limited):
            self._lanes.most = max(1, self._lanes.most // 2)
        told = max((trouble.seconds_left(now()) for trouble in limited), default=0.0)
        longest = 8.0 if limited else 1.0
        return max(told, min(longest, 0.25 * (1 << attempt))) + random.uniform(0, 0.2)

    def _grow(self) -> None:
        self._size = min(BATCH_MOST, self._size * 2)
        self._lanes.most = min(LANES_MOST, self._lanes.most + 1)


class _EnvelopeTrouble(Temporary):
    """A whole batch had no usable answer."""


def _of_envelope(error: Limited | Temporary) -> ProviderError:
    """A batch whose answer is too large may hold one message that is; every other trouble is Gmail's."""
    return error if isinstance(error, Limited) or str(error) == TOO_LARGE else _EnvelopeTrouble(str(error))


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


def _raise_common(found: list[Found], troubles: list[ProviderError]) -> None:
    """What is left after all tries and speaks of the mailbox or of Gmail, not of one message."""
    if any(isinstance(trouble, TokenRefused) for trouble in troubles):
        raise AuthorizationLost("the renewed token was refused too")
    limited = [trouble for trouble in troubles if isinstance(trouble, Limited)]
    if limited:
        raise max(limited, key=lambda trouble: trouble.seconds_left(now()))
    away = [trouble for trouble in troubles if isinstance(trouble, _EnvelopeTrouble)]
    if away or (len(troubles) == len(found) > 1):  # one bad message is a bad message; all of them are an outage
        raise (away or troubles)[0]


def _judge(answer: Answer) -> Found:
    if trouble := error_of(answer):
        return trouble
    try:
        return json_of(answer)
    except Temporary as unreadable:
        return unreadable
