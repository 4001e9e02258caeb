"""Situations of Graph mail, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.mailbox import Mailbox
from sandbox.microsoft.graph_errors import CAP_TEXT, body
from sandbox.situation import Preset, expire_history, same_rules

if TYPE_CHECKING:
    from sandbox.state import World

GRAPH = "/graph/*"
SEND = "/graph/v1.0/me/messages/*/send"
DELTA = "/graph/v1.0/me/mailFolders*delta*"


def _expire_subscriptions(world: World, mailbox: Mailbox) -> None:
    with world.lock:
        for found in mailbox.subscriptions.values():
            found["expires"] = world.clock.now() - 1
        world.store.save_mailbox(mailbox)


def _drop_subscriptions(world: World, mailbox: Mailbox) -> None:
    with world.lock:
        mailbox.subscriptions.clear()
        world.store.save_mailbox(mailbox)


def _failing(status: int, code: str, text: str, path: str = GRAPH, **more: Any) -> Any:
    return same_rules({"path": path, "status": status, "body": body(code, text), **more})


def _preset(name: str, title: str, text: str, **values: Any) -> Preset:
    return Preset(f"ms_{name}", title, text, provider="microsoft", **values)


MAIL_PRESETS = [
    _preset("sync_state_lost", "Forget the changes (410)", "Each known deltaLink answers 410 with a Location.",
            apply=expire_history, needs_mailbox=True),
    _preset("resync_required", "Changes lost (400 resyncRequired)", "Delta answers 400 until it is switched off.",
            rules=_failing(400, "resyncRequired", "The sync state could not be used any more.", DELTA)),
    _preset("subscriptions_expired", "Let the subscriptions run out", "No notices come any more, PATCH answers 404.",
            apply=_expire_subscriptions, needs_mailbox=True),
    _preset("subscriptions_gone", "Lose the subscriptions", "As after subscriptionRemoved, but nobody says so.",
            apply=_drop_subscriptions, needs_mailbox=True),
    _preset("throttled", "Too many requests (429)", "Graph refuses each call and wants a pause of five seconds.",
            rules=_failing(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.",
                           headers={"Retry-After": "5"})),
    _preset("server_errors", "Graph is down (503)", "Every call of Graph fails.",
            rules=_failing(503, "ServiceUnavailable", "The service is temporarily unavailable.")),
    _preset("gateway_timeout", "Graph does not answer in time (504)", "Every call of Graph fails.",
            rules=_failing(504, "GatewayTimeout", "The server did not receive a timely response.")),
    _preset("no_mailbox", "No Exchange Online mailbox", "The account has no mailbox that programs may use.",
            rules=_failing(404, "MailboxNotEnabledForRESTAPI",
                           "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
                           "/graph/v1.0/me/[mM]*")),
    _preset("access_denied", "Permission missing (403)", "Graph refuses each call.",
            rules=_failing(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")),
    _preset("send_cap", "Daily limit for sending reached", "Each send is refused with ErrorExceededMessageLimit.",
            rules=_failing(429, "ErrorExceededMessageLimit", CAP_TEXT, SEND)),
    _preset("html", "Pages instead of data", "Calls answer 200 with an HTML page, as a proxy would.",
            rules=same_rules({"path": GRAPH, "body": "<html><body>Please sign in to the network</body></html>"})),
    _preset("truncated", "Answers cut short", "Half a JSON and then the end.",
            rules=same_rules({"path": GRAPH, "truncate": 20})),
    _preset("slow", "Slow answers", "Each call takes three seconds longer.",
            rules=same_rules({"path": GRAPH, "delay_ms": 3000})),
    _preset("drop", "Connection lost", "Calls end without an answer, before anything has happened.",
            rules=same_rules({"path": GRAPH, "drop": True})),
    _preset("drop_after_send", "Sent, but the answer is lost", "The mail goes out; the connection breaks before the answer.",
            rules=same_rules({"method": "POST", "path": SEND, "drop": True, "after_effect": True})),
    _preset("error_after_send", "Sent, but the answer is 504", "The mail goes out; the answer says that it failed.",
            rules=_failing(504, "GatewayTimeout", "The server did not receive a timely response.", SEND,
                           method="POST", after_effect=True)),
]  # fmt: skip
