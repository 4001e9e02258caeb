"""Who may connect what, whether a consent is whole, and what it does (P-05, P-06, G-01, G-20)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portal.rules.addresses import is_consumer


@dataclass(frozen=True)
class ProviderNames:
    """What a provider and its parts are called on our pages."""

    company: str  # asks for consent
    service: str  # holds the mail
    organization: str  # whose administrator may refuse an app
    access_page: str  # where one sees and removes what one has consented to
    consumer_access_page: str  # the same for a personal account

    def page_of(self, *, is_consumer: bool) -> str:
        """Where the owner of such a mailbox removes the app."""
        return self.consumer_access_page if is_consumer else self.access_page


PROVIDERS = {
    "google": ProviderNames(
        "Google", "Gmail", "Google Workspace",
        "https://myaccount.google.com/connections", "https://myaccount.google.com/connections",
    ),
    "microsoft": ProviderNames(
        "Microsoft", "Outlook", "Microsoft 365",
        "https://myapps.microsoft.com", "https://account.live.com/consent/Manage",
    ),
}  # fmt: skip
"""Whose mailboxes can be connected (P-05)."""

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


GRAPH = "https://graph.microsoft.com/"
MICROSOFT_SCOPES = (
    "openid", "email", "profile", "offline_access", f"{GRAPH}User.Read", f"{GRAPH}Mail.ReadWrite", f"{GRAPH}Mail.Send",
)  # fmt: skip
"""What is asked of Microsoft: drafts, answers and files of a mail need Mail.ReadWrite, the rest as at Google."""
MICROSOFT_BOXES = {
    "user.read": "Read your profile",
    "mail.readwrite": "Read and write access to your mail",
    "mail.send": "Send mail as you",
}
OFFLINE_BOX = "Maintain access to data you have given it access to"
"""The permissions in the words of Microsoft's consent page; offline_access shows only in the refresh token it gives."""


def missing_microsoft_scopes(granted: str) -> tuple[str, ...]:
    """The short names of Graph's scopes that were asked for and not granted (O-01).

    Microsoft answers with short or long names in any case, with extras, and without the sign-in scopes.
    """
    have = {scope.removeprefix(GRAPH) for scope in granted.lower().split()}
    return tuple(scope for scope in MICROSOFT_BOXES if scope not in have)


def missing_microsoft_boxes(granted: str, *, has_refresh_token: bool) -> tuple[str, ...]:
    """The names of the permissions that were not given."""
    boxes = tuple(MICROSOFT_BOXES[scope] for scope in missing_microsoft_scopes(granted))
    return boxes if has_refresh_token else (*boxes, OFFLINE_BOX)


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
