"""Push notices: a real receiver in the portal's place, signatures by the published keys, and odd or forged notices."""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import KeySet

from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import Gmail, mail
from tests.services.programs import Sandbox

TOPIC = {"topicName": "projects/p/topics/gmail", "labelIds": ["INBOX"], "labelFilterBehavior": "INCLUDE"}


@dataclass
class Notice:
    """A notice as the portal would get it."""

    token: str
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The inner JSON."""
        text = self.body["message"]["data"]
        inner: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return inner


class Receiver:
    """An HTTP server that takes notices; `answers` holds the statuses of the next ones (then 204)."""

    def __init__(self) -> None:
        self.notices: queue.Queue[Notice] = queue.Queue()
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if body.startswith(b'{"message"'):  # noted before the answer: the next notice comes right after it
                    receiver.notices.put(Notice(token, json.loads(body)))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/push"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def next(self) -> Notice:
        """The next notice, within five seconds."""
        return self.notices.get(timeout=5)

    def is_quiet(self) -> bool:
        """Whether nothing comes for a moment."""
        try:
            self.notices.get(timeout=0.15)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def receiver(sandbox: Sandbox) -> Iterator[Receiver]:
    made = Receiver()
    knobs = {"push_url": made.url, "push_audience": "the-audience", "push_min_interval_ms": 0}
    sandbox.call("POST", "/knobs", json=knobs)
    yield made
    made.server.shutdown()
    made.server.server_close()


def claims(gmail: Gmail, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set(gmail.http.get("/google/certs").json())
    return dict(jwt.decode(token, keys, algorithms=["RS256"]).claims)


def watch(gmail: Gmail, receiver: Receiver) -> dict[str, Any]:
    """Watch the inbox; the first notice is taken off."""
    answer: dict[str, Any] = gmail.call("POST", "watch", json=TOPIC).json()
    receiver.next()
    return answer


def test_a_watch_rings_at_once_and_for_each_change(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    answer = gmail.call("POST", "watch", json=TOPIC).json()
    assert receiver.next().data == {"emailAddress": AMY, "historyId": answer["historyId"]}

    sandbox.deliver(mail(PAT, AMY), AMY)
    notice = receiver.next()
    assert int(notice.data["historyId"]) > int(answer["historyId"])
    token = claims(gmail, notice.token)
    assert token["iss"] == "https://accounts.google.com"
    assert (token["aud"], token["email"], token["email_verified"]) == ("the-audience", "gmail-push@demo.example", True)
    assert notice.body["message"]["messageId"]


def test_labels_of_the_watch_are_kept_to(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    watch(gmail, receiver)
    gmail.send(mail(AMY, PAT))
    assert receiver.is_quiet()
    assert gmail.call("POST", "watch", json={"topicName": "wrong"}).status_code == 400


@pytest.mark.provider_fault(23)
def test_no_notice_after_stop_or_expiry(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    watch(gmail, receiver)
    sandbox.preset("expire_watch", AMY)
    sandbox.deliver(mail(PAT, AMY), AMY)
    assert receiver.is_quiet()

    watch(gmail, receiver)
    assert gmail.call("POST", "stop").status_code == 204
    sandbox.deliver(mail(PAT, AMY), AMY)
    assert receiver.is_quiet()


@pytest.mark.provider_fault(22)
def test_notices_can_be_dropped_doubled_and_odd(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    watch(gmail, receiver)
    sandbox.quirk("push_drop", times=1)
    sandbox.deliver(mail(PAT, AMY), AMY)
    assert receiver.is_quiet()

    sandbox.quirk("push_duplicate", times=1)
    sandbox.quirk("push_numeric", times=1)
    sandbox.quirk("push_unpadded", times=1)
    sandbox.deliver(mail(PAT, AMY), AMY)
    one, two = receiver.next(), receiver.next()
    assert one.body["message"]["messageId"] == two.body["message"]["messageId"]
    assert isinstance(one.data["historyId"], int)
    assert "=" not in one.body["message"]["data"]

    sandbox.quirk("push_reverse", times=1)
    sandbox.deliver(mail(PAT, AMY), AMY)
    sandbox.deliver(mail(PAT, AMY), AMY)
    later, earlier = receiver.next(), receiver.next()
    assert int(later.data["historyId"]) > int(earlier.data["historyId"])


def test_surplus_within_a_second_is_dropped(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    watch(gmail, receiver)
    sandbox.call("POST", "/knobs", json={"push_min_interval_ms": 60_000})
    sandbox.deliver(mail(PAT, AMY), AMY)
    assert receiver.is_quiet()


def test_a_notice_that_was_not_taken_comes_again(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    watch(gmail, receiver)
    receiver.answers.append(503)
    sandbox.deliver(mail(PAT, AMY), AMY)

    first, second = receiver.next(), receiver.next()
    assert first.data == second.data
    assert first.body["message"]["messageId"] == second.body["message"]["messageId"]


@pytest.mark.parametrize(
    "shape, wrong",
    [
        ({"audience": "other"}, ("aud", "other")),
        ({"email": "x@y.example"}, ("email", "x@y.example")),
        ({"email_verified": False}, ("email_verified", False)),
        ({"issuer": "https://evil.example"}, ("iss", "https://evil.example")),
    ],
)
def test_a_notice_can_be_forged_in_one_claim(
    sandbox: Sandbox, gmail: Gmail, receiver: Receiver, shape: dict[str, Any], wrong: tuple[str, Any]
) -> None:
    answer = sandbox.call("POST", "/push", json={"mailbox": AMY, "history_id": "7", **shape})

    assert answer["status"] == 204
    assert claims(gmail, receiver.next().token)[wrong[0]] == wrong[1]


def test_a_notice_can_be_unsigned_or_badly_signed(sandbox: Sandbox, gmail: Gmail, receiver: Receiver) -> None:
    sandbox.call("POST", "/push", json={"mailbox": AMY, "bad_signature": True})
    with pytest.raises(BadSignatureError):
        claims(gmail, receiver.next().token)
    sandbox.call("POST", "/push", json={"mailbox": AMY, "alg_none": True})
    with pytest.raises(JoseError):
        claims(gmail, receiver.next().token)
    sandbox.call("POST", "/push", json={"mailbox": AMY, "no_auth": True})
    assert receiver.next().token == ""
    sandbox.call("POST", "/push", json={"mailbox": AMY, "expired": True})
    assert claims(gmail, receiver.next().token)["exp"] < time.time()


def test_a_portal_out_of_reach_is_told(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/push", json={"mailbox": AMY, "url": "http://127.0.0.1:9/"})

    assert answer["status"] == 0
