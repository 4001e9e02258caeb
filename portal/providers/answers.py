"""Reading a provider's answers: JSON, a token, an identity. Whatever is wrong in one place is taken for no answer at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from portal.lib.http import Answer, Http, NoAnswer
from portal.providers.errors import IdentityRefused, ProviderError, Temporary
from portal.providers.types import Tokens

READ_SECONDS = 10.0  # a person or a lease waits for it
MAX_BYTES = 256 * 1024
LEEWAY_SECONDS = 60
MAX_LIFETIME_SECONDS = 24 * 3600
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXTS = ("access_token", "refresh_token", "scope", "id_token", "token_type")


def json_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer. Raises Temporary for anything else (a page of some proxy, a cut body)."""
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise Temporary("an answer that is no JSON") from None
    if not isinstance(value, dict):
        raise Temporary("an answer of the wrong kind")
    return value


def small_json_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer that has no reason to be large."""
    if len(answer.body) > MAX_BYTES:
        raise Temporary("an oversized answer")
    return json_of(answer)


async def post_form(http: Http, url: str, body: bytes) -> Answer:
    """POST a form to an identity provider. Raises Temporary."""
    try:
        return await http.request("POST", url, content=body, headers=FORM, read_seconds=READ_SECONDS)
    except NoAnswer as error:
        raise Temporary(str(error)) from None


async def ask_for_tokens(
    http: Http, url: str, judge: Callable[[Answer], ProviderError | None], grant_type: str, **fields: str
) -> Tokens:
    """Tokens for a code or a refresh token (RFC 6749, 4.1.3 and 6). Raises what `judge` finds in the answer; Temporary."""
    answer = await post_form(http, url, str(prepare_token_request(grant_type, **fields)).encode())
    if error := judge(answer):
        raise error
    return tokens_of(answer)


def tokens_of(answer: Answer) -> Tokens:
    """A token answer (RFC 6749, 5.1), every part checked. Raises Temporary."""
    body = small_json_of(answer)
    texts = {name: body.get(name) or "" for name in TEXTS}
    expires = body.get("expires_in")
    if not all(isinstance(value, str) and len(value) <= 16_384 for value in texts.values()):
        raise Temporary("a token answer of the wrong kind")
    if not texts["access_token"] or texts.pop("token_type").lower() != "bearer":
        raise Temporary("a token answer without a bearer token")
    if not _is_number(expires) or not 0 < expires <= MAX_LIFETIME_SECONDS:  # type: ignore[operator]
        raise Temporary("a token answer without a lifetime")
    return Tokens(expires_in=int(expires), **texts)  # type: ignore[arg-type]


async def signed_claims(http: Http, keys_url: str, id_token: str) -> dict[str, Any]:
    """What an id_token says, its signature proven by the published keys, RS256 only (OAU-5).

    Raises IdentityRefused; Temporary when the keys cannot be had.
    """
    keys = await _keys(http, keys_url)
    try:
        return dict(jwt.decode(id_token, keys, algorithms=["RS256"]).claims)
    except (JoseError, ValueError):
        raise IdentityRefused("signature") from None


def common_flaws(claims: Mapping[str, Any], *, client_id: str, nonce: str, now: datetime) -> dict[str, bool]:
    """Name of each check that every provider's id_token has to pass, and whether it failed."""
    return {
        "aud": claims.get("aud") not in (client_id, [client_id]),
        "azp": claims.get("azp", client_id) != client_id,
        "exp": not _is_number(claims.get("exp")) or claims["exp"] + LEEWAY_SECONDS <= now.timestamp(),
        "nonce": not nonce or claims.get("nonce") != nonce,
    }


def require_flawless(flaws: Mapping[str, bool]) -> None:
    """Raises IdentityRefused with the names of the checks that failed."""
    if failed := [name for name, is_wrong in flaws.items() if is_wrong]:
        raise IdentityRefused(",".join(failed))


async def _keys(http: Http, url: str) -> KeySet:
    try:
        answer = await http.request("GET", url, read_seconds=READ_SECONDS)
    except NoAnswer as error:
        raise Temporary(str(error)) from None
    if answer.status != 200:
        raise Temporary(f"the key set answered {answer.status}")
    try:
        return KeySet.import_key_set(small_json_of(answer))  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError):
        raise Temporary("a key set that cannot be read") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
