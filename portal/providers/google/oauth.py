"""Google's consent and tokens: the address of the consent page, exchange, identity, refresh, revoke.

Authlib builds what the browser carries; the calls go through our own bounded HTTP client. Source:
https://developers.google.com/identity/protocols/oauth2/web-server and …/openid-connect.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from config import Settings
from portal.lib.http import Answer, Http, NoAnswer
from portal.providers.errors import (
    AuthorizationLost,
    MissingPermission,
    OperatorFault,
    ProviderError,
    Refused,
    Temporary,
)
from portal.providers.google.client import json_of
from portal.providers.types import Identity, Tokens
from portal.rules.connecting import GOOGLE_SCOPES, missing_scopes

CALLBACK = "/connections/google/callback"
READ_SECONDS = 10.0  # a person or a lease waits for it
MAX_BYTES = 256 * 1024
LEEWAY_SECONDS = 60
MAX_LIFETIME_SECONDS = 24 * 3600
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REAUTH = {"invalid_rapt", "rapt_required"}
OPERATOR = {"invalid_client", "unauthorized_client", "deleted_client", "redirect_uri_mismatch", "unsupported_grant_type"}
BY_ADMIN = {"admin_policy_enforced", "org_internal", "access_denied"}


class CodeRefused(Refused):
    """Google does not take the code: used, expired, or made for another verifier."""


class IdentityRefused(Refused):
    """The id_token does not prove who consented. `args[0]` names the check that failed."""


def redirect_uri(settings: Settings) -> str:
    """Where Google sends people back to: from the settings alone, never from a request's headers (OAU-4)."""
    return settings.base_url.rstrip("/") + CALLBACK


def authorize_url(settings: Settings, *, state: str, nonce: str, verifier: str, login_hint: str = "") -> str:
    """The consent page's address with PKCE S256. Scopes of earlier consents are not taken along."""
    client = OAuth2Client(
        None,
        client_id=settings.google_client_id,
        redirect_uri=redirect_uri(settings),
        scope=" ".join(GOOGLE_SCOPES),
        code_challenge_method="S256",
    )
    url, _state = client.create_authorization_url(
        settings.google_auth_url,
        state=state,
        code_verifier=verifier,
        nonce=nonce,
        access_type="offline",  # without it no refresh token comes
        prompt="consent",  # nor for somebody who consented before
        login_hint=login_hint or None,
    )
    return str(url)


async def exchange(http: Http, settings: Settings, code: str, verifier: str) -> Tokens:
    """Tokens for a code. Raises CodeRefused, OperatorFault, Temporary."""
    body = prepare_token_request(
        "authorization_code",
        code=code,
        redirect_uri=redirect_uri(settings),
        code_verifier=verifier,
        client_id=settings.google_client_id,
        client_secret=settings.google_client_secret,
    )
    answer = await _post(http, settings.google_token_url, str(body).encode())
    error = _token_error(answer)
    if isinstance(error, (AuthorizationLost, Refused)):
        raise CodeRefused(str(error))
    if error is not None:
        raise error
    return _tokens(_json(answer))


async def refresh(http: Http, settings: Settings, refresh_token: str) -> Tokens:
    """A new access token; Google's refresh token stays the same.

    Raises AuthorizationLost (its cause is a word of rules.reasons.Cause), MissingPermission, OperatorFault, Temporary.
    """
    body = prepare_token_request(
        "refresh_token",
        refresh_token=refresh_token,
        client_id=settings.google_client_id,
        client_secret=settings.google_client_secret,
    )
    answer = await _post(http, settings.google_token_url, str(body).encode())
    if error := _token_error(answer):
        raise OperatorFault(str(error)) if isinstance(error, Refused) else error
    tokens = _tokens(_json(answer))
    if tokens.scope and missing_scopes(tokens.scope):
        raise MissingPermission("the refreshed token lacks a scope")
    return tokens


async def revoke(http: Http, settings: Settings, token: str) -> str:
    """Give the whole grant back; "revoked", or "already_gone" where Google knows the token no more.

    Ends every token of that person for this app. Raises Temporary.
    """
    answer = await _post(http, settings.google_revoke_url, urlencode({"token": token}).encode())
    if 200 <= answer.status < 300:
        return "revoked"
    if answer.status == 400:
        return "already_gone"
    raise Temporary(f"revoke answered {answer.status}")


