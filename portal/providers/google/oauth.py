"""Google's consent and tokens: the address of the consent page, exchange, identity, refresh, revoke.

Authlib builds what the browser carries; the calls go through our own bounded HTTP client. Source:
https://developers.google.com/identity/protocols/oauth2/web-server and …/openid-connect.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from authlib.oauth2.client import OAuth2Client

from config import Settings
from portal.lib.http import Answer, Http
from portal.providers.answers import ask_for_tokens, common_flaws, post_form, require_flawless, signed_claims, small_json_of
from portal.providers.errors import (
    AuthorizationLost,
    CodeRefused,
    MissingPermission,
    OperatorFault,
    ProviderError,
    Refused,
    Temporary,
)
from portal.providers.types import Identity, Tokens
from portal.rules import connecting
from portal.rules.connecting import GOOGLE_SCOPES, PROVIDERS, missing_scopes

name, label, can_revoke = "google", PROVIDERS["google"].company, True
callback = "/connections/google/callback"
reading_box = connecting.BOXES[connecting.READ]
REAUTH = {"invalid_rapt", "rapt_required"}
OPERATOR = {"invalid_client", "unauthorized_client", "deleted_client", "redirect_uri_mismatch", "unsupported_grant_type"}
BY_ADMIN = {"admin_policy_enforced", "org_internal", "access_denied"}


def redirect_uri(settings: Settings) -> str:
    """Where Google sends people back to: from the settings alone, never from a request's headers (OAU-4)."""
    return settings.base_url.rstrip("/") + callback


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


def is_issuer(settings: Settings, said: str) -> bool:
    """Whether an answer whose `iss` (RFC 9207) is `said` can come from Google."""
    return said == settings.google_issuer


def refusal(error: str, description: str) -> str:
    """Why Google sent somebody back without a code."""
    if error in BY_ADMIN - {"access_denied"}:
        return "by_admin"
    return "cancelled" if error == "access_denied" else "provider_error"


def missing_boxes(tokens: Tokens) -> tuple[str, ...]:
    """The boxes that were left unticked (G-01)."""
    return connecting.missing_boxes(tokens.scope)


def is_consumer(address: str, identity: Identity) -> bool:
    """Whether no Workspace stands behind the mailbox."""
    return connecting.is_consumer_mailbox(address, identity.organization)


async def exchange(http: Http, settings: Settings, code: str, verifier: str) -> Tokens:
    """Tokens for a code. Raises CodeRefused, OperatorFault, Temporary."""
    asked = {"code": code, "redirect_uri": redirect_uri(settings), "code_verifier": verifier}
    try:
        return await _tokens(http, settings, "authorization_code", asked)
    except (AuthorizationLost, Refused) as error:
        raise CodeRefused(str(error)) from None


async def refresh(http: Http, settings: Settings, refresh_token: str) -> Tokens:
    """A new access token; Google's refresh token stays the same.

    Raises AuthorizationLost (its cause is a word of rules.reasons.Cause), MissingPermission, OperatorFault, Temporary.
    """
    try:
        tokens = await _tokens(http, settings, "refresh_token", {"refresh_token": refresh_token})
    except Refused as error:
        raise OperatorFault(str(error)) from None
    if tokens.scope and missing_scopes(tokens.scope):
        raise MissingPermission("the refreshed token lacks a scope")
    return tokens


async def revoke(http: Http, settings: Settings, token: str) -> str:
    """Give the whole grant back; "revoked", or "already_gone" where Google knows the token no more.

    Ends every token of that person for this app. Raises Temporary.
    """
    answer = await post_form(http, settings.google_revoke_url, urlencode({"token": token}).encode())
    if 200 <= answer.status < 300:
        return "revoked"
    if answer.status == 400:
        return "already_gone"
    raise Temporary(f"revoke answered {answer.status}")


async def verify_identity(http: Http, settings: Settings, id_token: str, nonce: str, now: datetime) -> Identity:
    """Who an id_token speaks of: signature by Google's published keys (RS256 only), iss, aud, exp, nonce (OAU-5).

    Raises IdentityRefused; Temporary when the keys cannot be had.
    """
    claims = await signed_claims(http, settings.google_jwks_url, id_token)
    issuer = settings.google_issuer
    flaws = common_flaws(claims, client_id=settings.google_client_id, nonce=nonce, now=now) | {
        "iss": claims.get("iss") not in (issuer, issuer.removeprefix("https://")),
        "sub": not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255,
    }
    require_flawless(flaws)
    return Identity(claims["sub"], str(claims.get("hd") or ""))


async def _tokens(http: Http, settings: Settings, grant_type: str, asked: dict[str, str]) -> Tokens:
    client = {"client_id": settings.google_client_id, "client_secret": settings.google_client_secret}
    return await ask_for_tokens(http, settings.google_token_url, _token_error, grant_type, **asked, **client)


def _token_error(answer: Answer) -> ProviderError | None:
    """What the token endpoint says went wrong, sorted; None for a good answer. Texts of the answer are not taken over."""
    if answer.status == 200:
        return None
    if not 400 <= answer.status < 500 or answer.status in (408, 429):
        return Temporary(f"the token endpoint answered {answer.status}")
    body = small_json_of(answer)
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
