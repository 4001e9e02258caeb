"""An app of Microsoft's, as the stand-in sees one: it walks the sign-in pages, exchanges codes, refreshes tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.sandbox.google_app import CHALLENGE, VERIFIER, field

CLIENT = {"client_id": "aesthetix-demo-ms", "client_secret": "demo-secret"}
GRAPH = "https://graph.microsoft.com/"
MAIL = [f"{GRAPH}User.Read", f"{GRAPH}Mail.ReadWrite", f"{GRAPH}Mail.Send"]
SCOPE = " ".join(["openid", "email", "profile", "offline_access", *MAIL])


class MicrosoftApp:
    """Speaks HTTP with the stand-in; redirects are not followed."""

    def __init__(self, http: httpx2.Client, redirect_uri: str) -> None:
        self.http, self.redirect_uri = http, redirect_uri

    def authorize(self, **changes: str | None) -> httpx2.Response:
        """The first page. A change of None leaves the parameter out; `tenant` is a part of the path."""
        tenant = changes.pop("tenant", "common")
        given: dict[str, str | None] = {
            "client_id": CLIENT["client_id"], "redirect_uri": self.redirect_uri, "response_type": "code",
            "response_mode": "query", "scope": SCOPE, "state": "state-1", "nonce": "nonce-1", "prompt": "select_account",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changes,
        }  # fmt: skip
        params = {k: v for k, v in given.items() if v is not None}
        return self.http.get(f"/microsoft/{tenant}/oauth2/v2.0/authorize", params=params)

    def sign_in(self, page: httpx2.Response, address: str, password: str = "demo-password") -> httpx2.Response:
        """The page (or redirect) after account and password."""
        form = {"flow": field(page.text, "flow"), "email": address, "password": password}
        return self.http.post("/microsoft/signin", data=form)

    def decide(self, page: httpx2.Response, decision: str = "accept") -> dict[str, str]:
        """The parameters of the callback after the consent page, if there is one."""
        if page.status_code == 200:
            page = self.http.post("/microsoft/consent", data={"flow": field(page.text, "flow"), "decision": decision})
        assert page.headers.get("location", "").startswith(self.redirect_uri + "?"), page.text
        return callback(page)

    def consent(self, address: str, **changes: str | None) -> dict[str, str]:
        """Walk the pages as a person does; the parameters of the callback."""
        return self.decide(self.sign_in(self.authorize(**changes), address))

    def token(self, grant: str, **form: str | None) -> httpx2.Response:
        """The token endpoint."""
        given = {**CLIENT, "grant_type": grant, **form}
        return self.http.post("/microsoft/common/oauth2/v2.0/token", data={k: v for k, v in given.items() if v is not None})

    def exchange(self, code: str, **changes: str | None) -> httpx2.Response:
        """Code against tokens."""
        form = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": VERIFIER, **changes}
        return self.token("authorization_code", **form)

    def connect(self, address: str, **changes: str | None) -> dict[str, Any]:
        """Consent and exchange; the token answer."""
        answer = self.exchange(self.consent(address, **changes)["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refresh(self, refresh_token: str, **changes: str | None) -> httpx2.Response:
        """New tokens."""
        return self.token("refresh_token", refresh_token=refresh_token, **changes)

    def claims(self, id_token: str) -> dict[str, Any]:
        """The claims of an id_token whose signature fits the published keys."""
        keys = KeySet.import_key_set(self.http.get("/microsoft/common/discovery/v2.0/keys").json())
        return dict(jwt.decode(id_token, keys, algorithms=["RS256"]).claims)


def callback(answer: httpx2.Response) -> dict[str, str]:
    """The parameters that a redirect gives to the app."""
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def codes(answer: httpx2.Response) -> list[int]:
    """The AADSTS codes of a refused token request."""
    found: list[int] = answer.json()["error_codes"]
    return found
