"""Microsoft's consent and tokens: the same calls as Google's module, for work and personal accounts (`common`).

Errors are told apart by their numbers (`error_codes`), not by text. Sources:
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow, …/id-token-claims-reference and
…/reference-error-codes.
"""

from __future__ import annotations

import re
from datetime import datetime

from authlib.oauth2.client import OAuth2Client

from config import Settings
from portal.lib.http import Answer, Http
from portal.providers.answers import ask_for_tokens, common_flaws, require_flawless, signed_claims, small_json_of
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
from portal.rules.connecting import (
    MICROSOFT_BOXES,
    MICROSOFT_SCOPES,
    PROVIDERS,
    missing_microsoft_boxes,
    missing_microsoft_scopes,
)

name, label, can_revoke = "microsoft", PROVIDERS["microsoft"].company, False
callback = "/connections/microsoft/callback"
reading_box = MICROSOFT_BOXES["mail.readwrite"]
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of all personal accounts
ID = re.compile(r"[0-9a-fA-F-]{1,64}")
NUMBER = re.compile(r"AADSTS(\d{1,9})")

PASSING = {50196, 90033}
OPERATOR = {7000215, 7000222, 700016}  # wrong secret, secret past its end, app unknown
BY_ADMIN = {90094}
LOGIN = {50074, 50076, 50078, 50079, 50158, 53000, 53001, 53003}  # a further step, or the organisation's conditions
CONSENT = {65001, 65004}
ACCOUNT = {50020, 50034, 50057}  # not in that tenant, unknown, switched off
OURS = {50011, 54005, 501481, 9002313}  # a code used twice or with another verifier, a request that is not whole
OPERATOR_WORDS = {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}


def redirect_uri(settings: Settings) -> str:
    """Where Microsoft sends people back to: from the settings alone, never from a request's headers (OAU-4)."""
    return settings.base_url.rstrip("/") + callback


def authorize_url(settings: Settings, *, state: str, nonce: str, verifier: str, login_hint: str = "") -> str:
    """The consent page's address with PKCE S256. A renewal asks for the consent again, else the person chooses who."""
    client = OAuth2Client(
        None,
        client_id=settings.ms_client_id,
        redirect_uri=redirect_uri(settings),
        scope=" ".join(MICROSOFT_SCOPES),
        code_challenge_method="S256",
    )
    url, _state = client.create_authorization_url(
        f"{_tenant(settings)}/oauth2/v2.0/authorize",
        state=state,
        code_verifier=verifier,
        nonce=nonce,
        response_mode="query",  # a posted form would come without the session's cookie
        prompt="consent" if login_hint else "select_account",
        login_hint=login_hint or None,
    )
    return str(url)


def is_issuer(settings: Settings, said: str) -> bool:
    """Whether an answer whose `iss` (RFC 9207) is `said` can come from a tenant of Microsoft's."""
    tenant = said.removeprefix(f"{_base(settings)}/").removesuffix("/v2.0")
    return ID.fullmatch(tenant) is not None and said == _issuer(settings, tenant)


def refusal(error: str, description: str) -> str:
    """Why Microsoft sent somebody back without a code; of its text only the number is looked at."""
    numbers = {int(number) for number in NUMBER.findall(description[:2000])}
    if numbers & BY_ADMIN:
        return "by_admin"
    if numbers & OPERATOR or error in OPERATOR_WORDS:
        return "operator"
    if numbers & LOGIN or error in ("interaction_required", "login_required"):
        return "login_required"
    if error in ("temporarily_unavailable", "server_error"):
        return "unavailable"
    return "cancelled" if error in ("access_denied", "consent_required") else "provider_error"


async def exchange(http: Http, settings: Settings, code: str, verifier: str) -> Tokens:
    """Tokens for a code. Raises CodeRefused, AuthorizationLost, OperatorFault, Temporary."""
    asked = {"code": code, "redirect_uri": redirect_uri(settings), "code_verifier": verifier}
    try:
        return await _tokens(http, settings, "authorization_code", asked)
    except Refused as error:
        raise CodeRefused(str(error)) from None


