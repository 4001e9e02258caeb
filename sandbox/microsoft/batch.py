"""JSON batches: at most twenty calls, each with a status of its own (https://learn.microsoft.com/graph/json-batching)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from sandbox.faults import Quirks
from sandbox.http import Request, Response, json_response, split_target
from sandbox.microsoft import graph_errors as errors

MAX_CALLS = 20


def _inner_request(row: dict[str, Any], outer: Request, index: int) -> Request:
    path, query = split_target("/graph/v1.0/" + str(row.get("url", "")).lstrip("/"))
    headers = {str(name).lower(): str(value) for name, value in (row.get("headers") or {}).items()}
    for name in ("authorization", "host"):
        headers[name] = outer.headers.get(name, "")
    body = row.get("body")
    is_json = isinstance(body, dict | list)
    content = orjson.dumps(body) if is_json else str(body or "").encode()
    if is_json:
        headers.setdefault("content-type", "application/json")
    return Request(
        str(row.get("method", "GET")).upper(), path, query, headers, in_batch=True, batch_index=index, _body=content
    )


def _part(number: str, response: Response) -> dict[str, Any]:
    made: dict[str, Any] = {"id": number, "status": response.status, "headers": dict(response.headers)}
    if response.body:
        is_json = any("json" in value for name, value in response.headers if name == "Content-Type")
        made["body"] = orjson.loads(response.body) if is_json else base64.b64encode(response.body).decode()
    return made


def answer_batch(request: Request, answer: Callable[[Request], Response], quirks: Quirks, mailbox: str) -> Response:
    """Run each call through `answer`, in order. Raises ApiError (400) for a bad batch."""
    try:
        value = orjson.loads(request.body)
        rows = value["requests"]
        numbers = [str(row["id"]) for row in rows]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise errors.fail(400, "BadRequest", "Invalid batch payload format.") from None
    if request.method != "POST" or not rows or len(rows) > MAX_CALLS or len(set(numbers)) != len(numbers):
        raise errors.fail(400, "BadRequest", f"Number of batch request steps must be from 1 to {MAX_CALLS}, ids distinct.")
    is_throttled = bool(quirks.take("ms_batch_throttle", mailbox))
    made: dict[str, Response] = {}
    for index, (number, row) in enumerate(zip(numbers, rows, strict=True)):
        waited_for = [made[str(other)] for other in row.get("dependsOn") or [] if str(other) in made]
        if any(other.status >= 400 for other in waited_for):
            made[number] = errors.fail(424, "FailedDependency", "A request that this one depends on failed.").response
        elif is_throttled and index >= 4:  # the mailbox takes four at a time
            made[number] = errors.too_many_in_flight(1).response
        else:
            made[number] = answer(_inner_request(row, request, index))
    return json_response({"responses": [_part(number, response) for number, response in made.items()]})
