"""What comes back from Google's consent page: checked, redeemed, judged, and only then saved (G-01, G-03, G-16, G-20).

Every check that needs no token comes before the token endpoint is asked, and again in the transaction that saves; between
them no transaction is open. A consent that connects nothing is given back, unless another connection rests on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from flask import current_app
from sqlalchemy.exc import IntegrityError

from config import Settings
from portal.audit.caller import current_caller
from portal.connections import attempts
from portal.connections.attempts import Attempt
from portal.connections.queries import is_identity_in_use
from portal.connections.refusals import ConnectRefused, InsufficientPermission
from portal.connections.saving import Consent, save
from portal.database import transaction
from portal.errors import DomainError
from portal.lib.clock import now
from portal.lib.http import Http
from portal.providers.errors import AuthorizationLost, MissingPermission, OperatorFault, ProviderError
from portal.providers.google import oauth
from portal.providers.google.oauth import CodeRefused, IdentityRefused
from portal.providers.registry import mail_provider
from portal.providers.types import Identity, Tokens
from portal.rules.addresses import match_key
from portal.rules.connecting import BOXES, READ, is_consumer_mailbox, missing_boxes

BY_ADMIN = ("admin_policy_enforced", "org_internal")


@dataclass(frozen=True)
class Answer:
    """The callback's parameters as they came, every value of each: two of one kind are no answer."""

    state: Sequence[str]
    code: Sequence[str]
    error: Sequence[str]
    issuer: Sequence[str]


def finish_google(answer: Answer) -> UUID:
    """The connection that a consent made, continued or swapped in. Raises ConnectRefused or another DomainError."""
    attempt = attempts.take(answer.state[0], "google") if len(answer.state) == 1 else None
    if attempt is None:
        raise ConnectRefused("state")
    _require_same_person(attempt)
    code = _code_of(answer)
    attempts.require_allowed(attempt.user_id, attempt.account_id, attempt.provider)
    with transaction():
        pass  # nothing is open, and no lock is held, while Google is asked
    consent = asyncio.run(_redeem(attempt, code))
    try:
        return _saved(attempt, consent)
    except DomainError:
        asyncio.run(_give_back(consent.tokens, consent.identity))
        raise


def _require_same_person(attempt: Attempt) -> None:
    """The browser session, the person and the location that began it, and no others (P-03)."""
    caller = current_caller()
    if (caller.session_id, caller.user_id) != (attempt.session_id, attempt.user_id):
        raise ConnectRefused("other_session")
    if caller.account_id != attempt.account_id:
        raise ConnectRefused("other_account")


def _code_of(answer: Answer) -> str:
    """The code of a whole answer. What Google wrote into an error is not shown."""
    if answer.error:
        if answer.error[0] in BY_ADMIN:
            raise ConnectRefused("by_admin")
        raise ConnectRefused("cancelled" if answer.error[0] == "access_denied" else "provider_error")
    if len(answer.code) != 1 or not 0 < len(answer.code[0]) <= 2048:
        raise ConnectRefused("code")
    if answer.issuer and list(answer.issuer) != [_settings().google_issuer]:
        raise ConnectRefused("issuer")
    return answer.code[0]


async def _redeem(attempt: Attempt, code: str) -> Consent:
    """Exchange the code and look at what it opens. Raises ConnectRefused, the consent then being given back."""
    async with Http(max_connections=4) as http:
        try:
            tokens = await oauth.exchange(http, _settings(), code, attempt.verifier)
            identity = await oauth.verify_identity(http, _settings(), tokens.id_token, attempt.nonce, now())
        except ProviderError as error:
            raise _refusal(error) from error
        try:
            return await _look_inside(http, tokens, identity)
        except ConnectRefused:
            await _give_back(tokens, identity)
            raise


async def _look_inside(http: Http, tokens: Tokens, identity: Identity) -> Consent:
    """Whether every permission is there, and whose mailbox it is."""
    if boxes := missing_boxes(tokens.scope):
        raise InsufficientPermission(boxes)
    if not tokens.refresh_token:
        raise ConnectRefused("no_refresh_token")

    async def token(refused: str | None) -> str:
        if refused is not None:
            raise AuthorizationLost("a fresh token was refused")
        return tokens.access_token

    provider = mail_provider("google", token, http, _settings())
    try:
        profile, aliases = await provider.profile(), await provider.aliases()
    except ProviderError as error:
        raise _refusal(error) from error
    if not match_key(profile.address):
        raise ConnectRefused("unavailable")
    return Consent(
        tokens=tokens,
        identity=identity,
        mailbox=profile.address,
        cursor=profile.cursor,
        aliases=tuple(dict.fromkeys((profile.address, *aliases))),
        is_consumer=is_consumer_mailbox(profile.address, identity.organization),
    )


def _refusal(error: ProviderError) -> ConnectRefused:
    """A provider's trouble as what the person is told; nothing of the provider's own text is taken over."""
    current_app.logger.warning("a consent was not redeemed: %s (%s)", type(error).__name__, error)
    if isinstance(error, CodeRefused):
        return ConnectRefused("code_refused")
    if isinstance(error, IdentityRefused):
        return ConnectRefused("identity")
    if isinstance(error, MissingPermission):
        return InsufficientPermission((BOXES[READ],))
    if isinstance(error, AuthorizationLost):
        by_cause = {"mailbox_gone": "no_mailbox", "refused_by_provider_admin": "by_admin"}
        return ConnectRefused(by_cause.get(error.cause, "code_refused"))
    return ConnectRefused("operator" if isinstance(error, OperatorFault) else "unavailable")


def _saved(attempt: Attempt, consent: Consent) -> UUID:
    try:
        with transaction():
            attempts.require_allowed(attempt.user_id, attempt.account_id, attempt.provider)
            return save(attempt, consent)
    except IntegrityError:  # somebody else was faster: the unique keys of P-05 decide
        raise ConnectRefused("mailbox_taken") from None


async def _give_back(tokens: Tokens, identity: Identity) -> None:
    """Revoke a consent of which nothing was stored, unless a live connection rests on the same one."""
    with transaction():
        if is_identity_in_use("google", identity.subject):
            return
    with suppress(ProviderError):  # nothing is stored here; the person's own list at Google shows the app
        async with Http(max_connections=1) as http:
            await oauth.revoke(http, _settings(), tokens.access_token)


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found