async def refresh(http: Http, settings: Settings, refresh_token: str) -> Tokens:
    """A new access token and the next refresh token; the former one is good until this answer is stored.

    Raises AuthorizationLost (its cause is a word of rules.reasons.Cause), MissingPermission, OperatorFault, Temporary.
    """
    try:
        tokens = await _tokens(http, settings, "refresh_token", {"refresh_token": refresh_token})
    except Refused as error:
        raise OperatorFault(str(error)) from None
    if tokens.scope and missing_microsoft_scopes(tokens.scope):
        raise MissingPermission("the refreshed token lacks a scope")
    return tokens


async def revoke(http: Http, settings: Settings, token: str) -> str:
    """Microsoft has no such call for others' apps: tokens are erased here, and the person removes the app there."""
    return "erased"


async def verify_identity(http: Http, settings: Settings, id_token: str, nonce: str, now: datetime) -> Identity:
    """Who an id_token speaks of: the person's id in the tenant's; the issuer must be that very tenant's (OAU-5).

    Raises IdentityRefused; Temporary when the keys cannot be had.
    """
    claims = await signed_claims(http, f"{_tenant(settings)}/discovery/v2.0/keys", id_token)
    tenant, person = claims.get("tid"), claims.get("oid")
    flaws = common_flaws(claims, client_id=settings.ms_client_id, nonce=nonce, now=now) | {
        "tid": not isinstance(tenant, str) or not ID.fullmatch(tenant),
        "oid": not isinstance(person, str) or not ID.fullmatch(person),
        "iss": claims.get("iss") != _issuer(settings, tenant),
    }
    require_flawless(flaws)
    return Identity(f"{tenant}:{person}", "" if tenant == CONSUMERS else str(tenant))


def missing_boxes(tokens: Tokens) -> tuple[str, ...]:
    """The permissions that were not given; no refresh token means that the lasting access was not (O-01)."""
    return missing_microsoft_boxes(tokens.scope, has_refresh_token=bool(tokens.refresh_token))


def is_consumer(address: str, identity: Identity) -> bool:
    """Whether it is a personal account: whatever its address, no organisation stands behind it."""
    return not identity.organization


def _base(settings: Settings) -> str:
    return settings.ms_login_base.rstrip("/")


def _tenant(settings: Settings) -> str:
    return f"{_base(settings)}/{settings.ms_tenant}"


def _issuer(settings: Settings, tenant: object) -> str:
    return f"{_base(settings)}/{tenant}/v2.0"


async def _tokens(http: Http, settings: Settings, grant_type: str, asked: dict[str, str]) -> Tokens:
    client = {"client_id": settings.ms_client_id, "client_secret": settings.ms_client_secret}
    return await ask_for_tokens(http, f"{_tenant(settings)}/oauth2/v2.0/token", _token_error, grant_type, **asked, **client)


def _token_error(answer: Answer) -> ProviderError | None:
    """What the token endpoint says went wrong, sorted; None for a good answer. Texts of the answer are not taken over."""
    if answer.status == 200:
        return None
    if not 400 <= answer.status < 500 or answer.status in (408, 429):
        return Temporary(f"the token endpoint answered {answer.status}")
    body = small_json_of(answer)
    error, listed = body.get("error"), body.get("error_codes")
    numbers = {number for number in listed if isinstance(number, int)} if isinstance(listed, list) else set()
    said = f"the token endpoint says {min(numbers, default=0)}"
    if not isinstance(error, str) or error == "temporarily_unavailable" or numbers & PASSING:
        return Temporary(said)
    if numbers & OURS:
        return Refused(said, answer.status)
    if numbers & OPERATOR or error in OPERATOR_WORDS:
        return OperatorFault(said)
    return _lost(said, error, numbers) or Refused(said, answer.status)


def _lost(said: str, error: str, numbers: set[int]) -> AuthorizationLost | None:
    """Why the person has to come again; None where the request itself was wrong."""
    if numbers & BY_ADMIN:
        return AuthorizationLost(said, cause="refused_by_provider_admin")
    if numbers & LOGIN or error in ("interaction_required", "login_required"):
        return AuthorizationLost(said, cause="login_required")
    if numbers & CONSENT or error == "consent_required":
        return MissingPermission(said)
    if numbers & ACCOUNT:
        return AuthorizationLost(said, cause="mailbox_gone")
    if error == "invalid_grant":  # 50173, 70008, 700082 and others: it is dead
        return AuthorizationLost(said, cause="revoked")
    return None
