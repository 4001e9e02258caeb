"""Many gets of one mailbox in Graph's JSON batches, smaller ones when it complains.

Source: Graph's page on JSON batching: at most 20 requests, each answered with a status of its own and counted by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import orjson

from portal.lib.clock import now
from portal.lib.http import TOO_LARGE, Answer
from portal.providers.errors import AuthorizationLost, Limited, OperatorFault, ProviderError, Temporary, TokenRefused
from portal.providers.microsoft.client import IMMUTABLE, GraphClient, together
from portal.providers.microsoft.errors import error_of

BATCH_MOST = 20
TRIES = 6  # enough to come down from the largest batch to single gets
PATIENCE_SECONDS = 70.0  # what takes longer is for another run
Found = dict[str, Any] | ProviderError
Part = tuple[int, str]


class Fetching:
    """Gets many things of one mailbox. The size of batches is remembered between calls."""

    def __init__(self, client: GraphClient) -> None:
        self._client, self._size = client, BATCH_MOST

    async def get_many(self, paths: Sequence[str]) -> list[Found]:
        """GETs below the version, answered in the order asked.

        A part that fails for a moment is asked again; one that stays so comes back as its error. Raises what concerns
        the whole mailbox: authorisation, a limit that does not pass within a minute, Graph being away.
        """
        found: list[Found] = [Temporary("not asked yet")] * len(paths)
        waiting = list(range(len(paths)))
        patience = PATIENCE_SECONDS
        refused: set[str] = set()  # tokens; the second one ends it
        for attempt in range(TRIES):
            await self._ask([(i, paths[i]) for i in waiting], found, refused)
            waiting = [i for i in waiting if isinstance(found[i], (Limited, Temporary, TokenRefused))]
            if not waiting:
                self._size = min(BATCH_MOST, self._size * 2)
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
        await together(self._batch(group, found, refused) for group in groups)

    async def _batch(self, parts: list[Part], found: list[Found], refused: set[str]) -> None:
        try:
            answer, token = await self._client.batch([_request(index, path) for index, path in parts])
        except (Limited, Temporary) as error:  # each of its parts is asked again
            for index, _path in parts:
                found[index] = _of_envelope(error)
            return
        answers = _by_number(answer)
        for index, _path in parts:
            found[index] = value = answers.get(index) or Temporary("a part of the batch has no answer")
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
        told = max((trouble.seconds_left(now()) for trouble in limited), default=0.0)
        longest = 8.0 if limited else 1.0
        return max(told, min(longest, 0.25 * (1 << attempt))) + random.uniform(0, 0.2)


class _EnvelopeTrouble(Temporary):
    """A whole batch had no usable answer."""


def _of_envelope(error: Limited | Temporary) -> ProviderError:
    """A batch whose answer is too large may hold one message that is; every other trouble is Graph's."""
    return error if isinstance(error, Limited) or str(error) == TOO_LARGE else _EnvelopeTrouble(str(error))


def _request(index: int, path: str) -> dict[str, Any]:
    return {"id": str(index), "method": "GET", "url": path, "headers": {"Prefer": IMMUTABLE}}


def _by_number(answer: dict[str, Any]) -> dict[int, Found]:
    """The answers by number. They come in any order; one that cannot be read is absent."""
    found: dict[int, Found] = {}
    responses = answer.get("responses")
    for item in responses if isinstance(responses, list) else ():
        number = str(item.get("id") or "") if isinstance(item, dict) else ""
        if number.isdigit() and len(number) < 10:
            found[int(number)] = _judge(item)
    return found


def _judge(item: dict[str, Any]) -> Found:
    status, body, headers = item.get("status"), item.get("body"), item.get("headers")
    if not isinstance(status, int):
        return Temporary("a part of the batch without a status")
    told = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    if trouble := error_of(Answer(status, told, orjson.dumps(body))):
        return trouble
    return body if isinstance(body, dict) else Temporary("a part of the batch of the wrong kind")


def _raise_common(found: list[Found], troubles: list[ProviderError]) -> None:
    """What is left after all tries and speaks of the mailbox or of Graph, not of one message."""
    if any(isinstance(trouble, TokenRefused) for trouble in troubles):
        raise AuthorizationLost("the renewed token was refused too")
    limited = [trouble for trouble in troubles if isinstance(trouble, Limited)]
    if limited:
        raise max(limited, key=lambda trouble: trouble.seconds_left(now()))
    away = [trouble for trouble in troubles if isinstance(trouble, _EnvelopeTrouble)]
    if away or (len(troubles) == len(found) > 1):  # one bad message is a bad message; all of them are an outage
        raise (away or troubles)[0]
