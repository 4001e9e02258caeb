"""Change notifications: subscriptions with their handshake, notices, lifecycle events.

https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx2

from sandbox.http import Request, Response, json_response
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft import ids
from sandbox.microsoft.messages import Prefer
from sandbox.microsoft.routes import simplified
from sandbox.microsoft.tokens import CONSUMERS
from sandbox.microsoft.writing import json_body
from sandbox.state import World

MOST_SECONDS, LEAST_SECONDS = 10_080 * 60, 45 * 60
KINDS = {"messageAdded": "created", "messageDeleted": "deleted", "messageChanged": "updated"}
LIFECYCLE = ("missed", "subscriptionRemoved", "reauthorizationRequired")
VALIDATION_FAILED = (
    "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request."
)
Values = dict[str, Any]


class Subscriptions:
    """The subscriptions of all mailboxes of one world (each kept with its mailbox), and their notices."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.later: Callable[[Callable[[], int], float], None] = lambda _send, _seconds: None
        self._client = httpx2.Client(timeout=10, trust_env=False)
        self.sent: list[Values] = []  # the last notices with the app's answers, for tests and the console

    # the resource ----------------------------------------------------------------------------------------------------

    def create(self, mailbox: Mailbox, request: Request) -> Response:
        """POST /subscriptions: both addresses are asked to prove themselves first. Raises ApiError (400)."""
        given = json_body(request)
        for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
            if not given.get(name):
                raise errors.invalid_request(f"{name} is a required property for subscription creation.")
        kinds = {kind.strip() for kind in str(given["changeType"]).split(",")}
        if not kinds <= set(KINDS.values()):
            raise errors.invalid_request("Invalid 'changeType' attribute.")
        if len(str(given.get("clientState") or "")) > 128:
            raise errors.invalid_request("The 'clientState' must be 128 characters or fewer.")
        folder = watched_folder(mailbox, str(given["resource"]))
        expires = self._expiry(given["expirationDateTime"])
        self._prove(mailbox, given)
        made = {
            "id": str(uuid.uuid4()), "resource": given["resource"], "changeType": given["changeType"],
            "clientState": given.get("clientState"), "notificationUrl": given["notificationUrl"],
            "lifecycleNotificationUrl": given.get("lifecycleNotificationUrl"), "folder": folder, "expires": expires,
            "immutable": Prefer.of(request).immutable,
        }  # fmt: skip
        with self.world.lock:
            mailbox.subscriptions[made["id"]] = made
            self.world.store.save_mailbox(mailbox)
        return json_response(_shown(made), 201)

    def _expiry(self, text: Any) -> float:
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            raise errors.invalid_request("expirationDateTime is not a time.") from None
        at, now = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), self.world.clock.now()
        if at > now + MOST_SECONDS + 5:
            raise errors.invalid_request("Subscription expiration can only be 10080 minutes in the future.")
        if at <= now:
            raise errors.invalid_request("Subscription expiration must be in the future.")
        return max(at, now + LEAST_SECONDS)

    def _prove(self, mailbox: Mailbox, given: Values) -> None:
        text = self.world.quirks.take("ms_validation_token", mailbox.address)
        usual = f"Validation: Testing client application reachability for subscription Request-Id: {uuid.uuid4()}"
        token = str(text or usual)
        for name in ("notificationUrl", "lifecycleNotificationUrl"):
            if given.get(name) and not self._is_proved(str(given[name]), token):
                raise errors.fail(400, "ValidationError", VALIDATION_FAILED)

    def _is_proved(self, url: str, token: str) -> bool:
        mark = "&" if "?" in url else "?"
        try:
            answer = self._client.post(
                f"{url}{mark}{urlencode({'validationToken': token})}", headers={"Content-Type": "text/plain; charset=utf-8"}
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
            return False
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        return answer.status_code == 200 and kind == "text/plain" and answer.content.decode("utf-8", "replace") == token

    def find(self, mailbox: Mailbox, number: str) -> Values:
        """A subscription that has not run out. Raises ApiError (404)."""
        found = mailbox.subscriptions.get(number)
        if found is None or found["expires"] <= self.world.clock.now():
            raise errors.fail(404, "ResourceNotFound", "The object was not found.")
        return found

    def shown(self, mailbox: Mailbox, number: str) -> Response:
        """GET /subscriptions/{id}. Raises ApiError (404)."""
        return json_response(_shown(self.find(mailbox, number)))

    def all(self, mailbox: Mailbox) -> Response:
        """GET /subscriptions"""
        now = self.world.clock.now()
        return json_response({"value": [_shown(s) for s in mailbox.subscriptions.values() if s["expires"] > now]})

    def renew(self, mailbox: Mailbox, number: str, request: Request) -> Response:
        """PATCH /subscriptions/{id}. Raises ApiError (404 for one that ran out, 400)."""
        found, given = self.find(mailbox, number), json_body(request)
        unknown = set(given) - {"expirationDateTime", "notificationUrl"}
        if unknown:
            raise errors.invalid_request(f"Property {sorted(unknown)[0]} cannot be changed.")
        expires = self._expiry(given["expirationDateTime"]) if "expirationDateTime" in given else found["expires"]
        with self.world.lock:
            found["expires"] = expires
            found["notificationUrl"] = given.get("notificationUrl", found["notificationUrl"])
            self.world.store.save_mailbox(mailbox)
        return json_response(_shown(found))

    def remove(self, mailbox: Mailbox, number: str) -> Response:
        """DELETE /subscriptions/{id}. Raises ApiError (404)."""
        self.find(mailbox, number)
        with self.world.lock:
            mailbox.subscriptions.pop(number, None)
            self.world.store.save_mailbox(mailbox)
        return Response(204)

    # notices ---------------------------------------------------------------------------------------------------------

    def on_change(self, mailbox: Mailbox, message: StoredMessage | None, entries: list[HistoryEntry]) -> None:
        """A mailbox changed: send a notice to each subscription that asked for it."""
        if not mailbox.subscriptions or message is None or not entries:
            return
        now = self.world.clock.now()
        for found in [s for s in mailbox.subscriptions.values() if s["expires"] > now]:
            kind = change_kind(found["folder"], message, entries)
            if kind not in str(found["changeType"]).split(",") or self.world.quirks.take("push_drop", mailbox.address):
                continue
            value = notice(mailbox, found, kind, ids.message_id(message, found["immutable"]))
            for _ in range(2 if self.world.quirks.take("push_duplicate", mailbox.address) else 1):
                self._send_later(str(found["notificationUrl"]), value)

    def _send_later(self, url: str, value: Values) -> None:
        self.later(lambda: self.post(url, {"value": [value]})["status"], 0.0)

    def lifecycle(self, mailbox: Mailbox, event: str, values: Values | None = None) -> list[Values]:
        """Send a lifecycle event of each subscription of the mailbox now; the app's answers. `values` replace fields.

        `subscriptionRemoved` also removes it.
        """
        answers = []
        for found in list(mailbox.subscriptions.values()):
            if not found["lifecycleNotificationUrl"]:
                continue
            if event == "subscriptionRemoved":
                mailbox.subscriptions.pop(found["id"], None)
            value = {
                "subscriptionId": found["id"], "clientState": found["clientState"], "lifecycleEvent": event,
                "subscriptionExpirationDateTime": _time(found["expires"]), "tenantId": CONSUMERS, **(values or {}),
            }  # fmt: skip
            answers.append(self.post(str(found["lifecycleNotificationUrl"]), {"value": [value]}))
        return answers

    def post(self, url: str, value: Values) -> Values:
        """Send a notice now. Returns the app's answer, status 0 when it could not be reached."""
        try:
            answer = self._client.post(url, json=value, headers={"User-Agent": "Microsoft.Graph.Notifications"})
            result = {"status": answer.status_code, "body": answer.text[:500]}
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            result = {"status": 0, "body": type(error).__name__}
        self.sent.append({"at": self.world.clock.now(), "url": url, "notice": value, **result})
        del self.sent[:-200]
        return result


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _shown(found: Values) -> Values:
    hidden = ("folder", "expires", "immutable", "clientState")
    return {
        **{name: value for name, value in found.items() if name not in hidden}, "clientState": found["clientState"],
        "expirationDateTime": _time(found["expires"]), "applicationId": None, "creatorId": None,
        "latestSupportedTlsVersion": "v1_2",
    }  # fmt: skip


def watched_folder(mailbox: Mailbox, resource: str) -> str:
    """The folder of a resource such as `me/mailFolders('inbox')/messages`; "" for all mail. Raises ApiError (400)."""
    parts = simplified(resource.partition("?")[0]).split("/")
    if [part.lower() for part in parts] == ["me", "messages"]:
        return ""
    if len(parts) == 4 and parts[0].lower() == "me" and parts[1].lower() == "mailfolders" and parts[3] == "messages":
        return ids.folder_named(parts[2], mailbox)
    raise errors.invalid_request(f"Resource '{resource}' is not supported.")


def change_kind(folder: str, message: StoredMessage, entries: list[HistoryEntry]) -> str:
    """What the change is for a subscription of the folder ("" all folders): a kind, or "" when it is none of its."""
    is_here = not folder or ids.folder_of(message.labels) == folder
    kinds = {KINDS.get(entry.kind, "moved") for entry in entries}
    if "created" in kinds or "deleted" in kinds:
        return ("created" if "created" in kinds else "deleted") if is_here else ""
    touched = {label for entry in entries for label in entry.labels}
    is_move = "moved" in kinds and touched - {"UNREAD", "STARRED", "IMPORTANT"}
    if is_move:
        return "created" if is_here else "deleted"
    return "updated" if is_here else ""


def notice(mailbox: Mailbox, found: Values, kind: str, message_id: str) -> Values:
    """One element of a notice."""
    path = f"Users/{mailbox.sub}/Messages/{message_id}"
    return {
        "subscriptionId": found["id"], "clientState": found["clientState"], "changeType": kind, "resource": path,
        "subscriptionExpirationDateTime": _time(found["expires"]), "tenantId": CONSUMERS,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Message", "@odata.id": path, "@odata.etag": 'W/"CQAAAA=="', "id": message_id,
        },
    }  # fmt: skip
