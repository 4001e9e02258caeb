"""Codes and tokens of Microsoft.

For the Graph API: `caller(world, request.bearer)` gives `(mailbox, scopes)` of a live access token, or raises ApiError with
Graph's 401. `scopes` are the short names in Microsoft's case: "Mail.ReadWrite", "Mail.Send", "User.Read", "Mail.Read", ….
`world.ms_tokens.owner(bearer)` is the address behind any token, live or not, or "". `object_id(mailbox)` is what `/me` says
in `id` for work accounts, `graph_id(mailbox)` for both kinds.

Every refresh answers a new refresh token, and the old one lives on
(https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sandbox.clock import Clock
from sandbox.mailbox import Mailbox
from sandbox.microsoft import graph_errors as errors
from sandbox.tokens import Shape, Token, TokenStore, digest

if TYPE_CHECKING:
    from sandbox.persistence import Store
    from sandbox.state import World

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"  # the tenant of all personal accounts
RESOURCE = "https://graph.microsoft.com/"
SIGN_IN = ("openid", "email", "profile", "offline_access")
PERMISSIONS = {
    "User.Read": "Read your profile",
    "Mail.Read": "Read your mail",
    "Mail.ReadWrite": "Read and write access to your mail",
    "Mail.Send": "Send mail as you",
    "MailboxSettings.Read": "Read your mailbox settings",
    "Calendars.Read": "Read your calendars",
    "Calendars.ReadWrite": "Have full access to your calendars",
}
_CANONICAL = {name.lower(): name for name in (*SIGN_IN, *PERMISSIONS)}
_SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_SHAPE = Shape("ms_", ("M.C540_BAY.2.U.", 60), ("EwB4A", 360), ("M.C540_BAY.0.U.-", 240), 90 * 86_400)


def normal_scopes(text: str) -> list[str]:
    """Scopes by their short names in Microsoft's case, each once, in order; unknown ones as they came."""
    short = [scope[len(RESOURCE) :] if scope.lower().startswith(RESOURCE) else scope for scope in text.split()]
    return list(dict.fromkeys(_CANONICAL.get(scope.lower(), scope) for scope in short))


def unknown_scopes(scopes: list[str]) -> list[str]:
    """Those that the stand-in has never heard of."""
    return [scope for scope in scopes if scope.lower() not in _CANONICAL]


def tenant_id(mailbox: Mailbox) -> str:
    """The organization of an account: one per mail domain, or that of all personal accounts."""
    if mailbox.kind == "consumer":
        return CONSUMERS
    return str(uuid.uuid5(_SPACE, f"tenant/{mailbox.address.rpartition('@')[2]}"))


def object_id(mailbox: Mailbox) -> str:
    """The `oid` of an account; a personal one begins with zeros."""
    made = uuid.uuid5(_SPACE, f"object/{mailbox.sub}")
    if mailbox.kind == "consumer":
        return f"00000000-0000-0000-{made.hex[:4]}-{made.hex[4:16]}"
    return str(made)


def graph_id(mailbox: Mailbox) -> str:
    """The `id` that Graph's /me answers."""
    oid = object_id(mailbox)
    return oid.replace("-", "")[16:] if mailbox.kind == "consumer" else oid


def caller(world: World, bearer: str) -> tuple[Mailbox, frozenset[str]]:
    """The mailbox and the scopes of an access token. Raises ApiError (401)."""
    token = world.ms_tokens.find(bearer)
    mailbox = world.mailboxes.get(token.mailbox) if token else None
    if token is None or mailbox is None:
        is_known = bool(world.ms_tokens.owner(bearer))
        raise errors.unauthenticated("" if is_known else "Access token is empty or malformed.")
    return mailbox, token.scope_set


class MsTokens(TokenStore):
    """All tokens of Microsoft. A cut ends every token that a mailbox has then, for one reason; later ones live."""

    def __init__(self, clock: Clock, store: Store) -> None:
        super().__init__(clock, store, _SHAPE)
        self._cuts: dict[str, tuple[int, int]] = {}  # mailbox -> (number of the last token that ended, error code)

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._cuts.clear()

    def read_back(self) -> None:
        """Tokens, grants and cuts of an earlier run."""
        super().read_back()
        self._cuts = {key: (number, code) for key, (number, code), _ in self._store.rows("ms_cut")}
        self._numbers = max([self._numbers, *(number for number, _ in self._cuts.values())])

    def cut(self, mailbox: str, code: int, forget_consent: bool = False) -> int:
        """End all tokens of a mailbox: a refresh fails with `code`. How many ended.

        Access tokens end too; Microsoft's live on for up to an hour, which nobody at a console wants to wait for.
        """
        with self._lock:
            ended = self.count(mailbox)["refresh"] + self.expire_access(mailbox)
            self._cuts[mailbox] = (self._numbers, code)
            self._store.put("ms_cut", mailbox, self._cuts[mailbox])
            if forget_consent:
                self.grants.pop(mailbox, None)
                self._store.drop("ms_grant", mailbox)
        return int(ended)

    def find(self, text: str, kind: str = "access") -> Token | None:
        """The live token, else None."""
        token = super().find(text, kind)
        return None if token is None or self._is_cut(token) else token

    def _is_cut(self, token: Token) -> bool:
        return token.number <= self._cuts.get(token.mailbox, (0, 0))[0]

    def refresh_problem(self, text: str) -> int:
        """The error code of a refresh with this token, or 0."""
        token = self._tokens.get(digest(text))
        if token is None or token.kind != "refresh":
            return 9002313
        if self._is_cut(token):
            return self._cuts[token.mailbox][1]
        return 0 if self.find(text, "refresh") else 700082

    def count(self, mailbox: str) -> dict[str, Any]:
        """Live tokens and granted scopes of a mailbox, for the console and for tests."""
        live = [t.kind for t in list(self._tokens.values()) if t.mailbox == mailbox and not self._is_cut(t)]
        return {
            "access": live.count("access"), "refresh": live.count("refresh"),
            "granted": sorted(self.grants.get(mailbox, ())),
        }  # fmt: skip
