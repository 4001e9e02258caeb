"""What the sign-ins of all providers share: requests on their way through the pages, the app's credentials, PKCE."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import orjson
from flask import redirect, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox.clock import Clock
from sandbox.http import Request

if TYPE_CHECKING:
    from sandbox.state import World

FLOW_SECONDS = 3600
NO_STORE = [("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"), ("Pragma", "no-cache")]


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def credentials(call: Request, form: dict[str, str]) -> tuple[str, str]:
    """(client id, secret) of a token request, from Basic or from the form; empty texts when they cannot be read."""
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        given_id, secret = base64.b64decode(value).decode().split(":", 1)
    except ValueError:
        return "", ""
    return unquote(given_id), unquote(secret)


def fits_challenge(challenge: str, method: str, verifier: str) -> bool:
    """Whether a PKCE verifier is the one behind the challenge (RFC 7636)."""
    made = verifier if method == "plain" else b64(hashlib.sha256(verifier.encode()).digest())
    return is_same(made, challenge)


def id_token(world: World, address: str, claims: dict[str, Any]) -> str:
    """An id_token that says `claims`; quirks of the mailbox spoil its signature in one way each."""
    if world.quirks.take("id_token_alg_none", address):
        return ".".join([b64(orjson.dumps({"alg": "none"})), b64(orjson.dumps(claims)), ""])
    return world.key.sign(claims, forged=bool(world.quirks.take("id_token_bad_signature", address)))


@dataclass
class Flow:
    """One authorization request on its way through the pages."""

    parameters: dict[str, str]
    scopes: list[str]
    created: float
    mailbox: str = ""  # who is signed in
    is_proved: bool = False  # gave the code that is asked for after the password

    def asks_for(self, prompt: str) -> bool:
        """Whether `prompt` holds a word."""
        return prompt in self.parameters.get("prompt", "").split()

    def back(self, **answer: str) -> BaseResponse:
        """To the app's redirect URI, with `state` as it came."""
        if "state" in self.parameters:
            answer["state"] = self.parameters["state"]
        target = self.parameters["redirect_uri"]
        return redirect(target + ("&" if "?" in target else "?") + urlencode(answer), 302)


class Flows:
    """The requests that are under way, each under a key that its pages carry."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flows: dict[str, Flow] = {}

    def begin(self, parameters: dict[str, str], scopes: list[str]) -> tuple[str, Flow]:
        """A new request with its key."""
        key, flow = secrets.token_urlsafe(24), Flow(parameters, scopes, self._clock.now())
        self._flows[key] = flow
        return key, flow

    def current(self) -> tuple[str, Flow | None]:
        """The request of the page that was sent; None when it is unknown or an hour old."""
        key = request.form.get("flow", "") or request.args.get("flow", "")
        flow = self._flows.get(key)
        if flow and self._clock.now() - flow.created > FLOW_SECONDS:
            flow = None
        return key, flow

    def end(self, key: str) -> None:
        """Forget a request."""
        self._flows.pop(key, None)
