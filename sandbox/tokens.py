"""Codes, access tokens and refresh tokens of a provider, with their ways to die.

The whole consent of one user to the app is one grant. At Google, revoking any token of it kills all
(https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.clock import Clock

if TYPE_CHECKING:
    from sandbox.persistence import Store

CODE_SECONDS = 600
ACCESS_SECONDS = 3599
NEVER = 10 * 365 * 86_400.0
GMAIL_PREFIXES = ("https://www.googleapis.com/auth/gmail.", "https://mail.google.com/")


def _secret(form: tuple[str, int]) -> str:
    prefix, size = form
    return prefix + secrets.token_urlsafe(size)


def digest(secret: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Shape:
    """How a provider's tokens look and how long they live."""

    rows: str = ""  # before the names of its rows in the store
    code: tuple[str, int] = ("4/0A", 48)  # what a token begins with, and how many random bytes follow
    access: tuple[str, int] = ("ya29.a0", 130)
    refresh: tuple[str, int] = ("1//0", 72)
    unused_seconds: float = 183 * 86_400  # a refresh token of Google dies after six months without use
    refresh_limit: int = 100  # per account and client; the oldest dies silently


@dataclass
class Code:
    """An authorization code between consent and exchange."""

    mailbox: str
    scopes: list[str]
    redirect_uri: str
    challenge: str
    challenge_method: str
    nonce: str
    offline: bool  # whether the exchange gives a refresh token
    created: float
    used: bool = False


@dataclass
class Token:
    """An access or refresh token."""

    kind: str  # "access" or "refresh"
    mailbox: str
    scopes: list[str]
    created: float
    expires: float
    used: float = 0.0
    number: int = 0
    scope_set: frozenset[str] = field(default_factory=frozenset)


