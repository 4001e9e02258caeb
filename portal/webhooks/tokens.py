"""Verify Google's signed push tokens (docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions).

Only RS256 under a key that Google publishes now; issuer, audience, sender and times must all fit.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import orjson
from flask import current_app
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from config import Settings
from portal.lib.clock import now
from portal.lib.http import Http, NoAnswer

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
MAX_TOKEN, MAX_KEYS_BYTES, MAX_KEYS = 4096, 64 * 1024, 20
KEEP_SECONDS = 3600.0  # how long fetched keys are believed
AGAIN_SECONDS = 60.0  # an unknown key id makes us fetch at most this often
LEEWAY_SECONDS = 60
FETCH_SECONDS = 3.0


class KeysUnavailable(Exception):
    """Google's keys could not be fetched, so nothing can be verified now."""


class PushKeys:
    """The published keys, fetched when needed and kept for an hour."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()

    def find(self, kid: str) -> Any | None:
        """The key of this id; None when Google publishes none. Raises KeysUnavailable while there are none at all."""
        with self._lock:
            age = time.monotonic() - self._fetched_at
            if (age > KEEP_SECONDS or kid not in self._keys) and time.monotonic() - self._tried_at > AGAIN_SECONDS:
                self._refresh()
            if not self._keys:
                raise KeysUnavailable
            return self._keys.get(kid)

    def _refresh(self) -> None:
        """Fetch anew; what was known stays when that fails."""
        self._tried_at = time.monotonic()
        try:
            keys = _read_keys(asyncio.run(_fetch(self._url)))
        except (NoAnswer, ValueError, JoseError, TypeError):
            current_app.logger.warning("the keys of push notices could not be fetched")
            self._tried_at = time.monotonic() - AGAIN_SECONDS + 5.0 if not self._keys else self._tried_at
            return
        self._keys, self._fetched_at = keys, time.monotonic()


async def _fetch(url: str) -> bytes:
    async with Http(max_connections=1) as http:
        answer = await http.request("GET", url, read_seconds=FETCH_SECONDS)
    if answer.status != 200 or len(answer.body) > MAX_KEYS_BYTES:
        raise ValueError("no usable key set")
    return answer.body


def _read_keys(body: bytes) -> dict[str, Any]:
    """RSA signing keys by id. Raises ValueError for what is no key set."""
    rows = orjson.loads(body).get("keys")
    if not isinstance(rows, list) or len(rows) > MAX_KEYS:
        raise ValueError("no key set")
    usable = [row for row in rows if row.get("kty") == "RSA" and row.get("kid") and row.get("use", "sig") == "sig"]
    found = KeySet.import_key_set({"keys": usable})
    return {str(key.kid): key for key in found.keys}


def is_genuine(token: str, keys: PushKeys, settings: Settings) -> bool:
    """Whether a bearer token is Google's word for our subscription. Raises KeysUnavailable."""
    if not token or len(token) > MAX_TOKEN or token.count(".") != 2:
        return False
    try:
        header = extract_compact(token.encode()).headers()
        if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str) or "crit" in header:
            return False
        key = keys.find(header["kid"])
        if key is None:
            return False
        claims = jwt.decode(token, key, algorithms=["RS256"]).claims
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    return _fits(claims, settings)


def _fits(claims: dict[str, Any], settings: Settings) -> bool:
    moment = now().timestamp()
    expires, issued = claims.get("exp"), claims.get("iat", 0)
    if not isinstance(expires, int | float) or not isinstance(issued, int | float):
        return False
    return (
        claims.get("iss") in ISSUERS
        and bool(settings.pubsub_audience)
        and claims.get("aud") == settings.pubsub_audience
        and bool(settings.pubsub_sa_email)
        and claims.get("email") == settings.pubsub_sa_email
        and claims.get("email_verified") is True
        and expires > moment - LEEWAY_SECONDS
        and issued < moment + LEEWAY_SECONDS
    )
