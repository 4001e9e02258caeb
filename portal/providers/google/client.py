"""Gmail over HTTP and nothing else: tokens, quota units, and errors sorted by what to do about them.

Source: the Gmail API reference and its pages on quota and errors. Many gets at once: `fetching.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from portal.lib.http import READ_SECONDS, SEND_SECONDS, Answer, Http, NoAnswer
from portal.providers.answers import json_of
from portal.providers.base import TokenSource
from portal.providers.errors import AuthorizationLost, Temporary, TokenRefused, Unanswered
from portal.providers.google.errors import error_of

Spend = Callable[[int], Awaitable[None]]

# Quota units of projects made since 2026-05-01.
UNITS = {
    "profile": 1, "send_as": 1, "history": 2, "list": 5, "get": 20, "attachment": 20, "send": 100, "watch": 100, "stop": 50,
}  # fmt: skip


class NotSent(Temporary):
    """The request never left: it may simply be repeated."""


async def spend_freely(_units: int) -> None:
    """Keep no quota: for a caller that keeps it elsewhere, and for tests of the client alone."""


class GmailClient:
    """One mailbox's requests. `token_source` gives access tokens, `spend` waits for quota units before each call."""

    def __init__(self, http: Http, base: str, token_source: TokenSource, spend: Spend = spend_freely) -> None:
        self._http, self._base, self._token_source, self._spend = http, base.rstrip("/"), token_source, spend
        self.refused: str | None = None  # the last token that Gmail refused; the source is asked for another

    async def get(self, path: str, units: int, params: Any = None) -> dict[str, Any]:
        """GET below users/me. Raises the errors of `providers.errors`."""
        answer, _ = await self.call("GET", f"/gmail/v1/users/me/{path}", units, params=params)
        return json_of(answer)

    async def post(self, path: str, units: int, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST JSON below users/me; an empty answer is an empty dict."""
        content = orjson.dumps(body) if body is not None else b""
        answer, _ = await self.call(
            "POST", f"/gmail/v1/users/me/{path}", units, content=content, content_type="application/json"
        )
        return json_of(answer) if answer.body.strip() else {}

    async def post_mail(self, path: str, content: bytes, content_type: str, params: Any = None) -> dict[str, Any]:
        """POST a message to be sent. Raises Unanswered where it may have been taken although no answer says so."""
        try:
            answer, _ = await self.call(
                "POST", path, UNITS["send"], params=params, content=content, content_type=content_type,
                read_seconds=SEND_SECONDS,
            )  # fmt: skip
            return json_of(answer)
        except NotSent:
            raise
        except Temporary as error:
            raise Unanswered(str(error)) from error

    async def call(
        self, method: str, path: str, units: int, *, params: Any = None, content: bytes | None = None,
        content_type: str = "", read_seconds: float = READ_SECONDS,
    ) -> tuple[Answer, str]:  # fmt: skip
        """One call with its quota; the good answer and the token it was asked with.

        A refused token is renewed once. Raises the errors of `providers.errors`.
        """
        was_renewed = False
        while True:
            token = await self._token()
            await self._spend(units)
            headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": content_type} if content_type else {})
            answer = await self._request(method, self._base + path, params, headers, content, read_seconds)
            trouble = error_of(answer)
            if trouble is None:
                return answer, token
            if not isinstance(trouble, TokenRefused):
                raise trouble
            if was_renewed:
                raise AuthorizationLost("the renewed token was refused too")
            was_renewed, self.refused = True, token

    async def _token(self) -> str:
        try:
            return await self._token_source(self.refused)
        except Temporary as error:
            raise NotSent(str(error)) from error

    async def _request(
        self, method: str, url: str, params: Any, headers: dict[str, str], content: bytes | None, seconds: float
    ) -> Answer:
        try:
            return await self._http.request(
                method, url, params=params, headers=headers, content=content, read_seconds=seconds
            )
        except NoAnswer as trouble:
            raise (Temporary if trouble.sent else NotSent)(str(trouble)) from None
