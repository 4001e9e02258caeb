"""Microsoft Graph over HTTP and nothing else: tokens, immutable ids, few calls in flight, errors sorted.

Source: the Graph reference, its pages on immutable ids and on throttling (four concurrent requests per app and mailbox).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import orjson

from portal.lib.http import READ_SECONDS, SEND_SECONDS, Answer, Http, NoAnswer
from portal.providers.answers import json_of
from portal.providers.base import TokenSource
from portal.providers.errors import AuthorizationLost, Gone, Limited, Refused, Temporary, TokenRefused, Unanswered
from portal.providers.microsoft.errors import error_of

LANES = 3  # requests in flight for one mailbox; Graph refuses the fifth
IMMUTABLE = 'IdType="ImmutableId"'  # ids that outlive a move to another folder, asked for on every single call
JSON = "application/json"
ACCEPTED = 202
UPLOAD_DOMAINS = (".office.com", ".office365.com", ".outlook.com", ".live.com", ".microsoft.com")
Result = TypeVar("Result")


class GraphClient:
    """One mailbox's requests. `token_source` gives access tokens; `base` has no version."""

    def __init__(self, http: Http, base: str, token_source: TokenSource) -> None:
        self._http, self._origin, self._token_source = http, base.rstrip("/"), token_source
        self._base = f"{self._origin}/v1.0"
        self._lanes = asyncio.Semaphore(LANES)
        self.refused: str | None = None  # the last token that Graph refused; the source is asked for another

    def is_own(self, link: str) -> bool:
        """Whether a link leads to our Graph: no other place ever sees a token of ours."""
        return link.startswith(f"{self._base}/")

    async def get(self, path: str, params: Any = None, *, page_size: int = 0) -> dict[str, Any]:
        """GET below the version. `page_size` asks for pages of that many. Raises the errors of `providers.errors`."""
        prefer = f", odata.maxpagesize={page_size}" if page_size else ""
        answer, _ = await self.call("GET", self._base + path, params=params, prefer=prefer)
        return json_of(answer)

    async def follow(self, link: str, *, page_size: int = 0) -> dict[str, Any]:
        """GET a link that Graph gave, verbatim. Raises Temporary, and asks nobody, when it leads elsewhere."""
        if not self.is_own(link):
            raise Temporary("a link that leads away from Graph")
        return await self.get(link.removeprefix(self._base), page_size=page_size)

    async def get_bytes(self, path: str) -> bytes:
        """GET what is no JSON."""
        answer, _ = await self.call("GET", self._base + path)
        return answer.body

    async def write(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, content: bytes = b"", content_type: str = JSON
    ) -> dict[str, Any]:
        """POST, PATCH or DELETE something that may be done again; an empty answer is an empty dict."""
        payload = content if body is None else orjson.dumps(body)
        answer, _ = await self.call(
            method, self._base + path, content=payload, content_type=content_type, read_seconds=SEND_SECONDS
        )
        return json_of(answer) if answer.body.strip() else {}

    async def batch(self, requests: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
        """One $batch; its answer and the token it was asked with."""
        content = orjson.dumps({"requests": requests})
        answer, token = await self.call("POST", f"{self._base}/$batch", content=content, content_type=JSON)
        return json_of(answer), token

    async def send_draft(self, draft_id: str) -> None:
        """Let a draft leave. Raises Unanswered where it may have left though no answer says so, Refused when it is gone."""
        url = f"{self._base}/me/messages/{quote(draft_id, safe='')}/send"
        try:
            answer, _ = await self.call("POST", url, content=b"", read_seconds=SEND_SECONDS, is_send=True)
        except Gone as error:
            raise Refused(f"the draft is gone: {error}", 404) from error
        if answer.status != ACCEPTED:
            raise Unanswered(f"answer {answer.status} to a send")

    async def put_piece(self, url: str, piece: bytes, place: str) -> Answer:
        """PUT a piece of a file to an upload session, whose address is its own permission: no token goes there.

        Raises Temporary for whatever is no good answer, also where the session has ended.
        """
        if not self._is_upload_place(url):
            raise Temporary("an upload session that leads away from Microsoft")
        try:
            answer = await self._http.request(
                "PUT", url, content=piece, headers={"Content-Range": place}, read_seconds=SEND_SECONDS
            )
        except NoAnswer as trouble:
            raise Temporary(str(trouble)) from None
        if not 200 <= answer.status < 300:
            raise Temporary(f"answer {answer.status} of the upload")
        return answer

    def _is_upload_place(self, url: str) -> bool:
        try:
            parts, own = urlsplit(url), urlsplit(self._origin)
            if (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port):
                return True
            return parts.scheme == "https" and f".{parts.hostname or ''}".endswith(UPLOAD_DOMAINS)
        except ValueError:
            return False

    async def call(
        self, method: str, url: str, *, params: Any = None, content: bytes | None = None, content_type: str = "",
        prefer: str = "", read_seconds: float = READ_SECONDS, is_send: bool = False,
    ) -> tuple[Answer, str]:  # fmt: skip
        """One call; the good answer and the token it was asked with.

        A refused token is renewed once. `is_send`: an answer that says nothing raises Unanswered. Raises the errors of
        `providers.errors`.
        """
        was_renewed = False
        while True:
            async with self._lanes:
                token = await self._token_source(self.refused)
                headers = {"Authorization": f"Bearer {token}", "Prefer": IMMUTABLE + prefer}
                headers |= {"Content-Type": content_type} if content_type else {}
                answer = await self._request(method, url, params, headers, content, read_seconds, is_send)
            trouble = error_of(answer)
            if trouble is None:
                return answer, token
            if is_send and (type(trouble) is Temporary or (answer.status >= 500 and type(trouble) is Limited)):
                raise Unanswered(str(trouble))
            if not isinstance(trouble, TokenRefused):
                raise trouble
            if was_renewed:
                raise AuthorizationLost("the renewed token was refused too")
            was_renewed, self.refused = True, token

    async def _request(
        self, method: str, url: str, params: Any, headers: dict[str, str], content: bytes | None, seconds: float,
        is_send: bool,
    ) -> Answer:  # fmt: skip
        try:
            return await self._http.request(
                method, url, params=params, headers=headers, content=content, read_seconds=seconds
            )
        except NoAnswer as trouble:
            raise (Unanswered if is_send and trouble.sent else Temporary)(str(trouble)) from None


def rows_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a list answer. Raises Temporary when it has none, which a list that is empty has too."""
    value = answer.get("value")
    if not isinstance(value, list):
        raise Temporary("a list answer without a list")
    return [row for row in value if isinstance(row, dict)]


async def together(works: Iterable[Awaitable[Result]]) -> list[Result]:
    """The results of several works under way at once, in order; when one fails, its trouble once all have ended."""
    found = await asyncio.gather(*works, return_exceptions=True)
    results = []
    for result in found:
        if isinstance(result, BaseException):
            raise result
        results.append(result)
    return results
