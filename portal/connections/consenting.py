"""What comes back from a consent page: checked, redeemed, judged, and only then saved (G-01, G-03, G-16, G-20, O-01).

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
from portal.providers.base import Authority
from portal.providers.errors import (
    AuthorizationLost,
    CodeRefused,
    IdentityRefused,
    MissingPermission,
    OperatorFault,
    ProviderError,
)
from portal.providers.registry import authority, mail_provider
from portal.providers.types import Identity, Tokens
from portal.rules.addresses import match_key

MOST_CODE = 4096  # characters; Microsoft's may have more than two thousand
LOST = {"mailbox_gone": "no_mailbox", "refused_by_provider_admin": "by_admin", "login_required": "login_required"}
"""What the person is told, by the cause of an authorisation that was lost before it was saved."""


@dataclass(frozen=True)
class Answer:
    """The callback's parameters as they came, every value of each: two of one kind are no answer."""

    state: Sequence[str]
    code: Sequence[str]
    error: Sequence[str]
    description: Sequence[str]
    issuer: Sequence[str]


def finish(provider: str, answer: Answer) -> UUID:
    """The connection that a consent made, continued or swapped in. Raises ConnectRefused or another DomainError."""
    attempt = attempts.take(answer.state[0], provider) if len(answer.state) == 1 else None
    if attempt is None:
        raise ConnectRefused(provider, "state")
    _require_same_person(attempt)
    code = _code_of(authority(provider), answer)
    attempts.require_allowed(attempt.user_id, attempt.account_id, attempt.provider)
    with transaction():
        pass  # nothing is open, and no lock is held, while the provider is asked
    consent = asyncio.run(_redeem(attempt, code))
    try:
        return _saved(attempt, consent)
    except DomainError:
        asyncio.run(_give_back(authority(provider), consent.tokens, consent.identity))
        raise


def _require_same_person(attempt: Attempt) -> None:
    """The browser session, the person and the location that began it, and no others (P-03)."""
    caller = current_caller()
    if (caller.session_id, caller.user_id) != (attempt.session_id, attempt.user_id):
        raise ConnectRefused(attempt.provider, "other_session")
    if caller.account_id != attempt.account_id:
        raise ConnectRefused(attempt.provider, "other_account")


def _code_of(source: Authority, answer: Answer) -> str:
    """The code of a whole answer. What the provider wrote into an error is not shown."""
    if answer.error:
        raise ConnectRefused(source.name, source.refusal(answer.error[0], " ".join(answer.description)))
    if len(answer.code) != 1 or not 0 < len(answer.code[0]) <= MOST_CODE:
        raise ConnectRefused(source.name, "code")
    if answer.issuer and not (len(answer.issuer) == 1 and source.is_issuer(_settings(), answer.issuer[0])):
        raise ConnectRefused(source.name, "issuer")
    return answer.code[0]


async def _redeem(attempt: Attempt, code: str) -> Consent:
    """Exchange the code and look at what it opens. Raises ConnectRefused, the consent then being given back."""
    source = authority(attempt.provider)
    async with Http(max_connections=4) as http:
        try:
            tokens = await source.exchange(http, _settings(), code, attempt.verifier)
            identity = await source.verify_identity(http, _settings(), tokens.id_token, attempt.nonce, now())
        except ProviderError as error:
            raise _refusal(source, error) from error
        try:
            return await _look_inside(source, http, tokens, identity)
        except ConnectRefused:
            await _give_back(source, tokens, identity)
            raise


async def _look_inside(source: Authority, http: Http, tokens: Tokens, identity: Identity) -> Consent:
    """Whether every permission is there, and whose mailbox it is."""
    if boxes := source.missing_boxes(tokens):
        raise InsufficientPermission(source.name, boxes)
    if not tokens.refresh_token:
        raise ConnectRefused(source.name, "no_refresh_token")

    async def token(refused: str | None) -> str:
        if refused is not None:
            raise AuthorizationLost("a fresh token was refused")
        return tokens.access_token

    provider = mail_provider(source.name, token, http, _settings())
    try:
        profile, aliases = await provider.profile(), await provider.aliases()
    except ProviderError as error:
        raise _refusal(source, error) from error
    if not match_key(profile.address):
        raise ConnectRefused(source.name, "unavailable")
    return Consent(
        tokens=tokens,
        identity=identity,
        mailbox=profile.address,
        cursor=profile.cursor,
        aliases=tuple(dict.fromkeys((profile.address, *aliases))),
        is_consumer=source.is_consumer(profile.address, identity),
    )


def _refusal(source: Authority, error: ProviderError) -> ConnectRefused:
    """A provider's trouble as what the person is told; nothing of the provider's own text is taken over."""
    current_app.logger.warning("a consent was not redeemed: %s (%s)", type(error).__name__, error)
    if isinstance(error, MissingPermission):
        return InsufficientPermission(source.name, (source.reading_box,))
    if isinstance(error, OperatorFault):
        current_app.logger.error("operator: the provider refuses our client: %s", error)
    return ConnectRefused(source.name, _word_of(error))


def _word_of(error: ProviderError) -> str:
    if isinstance(error, CodeRefused):
        return "code_refused"
    if isinstance(error, IdentityRefused):
        return "identity"
    if isinstance(error, AuthorizationLost):
        return LOST.get(error.cause, "code_refused")
    return "operator" if isinstance(error, OperatorFault) else "unavailable"


def _saved(attempt: Attempt, consent: Consent) -> UUID:
    try:
        with transaction():
            attempts.require_allowed(attempt.user_id, attempt.account_id, attempt.provider)
            return save(attempt, consent)
    except IntegrityError:  # somebody else was faster: the unique keys of P-05 decide
        raise ConnectRefused(attempt.provider, "mailbox_taken") from None


async def _give_back(source: Authority, tokens: Tokens, identity: Identity) -> None:
    """Revoke a consent of which nothing was stored, unless a live connection rests on the same one."""
    with transaction():
        if is_identity_in_use(source.name, identity.subject):
            return
    with suppress(ProviderError):  # nothing is stored here; the person's own list at the provider shows the app
        async with Http(max_connections=1) as http:
            await source.revoke(http, _settings(), tokens.access_token)


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found
