"""Many gets of one mailbox in batches: smaller ones when the provider complains, each part asked again by itself.

Every part counts in the quota by itself and may fail by itself. How a batch is written and read is its provider's.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from portal.lib.clock import now
from portal.lib.http import TOO_LARGE
from portal.providers.errors import (
    AuthorizationLost,
    Gone,
    Limited,
    OperatorFault,
    ProviderError,
    Temporary,
    TokenRefused,
)
from portal.providers.types import RemoteFile, Unread

PATIENCE_SECONDS = 70.0  # a quota of the minute frees up within it; what takes longer is for another run
Found = dict[str, Any] | ProviderError
Part = tuple[int, str]
Parsed = TypeVar("Parsed")


class BatchFetching(ABC):
    """Gets many things of one mailbox. The size of batches is remembered between calls."""

    def __init__(self, most: int, tries: int) -> None:
        """`most` gets in a batch; `tries` are enough to come down from it to single gets."""
        self._most = self._size = most
        self._tries = tries

    @abstractmethod
    async def _answers(self, parts: list[Part]) -> tuple[Mapping[int, Found], str]:
        """One batch: what came for the parts, by number, and the token it was asked with. One without answer is absent."""

    @abstractmethod
    def _note_refused(self, token: str) -> None:
        """A part was refused for its token: the next batch is asked with another."""

    async def get_many(self, paths: Sequence[str]) -> list[Found]:
        """GETs below the adapter's base, answered in the order asked.

        A part that fails for a moment is asked again; one that stays so comes back as its error. Raises what concerns
        the whole mailbox: authorisation, a limit that does not pass within a minute, the provider being away.
        """
        found: list[Found] = [Temporary("not asked yet")] * len(paths)
        waiting = list(range(len(paths)))
        patience = PATIENCE_SECONDS
        refused: set[str] = set()  # tokens; the second one ends it
        for attempt in range(self._tries):
            await self._ask([(i, paths[i]) for i in waiting], found, refused)
            waiting = [i for i in waiting if isinstance(found[i], (Limited, Temporary, TokenRefused))]
            if not waiting:
                self._grow()
                return found
            if len(refused) > 1:
                break
            seconds = self._wait(attempt, [found[i] for i in waiting])
            if (patience := patience - seconds) < 0 or attempt == self._tries - 1:
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
        try:
            answers, token = await self._answers(parts)
        except (Limited, Temporary) as error:  # each of its parts is asked again
            trouble = _of_envelope(error)
            for index, _path in parts:
                found[index] = trouble
            return
        for index, _path in parts:
            found[index] = value = answers.get(index) or Temporary("a part of the batch has no answer")
            if isinstance(value, TokenRefused):
                refused.add(token)
                self._note_refused(token)
            elif isinstance(value, (AuthorizationLost, OperatorFault)):
                raise value

    def _wait(self, attempt: int, troubles: list[Found]) -> float:
        """How long to wait before the next round, with smaller batches for it. Seconds."""
        if all(isinstance(trouble, TokenRefused) for trouble in troubles):
            return 0.0
        limited = [trouble for trouble in troubles if isinstance(trouble, Limited)]
        self._shrink(limited)
        told = max((trouble.seconds_left(now()) for trouble in limited), default=0.0)
        longest = 8.0 if limited else 1.0
        return max(told, min(longest, 0.25 * (1 << attempt))) + random.uniform(0, 0.2)

    def _shrink(self, limited: Sequence[Limited]) -> None:
        """Smaller batches after a round that met trouble; `limited` is what was over a quota."""
        self._size = max(1, self._size // 2)

    def _grow(self) -> None:
        """Larger batches again after a round without trouble."""
        self._size = min(self._most, self._size * 2)


class _EnvelopeTrouble(Temporary):
    """A whole batch had no usable answer."""


def _of_envelope(error: Limited | Temporary) -> ProviderError:
    """A batch whose answer is too large may hold one message that is; every other trouble is the provider's."""
    return error if isinstance(error, Limited) or str(error) == TOO_LARGE else _EnvelopeTrouble(str(error))


def _raise_common(found: list[Found], troubles: list[ProviderError]) -> None:
    """What is left after all tries and speaks of the mailbox or of the provider, not of one message."""
    if any(isinstance(trouble, TokenRefused) for trouble in troubles):
        raise AuthorizationLost("the renewed token was refused too")
    limited = [trouble for trouble in troubles if isinstance(trouble, Limited)]
    if limited:
        raise max(limited, key=lambda trouble: trouble.seconds_left(now()))
    away = [trouble for trouble in troubles if isinstance(trouble, _EnvelopeTrouble)]
    if away or (len(troubles) == len(found) > 1):  # one bad message is a bad message; all of them are an outage
        raise (away or troubles)[0]


def read_one(message_id: str, value: Found, parse: Callable[[dict[str, Any]], Parsed]) -> Parsed | Unread:
    """One answer as its type; whatever is wrong with it concerns this message only."""
    if isinstance(value, ProviderError):
        return Unread(message_id, gone=isinstance(value, Gone), error=str(value)[:200])
    if value.get("id") != message_id:
        return Unread(message_id, gone=False, error="the answer is about another message")
    try:
        return parse(value)
    except Exception as error:  # a stranger wrote it: no mail may stop the others
        return Unread(message_id, gone=False, error=f"{type(error).__name__} while reading")


def id_of_like(file: RemoteFile, others: Iterable[RemoteFile]) -> str:
    """The present id of a file whose id has aged: that of the one like it in the same message. Raises Gone."""
    for other in others:
        if (other.name, other.size, other.content_id) == (file.name, file.size, file.content_id) and other.remote_id:
            return other.remote_id
    raise Gone("the file is no longer in its message")
