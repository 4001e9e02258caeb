"""The batch endpoint: multipart/mixed of application/http, at most a hundred calls."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sandbox.faults import Quirks, sleep_ms
from sandbox.google import errors
from sandbox.google.uploads import split_multipart
from sandbox.http import Request, Response, split_target

MAX_CALLS = 100


def _inner_request(content: bytes, outer: Request) -> Request:
    """The call inside one part; the outer Authorization counts unless the part has its own."""
    head, _, body = content.lstrip(b"\r\n").replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    path, query = split_target(target.split(" ", 1)[0])
    headers = {"authorization": outer.headers.get("authorization", "")}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if path.startswith("http"):
        path = "/" + path.split("/", 3)[-1]
    return Request(method.upper(), path, query, headers, in_batch=True, _body=body)


def _part(response: Response, content_id: str, boundary: bytes) -> bytes:
    """One part of the answer."""
    inside = f"<response-{content_id.strip('<>')}>" if content_id else ""
    head = "Content-Type: application/http\r\n" + (f"Content-ID: {inside}\r\n" if inside else "")
    lines = [f"HTTP/1.1 {response.status_line}", *(f"{name}: {value}" for name, value in response.headers)]
    inner = "\r\n".join([*lines, f"Content-Length: {len(response.body)}"])
    return b"--" + boundary + f"\r\n{head}\r\n{inner}\r\n\r\n".encode() + response.body + b"\r\n"


def answer_batch(
    request: Request, answer: Callable[[Request], Response], quirks: Quirks, part_latency_ms: int = 0
) -> Response:
    """Run each call through `answer`, in order; each counts in the quota by itself and makes the answer later by so many
    milliseconds. Raises ApiError for a bad batch.
    """
    if request.method != "POST":
        raise errors.fail(404, "Method not found.", "notFound")
    parts = split_multipart(request.body, request.headers.get("content-type", ""))
    if not parts:
        raise errors.fail(400, "Failed to parse batch request, error: empty batch", "badRequest")
    if len(parts) > MAX_CALLS:
        raise errors.fail(400, "The batch request exceeds the maximum of 100 calls.", "badRequest")
    sleep_ms(part_latency_ms * len(parts))
    boundary = f"batch_{secrets.token_urlsafe(18)}".encode()
    pieces = []
    mailbox = ""
    for index, (headers, content) in enumerate(parts):
        inner = _inner_request(content, request)
        inner.batch_index = index
        response = answer(inner)
        mailbox = response.mailbox or mailbox
        pieces.append(_part(response, headers.get("content-id", ""), boundary))
    if quirks.take("batch_reverse", mailbox):
        pieces.reverse()
    if quirks.take("batch_lost_part", mailbox):
        pieces.pop()
    body = b"".join(pieces) + b"--" + boundary + b"--\r\n"
    kind = f"multipart/mixed; boundary={boundary.decode()}"
    return Response(200, body, [("Content-Type", kind), ("Vary", "Origin")], mailbox)
