"""Requests and responses of the API side, lean enough for thousands a second: no framework in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    308: "Resume Incomplete", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    415: "Unsupported Media Type", 416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
JSON_TYPE = "application/json; charset=UTF-8"


@dataclass(slots=True)
class Request:
    """One call of the API: from the wire, or one part of a batch."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]  # names in lower case
    read_body: Callable[[], bytes] = lambda: b""
    in_batch: bool = False
    batch_index: int = 0  # which part of its batch
    _body: bytes | None = None

    @property
    def body(self) -> bytes:
        """The raw body, read once."""
        if self._body is None:
            self._body = self.read_body()
        return self._body

    def first(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def form(self) -> dict[str, str]:
        """The first value of each field of a form-encoded body; empty for any other content type."""
        if "application/x-www-form-urlencoded" not in self.headers.get("content-type", ""):
            return {}
        return {key: values[0] for key, values in parse_qs(self.body.decode("latin-1"), True).items()}

    @property
    def bearer(self) -> str:
        """The access token of the call, from the header or (as Google allows) the query; empty when absent."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return self.first("access_token")


@dataclass(slots=True)
class Response:
    """One answer. `body` is complete; faults may cut or slow it on the way out."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    mailbox: str = ""  # for the request log: whose call it was
    drip_bytes_per_second: int = 0
    cut_at: int | None = None  # announce the whole length, send so many bytes, then close

    @property
    def status_line(self) -> str:
        """Status with its reason phrase, as WSGI wants it."""
        return f"{self.status} {REASONS.get(self.status, 'Unknown')}"


class ConnectionDropped(Exception):
    """The fault rules want the connection closed without an answer."""


class ApiError(Exception):
    """Ends a call with an error answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(value: Any, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    """`value` as a JSON answer; bytes are taken as JSON that is already made."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(status, body, [("Content-Type", JSON_TYPE), *(headers or [])])


def request_from_environ(environ: Mapping[str, Any]) -> Request:
    """The call behind a WSGI environ. The body stays unread until somebody asks for it."""
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    query = environ.get("QUERY_STRING", "")
    return Request(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        query=parse_qs(query, True) if query else {},
        headers=headers,
        read_body=environ["wsgi.input"].read,
    )


def split_target(target: str) -> tuple[str, dict[str, list[str]]]:
    """Path and query of a request target such as `/gmail/v1/users/me/profile?x=1`."""
    path, _, query = target.partition("?")
    return unquote(path), parse_qs(query, True) if query else {}
