"""What a consent page's answer can be refused for, in words: what happened, that nothing was connected, what to press."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.errors import DomainError
from portal.rules.connecting import PROVIDERS, Effect
from portal.rules.reasons import Cause

NEUTRAL = "This answer from {company} does not belong to a connection you have just begun here. Nothing was connected."
AGAIN = "Begin again on My Profile."

WORDS = {
    "insufficient_permission": "{company} refused us: {lack}. Nothing was connected. Connect again and {remedy}.",
    "cancelled": "You cancelled at {company}. Nothing was connected.",
    "provider_error": f"{{company}} ended the consent with an error. Nothing was connected. {AGAIN}",
    "login_required": "{company} wants you to sign in with a further step before it gives access. Nothing was connected. "
    "Connect again and finish that step there.",
    "by_admin": "The administrator of your {organization} does not allow this app. Nothing was connected. "
    "Ask them to allow it, then connect again.",
    "code_refused": "{company} no longer accepts this consent; it was used already or took too long. "
    f"Nothing was connected. {AGAIN}",
    "identity": f"{{company}}’s answer could not be verified. Nothing was connected. {AGAIN}",
    "unavailable": "{company} could not be reached, or its answer could not be read. Nothing was connected. "
    "Try again in a few minutes.",
    "operator": "{company} does not accept this portal’s own registration. Nothing was connected. "
    "Your operator has to mend it; your consent is fine.",
    "no_refresh_token": "{company} gave access for this moment only, so the sync would stop within the hour. "
    f"Nothing was connected. {AGAIN}",
    "no_mailbox": "This {company} account has no {service} mailbox. Nothing was connected. "
    "Choose the account that your mail is in.",
    "consumer_forbidden": "Your practice does not allow personal {service} mailboxes, since no agreement with {company} "
    "covers them. Nothing was connected. Use the mailbox of your practice.",
    "mailbox_taken": "A colleague has connected this mailbox in this location. Nothing was connected. "
    "A mailbox can be connected by one person here.",
    Cause.PAUSED_BY_ADMIN.value: "An admin of your practice has paused your mailbox. Nothing was changed. "
    "Ask them to let it go on.",
    Effect.ALREADY_CONNECTED.value: "A mailbox of yours is connected here already. Nothing was changed. "
    "Use Update to connect another.",
    Effect.NOTHING_THERE.value: "The mailbox was disconnected meanwhile. Nothing was connected. "
    "Connect anew; that sets a new beginning.",
    Effect.OTHER_MAILBOX.value: "You chose another {company} account than the one that is connected. "
    "Nothing was changed. Reconnect with the same account, or use Update to connect another mailbox in its place.",
}

LACKS = {  # Microsoft's consent page has no boxes
    "google": ("one box was not ticked", "not every box was ticked", "tick all boxes"),
    "microsoft": ("one permission was not given", "not every permission was given", "accept all that it asks for"),
}


class ConnectRefused(DomainError):
    """A consent that connects nothing. `boxes` are the names of permissions that were not granted."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Nothing was connected"

    def __init__(self, provider: str, cause: str, *, boxes: Sequence[str] = ()) -> None:
        words = WORDS.get(cause, f"{NEUTRAL} {AGAIN}")
        one, many, remedy = LACKS[provider]
        lack = {"lack": one if len(boxes) == 1 else many, "remedy": remedy}
        super().__init__(words.format_map(vars(PROVIDERS[provider]) | lack), cause=cause)
        self.boxes = tuple(boxes)


class InsufficientPermission(ConnectRefused):
    """A permission was not given (G-01, O-01)."""

    title: ClassVar[str] = "Insufficient permission"

    def __init__(self, provider: str, boxes: Sequence[str]) -> None:
        super().__init__(provider, "insufficient_permission", boxes=boxes)


def record_refusal(error: DomainError, provider: str) -> None:
    """Undo what the answer had begun, and write down that it was refused and why (A-02)."""
    db.session.rollback()
    record(events.CONNECT_REFUSED, outcome="refused", provider=provider, cause=error.cause)
