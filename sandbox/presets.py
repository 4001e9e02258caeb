"""Faults by name, so that a person at the console (or a test) can switch a whole situation on and off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.accounts import change_password, revoke
from sandbox.google.errors import body
from sandbox.inputs import BadInput
from sandbox.mailbox import Mailbox
from sandbox.microsoft.login_presets import LOGIN_PRESETS
from sandbox.microsoft.mail_presets import MAIL_PRESETS
from sandbox.situation import Preset, expire_history, same_rules
from sandbox.state import World

DAY = 86_400
GMAIL = "/gmail/*"
SEND = "/*gmail/v1/users/*/messages/send"


def _set_cap(cap: dict[str, Any] | None) -> Callable[[World, Mailbox], None]:
    def apply(world: World, mailbox: Mailbox) -> None:
        with world.lock:
            mailbox.send_cap = cap
            world.store.save_mailbox(mailbox)

    return apply


def _killed(world: World, mailbox: Mailbox) -> None:
    revoke(world, mailbox)


def _changed(world: World, mailbox: Mailbox) -> None:
    change_password(world, mailbox)


def _expired(world: World, mailbox: Mailbox) -> None:
    world.tokens_of(mailbox).expire_access(mailbox.address)


def _expire_watch(world: World, mailbox: Mailbox) -> None:
    with world.lock:
        if mailbox.watch:
            mailbox.watch.expires = world.clock.now() - 1
            world.store.save_mailbox(mailbox)


def _throttled(world: World) -> list[dict[str, Any]]:
    until = world.clock.iso(world.clock.now() + 30)
    message = f"User-rate limit exceeded.  Retry after {until}"
    answer = body(429, message, "rateLimitExceeded", "usageLimits")
    return [{"path": GMAIL, "status": 429, "body": answer}, {"path": "/batch*", "status": 429, "body": answer}]


def _failing(_world: World) -> list[dict[str, Any]]:
    answer = body(503, "The service is currently unavailable.", "backendError")
    paths = (GMAIL, "/upload/*", "/batch*", "/google/token")
    return [{"path": path, "status": 503, "body": answer} for path in paths]


def _blocked_by_policy(_world: World) -> list[dict[str, Any]]:
    answer = body(403, "Domain policy has disabled third-party apps.", "domainPolicy")
    refused = {"method": "POST", "path": "/google/token", "status": 400, "body": {"error": "admin_policy_enforced"}}
    return [*({"path": path, "status": 403, "body": answer} for path in (GMAIL, "/batch*")), refused]


def _lost_grant(**more: str) -> Callable[[World], list[dict[str, Any]]]:
    answer = {"error": "invalid_grant", **more}
    return lambda _world: [{"method": "POST", "path": "/google/token", "status": 400, "body": answer}]


PRESETS = [
    Preset(
        "revoke", "Take the permission away", "The person removes the app in the account: all its tokens die.",
        _killed, needs_mailbox=True, provider="",
    ),
    Preset(
        "change_password", "Change the password",
        "Every token that may touch mail dies; at Microsoft those of a personal account only.",
        _changed, needs_mailbox=True, provider="",
    ),
    Preset(
        "expire_access", "End the access tokens", "The next call is refused once; a refresh puts it right.",
        _expired, needs_mailbox=True, provider="",
    ),
    Preset(
        "expire_history", "Forget the history", "Each known history id answers 404: the reader must look again.",
        expire_history, needs_mailbox=True, provider="",
    ),
    Preset(
        "expire_watch", "Let the push watch run out", "No notices come any more, and nobody says so.",
        _expire_watch, needs_mailbox=True,
    ),
    Preset(
        "send_cap", "Daily limit for sending reached", "Gmail answers 429 to each send.",
        _set_cap({"mode": "429", "limit": 0}), needs_mailbox=True,
    ),
    Preset(
        "send_cap_bounce", "Daily limit, told by a bounce", "Gmail takes the mail, then the mailer-daemon says no.",
        _set_cap({"mode": "bounce", "limit": 0}), needs_mailbox=True,
    ),
    Preset("send_cap_off", "Daily limit back to normal", "500 recipients a day, or 2,000 mails.", _set_cap(None),
           needs_mailbox=True),
    Preset("throttle", "Too many requests (429)", "Gmail refuses each call and names a time, thirty seconds from now.",
           rules=_throttled),
    Preset("server_errors", "Gmail is down (503)", "Every call and every refresh fails.", rules=_failing),
    Preset("slow", "Slow answers", "Each Gmail call takes three seconds longer.",
           rules=same_rules({"path": GMAIL, "delay_ms": 3000}, {"path": "/batch*", "delay_ms": 3000})),
    Preset("html", "Pages instead of data", "Calls answer 200 with an HTML page, as a proxy would.",
           rules=same_rules({"path": GMAIL, "body": "<html><body>Please sign in to the network</body></html>"})),
    Preset("truncated", "Answers cut short", "Half a JSON and then the end.",
           rules=same_rules({"path": GMAIL, "truncate": 20})),
    Preset("drop", "Connection lost", "Calls end without an answer, before anything has happened.",
           rules=same_rules(*({"path": path, "drop": True} for path in (GMAIL, "/upload/*", "/batch*")))),
    Preset("drop_after_send", "Sent, but the answer is lost", "The mail goes out; the connection breaks before the answer.",
           rules=same_rules({"method": "POST", "path": SEND, "drop": True, "after_effect": True})),
    Preset("error_after_send", "Sent, but the answer is 500", "The mail goes out; the answer says that it failed.",
           rules=same_rules({"method": "POST", "path": SEND, "after_effect": True, "status": 500,
                        "body": body(500, "Internal error encountered.", "backendError")})),
    Preset("reauth", "Sign-in wanted again", "A refresh answers invalid_rapt, as Workspace session control does.",
           rules=_lost_grant(error_subtype="invalid_rapt", error_description="reauth related error (invalid_rapt)")),
    Preset("admin_policy", "Refused by the Workspace administrator", "Calls and refreshes are refused for good.",
           rules=_blocked_by_policy),
    Preset("client_secret", "The app's own secret is wrong", "A refresh answers 401 invalid_client: the operator's fault.",
           rules=same_rules({"method": "POST", "path": "/google/token", "status": 401,
                        "body": {"error": "invalid_client", "error_description": "Unauthorized"}})),
    *LOGIN_PRESETS,
    *MAIL_PRESETS,
]  # fmt: skip
BY_NAME = {preset.name: preset for preset in PRESETS}


def switch_on(world: World, name: str, mailbox: Mailbox | None, times: int | None = None) -> list[int]:
    """Switch a preset on, for one mailbox or for all; the ids of its rules. Raises BadInput."""
    preset = BY_NAME.get(name)
    if preset is None:
        raise BadInput(f"unknown preset {name}; known: {', '.join(BY_NAME)}")
    if preset.needs_mailbox and mailbox is None:
        raise BadInput(f"{name} needs a mailbox")
    if preset.provider and mailbox and mailbox.provider != preset.provider:
        raise BadInput(f"{name} is for a mailbox at {preset.provider}, {mailbox.address} is at {mailbox.provider}")
    if preset.apply and mailbox:
        preset.apply(world, mailbox)
    made = preset.rules(world) if preset.rules else []
    for rule in made:
        rule |= {"name": name, "mailbox": mailbox.address if mailbox else "*", "times": times}
    return [world.faults.add(rule).id for rule in made]