class TokenStore:
    """All tokens, found by their digest."""

    def __init__(self, clock: Clock, store: Store, shape: Shape | None = None) -> None:
        self._clock = clock
        self._store = store
        self._shape = shape or Shape()
        self._lock = threading.RLock()
        self._numbers = 0
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, Token] = {}
        self._known: dict[str, Token] = {}  # token text -> Token, spares the digest on each call
        self.grants: dict[str, set[str]] = {}  # mailbox -> scopes it has consented to

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._codes.clear()
            self._tokens.clear()
            self._known.clear()
            self.grants.clear()

    def read_back(self) -> None:
        """Tokens and grants of an earlier run."""
        for key, values, _ in self._store.rows(f"{self._shape.rows}token"):
            self._tokens[key] = Token(**values, scope_set=frozenset(values["scopes"]))
            self._numbers = max(self._numbers, values["number"])
        self.grants = {key: set(scopes) for key, scopes, _ in self._store.rows(f"{self._shape.rows}grant")}

    # codes ------------------------------------------------------------------------------------------------------

    def issue_code(self, code: Code) -> str:
        """A new authorization code; the grant now holds its scopes."""
        text = _secret(self._shape.code)
        with self._lock:
            self._codes[digest(text)] = code
            self.grants.setdefault(code.mailbox, set()).update(code.scopes)
            self._keep_grant(code.mailbox)
        return text

    def peek_code(self, text: str) -> Code | None:
        """The code, without using it."""
        return self._codes.get(digest(text))

    def use_code(self, text: str) -> Code | None:
        """The code on its first use within ten minutes, else None."""
        with self._lock:
            code = self._codes.get(digest(text))
            if code is None or code.used or self._clock.now() - code.created > CODE_SECONDS:
                return None
            code.used = True
            return code

    # tokens -----------------------------------------------------------------------------------------------------

    def issue(self, kind: str, mailbox: str, scopes: list[str], lifetime: float) -> str:
        """A new token. Beyond the limit of refresh tokens of the mailbox the oldest dies."""
        text = _secret(self._shape.access if kind == "access" else self._shape.refresh)
        now = self._clock.now()
        with self._lock:
            self._numbers += 1
            token = Token(kind, mailbox, scopes, now, now + lifetime, now, self._numbers, frozenset(scopes))
            self._keep(digest(text), token)
            if kind == "refresh":
                self._trim(mailbox)
            elif self._numbers % 200 == 0:
                self._sweep(now)
        return text

    def grant(self, mailbox: str, scopes: list[str], lifetime: float, access_lifetime: float) -> tuple[str, str]:
        """(refresh token, access token) of a consent that nobody walked through."""
        with self._lock:
            self.grants.setdefault(mailbox, set()).update(scopes)
            self._keep_grant(mailbox)
            refresh = self.issue("refresh", mailbox, scopes, lifetime)
            return refresh, self.issue("access", mailbox, scopes, access_lifetime)

    def _keep_grant(self, mailbox: str) -> None:
        self._store.put(f"{self._shape.rows}grant", mailbox, sorted(self.grants[mailbox]))

    def _keep(self, key: str, token: Token) -> None:
        self._tokens[key] = token
        values = asdict(token)
        values.pop("scope_set")
        self._store.put(f"{self._shape.rows}token", key, values)

    def _trim(self, mailbox: str) -> None:
        live = [(t.number, key) for key, t in self._tokens.items() if t.kind == "refresh" and t.mailbox == mailbox]
        for _, key in sorted(live)[: -self._shape.refresh_limit]:
            self._forget(key)

    def _sweep(self, now: float) -> None:
        """Drop access tokens that ended more than a day ago."""
        for key in [k for k, t in self._tokens.items() if t.kind == "access" and t.expires < now - 86_400]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        token = self._tokens.pop(key, None)
        if token:
            token.expires = 0.0  # for a thread that found it a moment ago
        self._known.clear()
        self._store.drop(f"{self._shape.rows}token", key)

    def find(self, text: str, kind: str = "access") -> Token | None:
        """The live token, else None. Using a refresh token keeps it alive."""
        token = self._known.get(text)
        if token is None:
            token = self._tokens.get(digest(text))
            if token is None:
                return None
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[text] = token
        now = self._clock.now()
        if token.kind != kind or now >= token.expires:
            return None
        if kind == "refresh":
            if now - token.used > self._shape.unused_seconds:
                return None
            token.used = now
        return token

    def owner(self, text: str) -> str:
        """The mailbox of a token, live or not, for the request log and the fault rules."""
        token = self._tokens.get(digest(text)) if text else None
        return token.mailbox if token else ""

    # ways to die ------------------------------------------------------------------------------------------------

    def kill(self, mailbox: str, gmail_only: bool = False) -> int:
        """End the tokens of a mailbox: all with its grant, or (password change) those with a Gmail scope."""
        with self._lock:
            doomed = [
                key
                for key, token in self._tokens.items()
                if token.mailbox == mailbox and (not gmail_only or any(s.startswith(GMAIL_PREFIXES) for s in token.scopes))
            ]
            for key in doomed:
                self._forget(key)
            if not gmail_only:
                self.grants.pop(mailbox, None)
                self._store.drop(f"{self._shape.rows}grant", mailbox)
        return len(doomed)

    def expire_access(self, mailbox: str) -> int:
        """Let the access tokens of a mailbox end now; refresh tokens live on."""
        with self._lock:
            doomed = [k for k, t in self._tokens.items() if t.mailbox == mailbox and t.kind == "access"]
            for key in doomed:
                self._forget(key)
        return len(doomed)

    def count(self, mailbox: str) -> dict[str, Any]:
        """Live tokens and granted scopes of a mailbox, for the console and for tests."""
        kinds = [token.kind for token in self._tokens.values() if token.mailbox == mailbox]
        return {
            "access": kinds.count("access"), "refresh": kinds.count("refresh"),
            "granted": sorted(self.grants.get(mailbox, ())),
        }  # fmt: skip
