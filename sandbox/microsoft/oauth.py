"""Microsoft's token side: exchange, refresh, keys, discovery.

https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow. There is no revoke endpoint.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sandbox.authorization import NO_STORE, b64, credentials, fits_challenge, id_token, is_same
from sandbox.http import Request, Response, json_response
from sandbox.mailbox import Mailbox
from sandbox.microsoft import errors
from sandbox.microsoft.tokens import CONSUMERS, RESOURCE, SIGN_IN, normal_scopes, object_id, tenant_id, unknown_scopes
from sandbox.state import World
from sandbox.tokens import ACCESS_SECONDS, CODE_SECONDS, NEVER, Code

PREFIX = "/microsoft/"


class MsOAuth:
    """The endpoints that programs call, below /microsoft/{tenant}."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Response | None:
        """Answer a call under /microsoft, or None when the path is a page for people."""
        tenant, _, path = request.path.removeprefix(PREFIX).partition("/")
        base = f"http://{request.headers.get('host', '')}/microsoft"
        if path == "oauth2/v2.0/token":
            return self.token(request, base) if request.method == "POST" else errors.token_error(900144)
        if path == "discovery/v2.0/keys":
            return json_response(self.world.key.jwks(), headers=[("Cache-Control", "max-age=86400, private")])
        if path == "v2.0/.well-known/openid-configuration":
            return json_response(discovery(base, tenant))
        return None

    def owner(self, form: dict[str, str]) -> str:
        """Whose call a token request is, for the log and the fault rules."""
        code = self.world.ms_tokens.peek_code(form.get("code", ""))
        return code.mailbox if code else self.world.ms_tokens.owner(form.get("refresh_token", ""))

    # token -------------------------------------------------------------------------------------------------------------

    def token(self, request: Request, base: str) -> Response:
        """The token endpoint: `authorization_code` and `refresh_token`."""
        form = request.form()
        problem = self._client_problem(*credentials(request, form))
        grant = form.get("grant_type", "")
        if problem:
            response = errors.token_error(problem)
        elif grant == "authorization_code":
            response = self._exchange(form, base)
        elif grant == "refresh_token":
            response = self._refresh(form, base)
        else:
            response = errors.token_error(70003 if grant else 900144)
        response.headers.extend(NO_STORE)
        response.mailbox = self.owner(form)
        return response

    def _client_problem(self, client_id: str, secret: str) -> int:
        settings = self.world.settings
        if not is_same(client_id, settings.ms_client_id):
            return 700016
        if not secret:
            return 7000218
        return 0 if is_same(secret, settings.ms_client_secret) else 7000215

    def _exchange(self, form: dict[str, str], base: str) -> Response:
        text = form.get("code", "")
        code = self.world.ms_tokens.peek_code(text)
        problem = 70000 if code is None else self._code_problem(code, form)
        if code is None or problem:
            return errors.token_error(problem)
        if self.world.ms_tokens.use_code(text) is None:  # another call was faster
            return errors.token_error(54005)
        return self._issue(code.mailbox, code.scopes, base, code)

    def _code_problem(self, code: Code, form: dict[str, str]) -> int:
        if code.used:
            return 54005
        if self.world.clock.now() - code.created > CODE_SECONDS:
            return 70008
        if form.get("redirect_uri") != code.redirect_uri:
            return 50011
        verifier = form.get("code_verifier", "")
        if bool(verifier) != bool(code.challenge) or (verifier and not fits_challenge(code.challenge, "S256", verifier)):
            return 501481
        return 50057 if self.world.mailboxes[code.mailbox].is_disabled else 0

    def _refresh(self, form: dict[str, str], base: str) -> Response:
        tokens, text = self.world.ms_tokens, form.get("refresh_token", "")
        if not text:
            return errors.token_error(90014)
        if problem := tokens.refresh_problem(text):
            return errors.token_error(problem)
        token = tokens.find(text, "refresh")
        mailbox = self.world.mailboxes.get(token.mailbox) if token else None
        if token is None or mailbox is None:
            return errors.token_error(50034)
        if mailbox.is_disabled:
            return errors.token_error(50057)
        wanted = normal_scopes(form.get("scope", "")) or token.scopes
        if unknown_scopes(wanted):
            return errors.token_error(70011)
        if not set(wanted) <= tokens.grants.get(mailbox.address, set()) | token.scope_set:
            return errors.token_error(65001)
        return self._issue(mailbox.address, token.scopes, base)

    def _issue(self, address: str, scopes: list[str], base: str, code: Code | None = None) -> Response:
        tokens, take = self.world.ms_tokens, self.world.quirks.take
        mailbox, lifetime = self.world.mailboxes[address], take("token_lifetime", address)
        answer: dict[str, Any] = {
            "token_type": "Bearer", "scope": self._shown_scope(mailbox, scopes), "expires_in": ACCESS_SECONDS,
            "ext_expires_in": ACCESS_SECONDS, "access_token": tokens.issue("access", address, scopes, ACCESS_SECONDS),
        }  # fmt: skip
        if "offline_access" in scopes and not take("token_without_refresh", address):
            answer["refresh_token"] = tokens.issue("refresh", address, scopes, float(lifetime or NEVER))
        if "openid" in scopes:
            answer["id_token"] = self.id_token(mailbox, scopes, code.nonce if code else "", base)
        return json_response(answer)

    def _shown_scope(self, mailbox: Mailbox, scopes: list[str]) -> str:
        """Full names for personal accounts, short ones for work accounts, or as the quirk says; never offline_access."""
        form = self.world.quirks.take("ms_scope_form", mailbox.address)
        form = form or ("long" if mailbox.kind == "consumer" else "short")
        shown = [scope for scope in scopes if scope != "offline_access"]
        if form == "long":
            shown = [scope if scope in SIGN_IN else RESOURCE + scope for scope in shown]
        text = " ".join(shown)
        return text.lower() if form == "lower" else text

    def id_token(self, mailbox: Mailbox, scopes: list[str], nonce: str, base: str) -> str:
        """An id_token of version 2.0; quirks make it wrong in one way each.

        https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference
        """
        take, now, address = self.world.quirks.take, int(self.world.clock.now()), mailbox.address
        tid, client = tenant_id(mailbox), self.world.settings.ms_client_id
        claims: dict[str, Any] = {
            "ver": "2.0", "iss": "https://evil.example" if take("id_token_wrong_issuer", address) else f"{base}/{tid}/v2.0",
            "aud": "someone-else" if take("id_token_wrong_audience", address) else client,
            "sub": b64(hashlib.sha256(f"{client}/{mailbox.sub}".encode()).digest()),  # another one for each app
            "tid": tid, "iat": now, "nbf": now, "exp": now + 3600,
        }  # fmt: skip
        if "profile" in scopes:
            claims |= {"oid": object_id(mailbox), "preferred_username": address, "name": mailbox.name}
        if "email" in scopes:
            claims["email"] = address
        if nonce:
            claims["nonce"] = "other" if take("id_token_wrong_nonce", address) else nonce
        return id_token(self.world, address, claims)


def discovery(base: str, tenant: str) -> dict[str, Any]:
    """The OpenID configuration; for `common` and `organizations` its issuer is a template."""
    named = {"common": "{tenantid}", "organizations": "{tenantid}", "consumers": CONSUMERS}.get(tenant, tenant)
    return {
        "issuer": f"{base}/{named}/v2.0", "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token", "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
        "response_modes_supported": ["query"], "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": list(SIGN_IN), "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "oid", "ver",
                             "email"],
    }  # fmt: skip
