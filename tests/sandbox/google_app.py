"""An app of Google's, as the stand-in sees one: it walks the consent pages, exchanges codes, calls Gmail."""

from __future__ import annotations

import base64
import hashlib
import re
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

CLIENT = {"client_id": "aesthetix-demo.apps.example", "client_secret": "demo-secret"}
READ = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"
EMAIL = "https://www.googleapis.com/auth/userinfo.email"
SCOPE = f"openid email {READ} {SEND}"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def base64url(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def mail(sender: str, to: str, subject: str = "Hello", text: str = "Good morning", **fields: str) -> bytes:
    """A plain mail; `fields` are more headers, with `_` for `-`."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, to, subject
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made.as_bytes()


class GoogleApp:
    """Speaks HTTP with the stand-in; redirects are not followed."""

    def __init__(self, http: httpx2.Client, redirect_uri: str) -> None:
        self.http, self.redirect_uri = http, redirect_uri

    def authorize(self, **changes: str | None) -> httpx2.Response:
        """The first page. A change of None leaves the parameter out."""
        given: dict[str, str | None] = {
            "client_id": CLIENT["client_id"], "redirect_uri": self.redirect_uri, "response_type": "code",
            "scope": SCOPE, "state": "state-1", "nonce": "nonce-1", "access_type": "offline", "prompt": "consent",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changes,
        }  # fmt: skip
        return self.http.get("/google/o/oauth2/v2/auth", params={k: v for k, v in given.items() if v is not None})

    def consent(
        self, address: str, ticked: list[str] | None = None, decision: str = "allow", **changes: str | None
    ) -> dict[str, str]:
        """Walk the pages as a person does; the parameters of the callback. `ticked` None ticks every box."""
        flow = field(self.authorize(**changes).text, "flow")
        page = self.http.post("/google/signin", data={"flow": flow, "email": address, "password": "demo-password"})
        if page.status_code == 200:
            boxes = re.findall(r'name="scope" value="([^"]+)"', page.text) if ticked is None else ticked
            page = self.http.post("/google/consent", data={"flow": flow, "scope": boxes, "decision": decision})
        assert page.status_code == 302, page.text
        assert page.headers["location"].startswith(self.redirect_uri + "?")
        return {k: v[0] for k, v in parse_qs(urlsplit(page.headers["location"]).query).items()}

    def exchange(self, code: str, **changes: str | None) -> httpx2.Response:
        """Code against tokens."""
        form: dict[str, str | None] = {
            **CLIENT, "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri,
            "code_verifier": VERIFIER, **changes,
        }  # fmt: skip
        return self.http.post("/google/token", data={k: v for k, v in form.items() if v is not None})

    def connect(self, address: str, **changes: Any) -> dict[str, Any]:
        """Consent and exchange; the token answer."""
        answer = self.exchange(self.consent(address, **changes)["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refresh(self, refresh_token: str, **changes: str) -> httpx2.Response:
        """A new access token."""
        form = {**CLIENT, "grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        return self.http.post("/google/token", data=form)

    def revoke(self, token: str) -> httpx2.Response:
        """End the grant of a token."""
        return self.http.post("/google/revoke", data={"token": token})


class Gmail:
    """Gmail's API for one access token."""

    def __init__(self, app: GoogleApp, token: str) -> None:
        self.http, self.headers = app.http, {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        """One call below users/me, or of a whole path when it begins with a slash."""
        whole = path if path.startswith("/") else f"/gmail/v1/users/me/{path}"
        headers = self.headers | kwargs.pop("headers", {})
        return self.http.request(method, whole, headers=headers, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, raw: bytes, thread_id: str = "") -> dict[str, Any]:
        """messages.send with JSON; it must succeed."""
        fields = {"raw": base64url(raw), **({"threadId": thread_id} if thread_id else {})}
        answer = self.call("POST", "messages/send", json=fields)
        assert answer.status_code == 200, answer.text
        sent: dict[str, Any] = answer.json()
        return sent

    def history(self, start: int | str, **params: Any) -> dict[str, Any]:
        """One page of history.list."""
        page: dict[str, Any] = self.get("history", startHistoryId=start, **params)
        return page


def field(html: str, name: str) -> str:
    """The value of a hidden field."""
    match = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert match, html
    return match.group(1)


def header(message: dict[str, Any], name: str) -> str:
    """A header of a message in the format full or metadata; empty when absent."""
    found = [h["value"] for h in message["payload"]["headers"] if h["name"].lower() == name.lower()]
    return str(found[0]) if found else ""
