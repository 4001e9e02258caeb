"""Graph's subscriptions against a small receiver: handshake, expiry, notices, lifecycle."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.conftest import AMY, OLIVE, PAT
from tests.sandbox.google_app import mail
from tests.sandbox.graph_app import GraphApp
from tests.sandbox.test_ms_graph import error_of
from tests.services.programs import Sandbox


class Receiver:
    """Answers handshakes (or not) and keeps the notices."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.proofs: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._answers())
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def _answers(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = parse_qs(parts.query).get("validationToken", [""])[0]
                if token:
                    receiver.proofs.append((parts.path, token))
                else:
                    receiver.notices.append((parts.path, json.loads(body)["value"][0]))
                text = b"" if parts.path in receiver.refused or not token else token.encode()
                self.send_response(200 if token else 202)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        return Answers

    def wait(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """The notices once there are so many."""
        ends = time.monotonic() + 5
        while len(self.notices) < count and time.monotonic() < ends:
            time.sleep(0.02)
        return self.notices


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def subscription(receiver: Receiver, resource: str = "me/mailFolders('inbox')/messages", minutes: int = 600, **more: Any) -> dict[str, Any]:
    ends = datetime.now(UTC) + timedelta(minutes=minutes)
    return {
        "changeType": "created", "resource": resource, "notificationUrl": f"{receiver.url}/notices", "clientState": "secret-1",
        "lifecycleNotificationUrl": f"{receiver.url}/lifecycle", "expirationDateTime": ends.isoformat(), **more,
    }  # fmt: skip


def minutes_left(made: dict[str, Any]) -> float:
    return (datetime.fromisoformat(made["expirationDateTime"]) - datetime.now(UTC)).total_seconds() / 60


@pytest.mark.provider_fault(30)
def test_both_addresses_prove_themselves(sandbox: Sandbox, graph: GraphApp, receiver: Receiver) -> None:
    token = "a+b c&<script>%41 ü"
    sandbox.quirk("ms_validation_token", value=token, times=1)
    made = graph.post("subscriptions", json=subscription(receiver))
    assert receiver.proofs == [("/notices", token), ("/lifecycle", token)]
    assert made["clientState"] == "secret-1"

    for path in ("/notices", "/lifecycle"):
        receiver.refused = {path}
        answer = graph.call("POST", "subscriptions", json=subscription(receiver))
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("Subscription validation request failed.")
    assert [row["id"] for row in graph.get("subscriptions")["value"]] == [made["id"]]


@pytest.mark.provider_fault(30)
def test_expiry_is_bounded_and_renewed(sandbox: Sandbox, graph: GraphApp, receiver: Receiver) -> None:
    refused = graph.call("POST", "subscriptions", json=subscription(receiver, minutes=10_090))
    assert error_of(refused) == (400, "ErrorInvalidRequest")
    made = graph.post("subscriptions", json=subscription(receiver, minutes=5))
    assert 44 < minutes_left(made) < 46
    later = (datetime.now(UTC) + timedelta(days=6)).isoformat()
    renewed = graph.call("PATCH", f"subscriptions/{made['id']}", json={"expirationDateTime": later})
    assert minutes_left(renewed.json()) > 8_000
    other = graph.call("PATCH", f"subscriptions/{made['id']}", json={"lifecycleNotificationUrl": receiver.url})
    assert other.status_code == 400

    sandbox.preset("ms_subscriptions_expired", OLIVE)
    assert graph.call("PATCH", f"subscriptions/{made['id']}", json={"expirationDateTime": later}).status_code == 404
    assert graph.call("DELETE", f"subscriptions/{graph.post('subscriptions', json=subscription(receiver))['id']}").status_code == 204


@pytest.mark.provider_fault(30)
def test_notices_of_new_mail_drafts_and_sent_mail(sandbox: Sandbox, graph: GraphApp, receiver: Receiver) -> None:
    inbox = graph.post("subscriptions", json=subscription(receiver))
    sandbox.deliver(mail(PAT, OLIVE, "New"), OLIVE)
    path, value = receiver.wait(1)[0]
    item = graph.get("me/messages")["value"][0]
    assert (path, value["subscriptionId"], value["clientState"]) == ("/notices", inbox["id"], "secret-1")
    assert (value["changeType"], value["resourceData"]["id"]) == ("created", item["id"])

    graph.call("DELETE", f"subscriptions/{inbox['id']}")
    graph.post("subscriptions", json=subscription(receiver, "me/messages"))
    receiver.notices.clear()
    draft = graph.draft(mail(OLIVE, PAT))
    graph.send(draft["id"])
    kinds = {(value["changeType"], value["resourceData"]["id"]) for _, value in receiver.wait(2)}
    assert kinds == {("created", draft["id"])}
    assert len(receiver.notices) >= 2


@pytest.mark.provider_fault(30)
@pytest.mark.parametrize("event", ["missed", "subscriptionRemoved", "reauthorizationRequired"])
def test_lifecycle_events(sandbox: Sandbox, graph: GraphApp, receiver: Receiver, event: str) -> None:
    made = graph.post("subscriptions", json=subscription(receiver))
    answers = sandbox.call("POST", "/graph/lifecycle", json={"mailbox": OLIVE, "event": event})["answers"]

    path, value = receiver.notices[0]
    assert (path, value["lifecycleEvent"], value["subscriptionId"]) == ("/lifecycle", event, made["id"])
    assert answers[0]["status"] == 202
    gone = event == "subscriptionRemoved"
    assert graph.call("GET", f"subscriptions/{made['id']}").status_code == (404 if gone else 200)
    assert graph.call("POST", f"subscriptions/{made['id']}/reauthorize").status_code == (404 if gone else 204)


def test_a_foreign_mailbox_is_not_watched(sandbox: Sandbox, graph: GraphApp, receiver: Receiver) -> None:
    refused = graph.call("POST", "subscriptions", json=subscription(receiver, f"users/{AMY}/messages"))
    assert error_of(refused) == (400, "ErrorInvalidRequest")
    assert receiver.proofs == []
