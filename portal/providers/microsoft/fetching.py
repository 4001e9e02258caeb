"""Graph's part of getting much at once: JSON batches.

Source: Graph's page on JSON batching: at most 20 requests, each answered with a status of its own and counted by itself.
"""

from __future__ import annotations

from typing import Any

import orjson

from portal.lib.http import Answer
from portal.providers.errors import Temporary
from portal.providers.fetching import BatchFetching, Found, Part
from portal.providers.microsoft.client import IMMUTABLE, GraphClient
from portal.providers.microsoft.errors import error_of

BATCH_MOST = 20
TRIES = 6  # enough to come down from the largest batch to single gets


class Fetching(BatchFetching):
    """GETs below Graph's version, many at once. The client bounds how many batches are in flight."""

    def __init__(self, client: GraphClient) -> None:
        super().__init__(BATCH_MOST, TRIES)
        self._client = client

    async def _answers(self, parts: list[Part]) -> tuple[dict[int, Found], str]:
        answer, token = await self._client.batch([_request(index, path) for index, path in parts])
        return _by_number(answer), token

    def _note_refused(self, token: str) -> None:
        self._client.refused = token


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