async def verify_identity(http: Http, settings: Settings, id_token: str, nonce: str, now: datetime) -> Identity:
    """Who an id_token speaks of: signature by Google's published keys (RS256 only), iss, aud, exp, nonce (OAU-5).

    Raises IdentityRefused; Temporary when the keys cannot be had.
    """
    keys = await _keys(http, settings.google_jwks_url)
    try:
        claims = jwt.decode(id_token, keys, algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        raise IdentityRefused("signature") from None
    issuer = settings.google_issuer
    problems = {
        "iss": claims.get("iss") not in (issuer, issuer.removeprefix("https://")),
        "aud": claims.get("aud") not in (settings.google_client_id, [settings.google_client_id]),
        "azp": claims.get("azp", settings.google_client_id) != settings.google_client_id,
        "exp": not _is_number(claims.get("exp")) or claims["exp"] + LEEWAY_SECONDS <= now.timestamp(),
        "nonce": not nonce or claims.get("nonce") != nonce,
        "sub": not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255,
    }
    if failed := [name for name, is_wrong in problems.items() if is_wrong]:
        raise IdentityRefused(",".join(failed))
    return Identity(claims["sub"], str(claims.get("hd") or ""))


async def _keys(http: Http, url: str) -> KeySet:
    try:
        answer = await http.request("GET", url, read_seconds=READ_SECONDS)
    except NoAnswer as error:
        raise Temporary(str(error)) from None
    if answer.status != 200:
        raise Temporary(f"the key set answered {answer.status}")
    try:
        return KeySet.import_key_set(_json(answer))  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError):
        raise Temporary("a key set that cannot be read") from None


async def _post(http: Http, url: str, body: bytes) -> Answer:
    try:
        return await http.request("POST", url, content=body, headers=FORM, read_seconds=READ_SECONDS)
    except NoAnswer as error:
        raise Temporary(str(error)) from None


def _token_error(answer: Answer) -> ProviderError | None:
    """What the token endpoint says went wrong, sorted; None for a good answer. Texts of the answer are not taken over."""
    if answer.status == 200:
        return None
    if not 400 <= answer.status < 500 or answer.status in (408, 429):
        return Temporary(f"the token endpoint answered {answer.status}")
    body = _json(answer)
    error, subtype = body.get("error"), body.get("error_subtype")
    if subtype in REAUTH:
        return AuthorizationLost("a new sign-in is asked for", cause="login_required")
    if error == "invalid_grant":
        return AuthorizationLost("the grant is dead", cause="revoked")
    if error in BY_ADMIN:
        return AuthorizationLost("the administrator refuses the app", cause="refused_by_provider_admin")
    if error in OPERATOR:
        return OperatorFault(f"the token endpoint says {error}")
    if error == "temporarily_unavailable" or not isinstance(error, str):
        return Temporary("the token endpoint is not available")
    return Refused("the token endpoint refuses the request", answer.status)


def _tokens(body: dict[str, Any]) -> Tokens:
    """A token answer, every part checked: one that is wrong in one place is taken for no answer."""
    texts = {name: body.get(name) or "" for name in ("access_token", "refresh_token", "scope", "id_token", "token_type")}
    expires = body.get("expires_in")
    if not all(isinstance(value, str) and len(value) <= 16_384 for value in texts.values()):
        raise Temporary("a token answer of the wrong kind")
    if not texts["access_token"] or texts.pop("token_type").lower() != "bearer":
        raise Temporary("a token answer without a bearer token")
    if not _is_number(expires) or not 0 < expires <= MAX_LIFETIME_SECONDS:  # type: ignore[operator]
        raise Temporary("a token answer without a lifetime")
    return Tokens(expires_in=int(expires), **texts)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _json(answer: Answer) -> dict[str, Any]:
    if len(answer.body) > MAX_BYTES:
        raise Temporary("an oversized answer")
    return json_of(answer)
