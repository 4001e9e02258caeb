"""Who may connect what, whether a consent is whole, and what it does (P-05, P-06, G-01, G-20)."""

from __future__ import annotations

from enum import StrEnum

from portal.rules.addresses import is_consumer

READ = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"
GOOGLE_SCOPES = ("openid", "email", READ, SEND)
"""What is asked of Google, and all of it is needed: the least that reads, sends and knows whose mailbox it is."""

_LONG_NAMES = {
    "email": "https://www.googleapis.com/auth/userinfo.email",
    "profile": "https://www.googleapis.com/auth/userinfo.profile",
}
BOXES = {
    READ: "View your email messages and settings",
    SEND: "Send email on your behalf",
    _LONG_NAMES["email"]: "See your primary Google Account email address",
    "openid": "Associate you with your personal info on Google",
}
"""The boxes in the words of Google's consent page."""


def normal_scopes(text: str) -> frozenset[str]:
    """A space-separated list as a set, sign-in scopes in the long form that Google answers with."""
    return frozenset(_LONG_NAMES.get(scope, scope) for scope in text.split())


def missing_scopes(granted: str) -> tuple[str, ...]:
    """What was asked for and not granted, in the order asked (G-01). Order and extras do not matter."""
    have = normal_scopes(granted)
    return tuple(scope for name in GOOGLE_SCOPES for scope in normal_scopes(name) if scope not in have)


def missing_boxes(granted: str) -> tuple[str, ...]:
    """The names of the boxes that were left unticked."""
    return tuple(BOXES[scope] for scope in missing_scopes(granted))


def may_role_connect(role: str, connect_roles: str) -> bool:
    """Whether the account's policy lets this role connect a mailbox; an empty policy lets nobody (P-06)."""
    return role in {name.strip() for name in connect_roles.split(",") if name.strip()}


class ConsumerPolicy(StrEnum):
    """What an account says to mailboxes that no BAA covers (P-06)."""

    ALLOWED = "allowed"
    WARNED = "warned"
    FORBIDDEN = "forbidden"


def is_consumer_mailbox(address: str, hosted_domain: str) -> bool:
    """Whether no BAA can cover a Google mailbox: it belongs to no Workspace, or to a public mail service."""
    return not hosted_domain or is_consumer(address)


def consumer_policy(policy: str) -> ConsumerPolicy:
    """The policy as stored; an unknown word is the strictest."""
    return ConsumerPolicy(policy) if policy in set(ConsumerPolicy) else ConsumerPolicy.FORBIDDEN


class Purpose(StrEnum):
    """Why somebody goes to a provider's consent page."""

    CONNECT = "connect"
    RECONNECT = "reconnect"
    UPDATE = "update"


class Effect(StrEnum):
    """What a whole consent does."""

    BEGIN = "begin"  # a new connection with a new beginning
    CONTINUE = "continue"  # the connection goes on and fills its gap
    SWAP = "swap"  # the old one ends, a new one begins
    ALREADY_CONNECTED = "already_connected"
    NOTHING_THERE = "nothing_there"
    OTHER_MAILBOX = "other_mailbox"

    @property
    def is_refusal(self) -> bool:
        return self in (Effect.ALREADY_CONNECTED, Effect.NOTHING_THERE, Effect.OTHER_MAILBOX)


def decide_effect(purpose: Purpose, live_subject: str | None, subject: str) -> Effect:
    """What the consent of identity `subject` does beside the live connection's identity (None: nothing is connected).

    The identity is the provider's own id of the person: the same address under another id is another mailbox.
    """
    if purpose is Purpose.CONNECT:
        return Effect.BEGIN if live_subject is None else Effect.ALREADY_CONNECTED
    if live_subject is None:
        return Effect.NOTHING_THERE
    if live_subject == subject:
        return Effect.CONTINUE
    return Effect.SWAP if purpose is Purpose.UPDATE else Effect.OTHER_MAILBOX
