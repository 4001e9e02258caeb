"""Google's token side: exchange, refresh, revoke, keys, userinfo."""

from __future__ import annotations

import hashlib
from typing import Any

from sandbox.authorization import NO_STORE, b64, credentials, fits_challenge, id_token, is_same
from sandbox.google import errors
from sandbox.google.errors import oauth_error
from sandbox.http import Request, Response, json_response
from sandbox.mailbox import Mailbox
from sandbox.state import World
from sandbox.tokens import ACCESS_SECONDS, NEVER, Code

ISSUER = "https://accounts.google.com"
ALIASES = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}
SIGN_IN = frozenset({"openid", "email", "profile", *ALIASES.values()})


def normal_scopes(text: str) -> list[str]:
    """Scopes in Google's canonical names, each once, in order."""
    return list(dict.fromkeys(ALIASES.get(scope, scope) for scope in text.split()))


class OAuth:
    """The endpoints that programs call."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Response | None:
        """Answer a call under /google, or None when the path is a page for people."""
        path, verb = request.path.removeprefix("/google"), request.method
        if path == "/token":
            return self.token(request) if verb == "POST" else _post_only()
        if path == "/revoke":
            return self.revoke(request) if verb in ("POST", "GET") else _post_only()
        if path in ("/certs", "/oauth2/v3/certs"):
            return json_response(self.world.key.jwks(), headers=[("Cache-Control", "public, max-age=3600")])
        if path in ("/userinfo", "/v1/userinfo"):
            return self.userinfo(request)
        if path == "/.well-known/openid-configuration":
            return json_response(self.discovery(f"http://{request.headers.get('host', '')}"))
        return None

    # token -------------------------------------------------------------------------------------------------------------

    def _client_is_known(self, request: Request, form: dict[str, str]) -> bool:
        given_id, given_secret = credentials(request, form)
        settings = self.world.settings
        return is_same(given_id, settings.client_id) and is_same(given_secret, settings.client_secret)

    def token(self, request: Request) -> Response:
        """The token endpoint: `authorization_code` and `refresh_token`."""
        form = request.form()
        if not self._client_is_known(request, form):
            known = form.get("client_id", self.world.settings.client_id) == self.world.settings.client_id
            text = "Unauthorized" if known else "The OAuth client was not found."
            return oauth_error("invalid_client", text, 401)
        match form.get("grant_type"):
            case "authorization_code":
                response = self._exchange(form)
            case "refresh_token":
                response = self._refresh(form)
            case None | "":
                response = oauth_error("invalid_request", "Required parameter is missing: grant_type")
            case other:
                response = oauth_error("unsupported_grant_type", f"Invalid grant_type: {other}")
        response.headers.extend(NO_STORE)
        response.mailbox = response.mailbox or self.owner(form)
        return response

    def owner(self, form: dict[str, str]) -> str:
        """Whose call a token or revoke request is, for the log and the fault rules."""
        code = self.world.tokens.peek_code(form.get("code", ""))
        return code.mailbox if code else self.world.tokens.owner(form.get("refresh_token") or form.get("token") or "")

    def _exchange(self, form: dict[str, str]) -> Response:
        text = form.get("code", "")
        peek = self.world.tokens.peek_code(text)
        if peek is None:
            return oauth_error("invalid_grant", "Malformed auth code.")
        if form.get("redirect_uri") != peek.redirect_uri:
            return oauth_error("redirect_uri_mismatch", "Bad Request")
        problem = _verifier_problem(peek, form.get("code_verifier", ""))
        if problem:
            return oauth_error("invalid_grant", problem)
        code = self.world.tokens.use_code(text)
        if code is None:
            return oauth_error("invalid_grant", "Bad Request")
        return self._issue(code)

    def _issue(self, code: Code) -> Response:
        tokens, take = self.world.tokens, self.world.quirks.take
        lifetime = take("token_lifetime", code.mailbox)
        answer: dict[str, Any] = {
            "access_token": tokens.issue("access", code.mailbox, code.scopes, ACCESS_SECONDS),
            "expires_in": ACCESS_SECONDS,
        }
        if code.offline and not take("token_without_refresh", code.mailbox):
            answer["refresh_token"] = tokens.issue("refresh", code.mailbox, code.scopes, float(lifetime or NEVER))
            if lifetime:
                answer["refresh_token_expires_in"] = int(lifetime)
        answer |= {"scope": " ".join(code.scopes), "token_type": "Bearer"}
        if "openid" in code.scopes:
            mailbox = self.world.mailboxes[code.mailbox]
            answer["id_token"] = self.id_token(mailbox, code, str(answer["access_token"]))
        return json_response(answer)

    def _refresh(self, form: dict[str, str]) -> Response:
        token = self.world.tokens.find(form.get("refresh_token", ""), "refresh")
        if token is None:
            return oauth_error("invalid_grant", "Token has been expired or revoked.")
        wanted = normal_scopes(form.get("scope", "")) or token.scopes
        if not set(wanted) <= token.scope_set:
            return oauth_error("invalid_scope", "Some requested scopes were invalid.")
        access = self.world.tokens.issue("access", token.mailbox, wanted, ACCESS_SECONDS)
        answer = {"access_token": access, "expires_in": ACCESS_SECONDS, "scope": " ".join(wanted), "token_type": "Bearer"}
        response = json_response(answer)
        response.mailbox = token.mailbox
        return response

    def id_token(self, mailbox: Mailbox, code: Code, access_token: str) -> str:
        """An OpenID Connect id_token; quirks make it wrong in one way each."""
        take, now = self.world.quirks.take, int(self.world.clock.now())
        address = mailbox.address
        claims: dict[str, Any] = {
            "iss": "https://evil.example" if take("id_token_wrong_issuer", address) else ISSUER,
            "azp": self.world.settings.client_id,
            "aud": "someone-else" if take("id_token_wrong_audience", address) else self.world.settings.client_id,
            "sub": mailbox.sub, "at_hash": b64(hashlib.sha256(access_token.encode()).digest()[:16]),
            "iat": now, "exp": now + 3600,
        }  # fmt: skip
        if ALIASES["email"] in code.scopes:
            claims |= {"email": address, "email_verified": True}
        if ALIASES["profile"] in code.scopes:
            claims["name"] = mailbox.name
        if mailbox.kind == "workspace":
            claims["hd"] = address.rpartition("@")[2]
        if code.nonce:
            claims["nonce"] = "other" if take("id_token_wrong_nonce", address) else code.nonce
        return id_token(self.world, address, claims)

    # the rest ------------------------------------------------------------------------------------------------------

    def revoke(self, request: Request) -> Response:
        """Revoke by access or refresh token: the whole grant of that user to the project ends."""
        text = request.form().get("token") or request.first("token")
        if not text:
            return oauth_error("invalid_request", "Missing required parameter: token")
        mailbox = self.world.tokens.owner(text)
        if not mailbox:
            return oauth_error("invalid_token", "Token expired or revoked")
        self.world.tokens.kill(mailbox)
        response = json_response({})
        response.mailbox = mailbox
        return response

    def userinfo(self, request: Request) -> Response:
        """OpenID Connect userinfo."""
        token = self.world.tokens.find(request.bearer)
        mailbox = self.world.mailboxes.get(token.mailbox) if token else None
        if token is None or mailbox is None:
            return errors.unauthenticated().response
        answer: dict[str, Any] = {"sub": mailbox.sub}
        if ALIASES["email"] in token.scope_set:
            answer |= {"email": mailbox.address, "email_verified": True}
        if ALIASES["profile"] in token.scope_set:
            answer["name"] = mailbox.name
        response = json_response(answer)
        response.mailbox = mailbox.address
        return response

    def discovery(self, base: str) -> dict[str, Any]:
        """The OpenID configuration; the issuer is Google's own name."""
        return {
            "issuer": ISSUER, "authorization_endpoint": f"{base}/google/o/oauth2/v2/auth",
            "token_endpoint": f"{base}/google/token", "userinfo_endpoint": f"{base}/google/userinfo",
            "revocation_endpoint": f"{base}/google/revoke", "jwks_uri": f"{base}/google/certs",
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["plain", "S256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }  # fmt: skip


def _verifier_problem(code: Code, verifier: str) -> str:
    """Why the PKCE verifier is refused (RFC 7636), or an empty string."""
    if not code.challenge:
        return "code_verifier is not needed." if verifier else ""
    if not verifier:
        return "Missing code verifier."
    return "" if fits_challenge(code.challenge, code.challenge_method, verifier) else "Invalid code verifier."


def _post_only() -> Response:
    return oauth_error("invalid_request", "Only POST is allowed.", 405)
