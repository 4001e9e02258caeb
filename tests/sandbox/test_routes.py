"""Mail for a domain that another program receives: a real SMTP receiver in that program's place."""

from __future__ import annotations

import os
import queue
import smtplib
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from devtools.places import free_port
from sandbox.routes import parse_routes
from tests.services.processes import running
from tests.services.programs import Sandbox

PAT = "pat@people.example"
DOMAIN = "replies.demo.example"
REPLY_TO = f"r-abcdefghijklmnopqrstuvwxyz@{DOMAIN}"
BOUNCES = f"b-abcdefghijklmnopqrstuvwxyz@{DOMAIN}"
SOON = 10


class Mail(NamedTuple):
    """What the receiver was given."""

    mail_from: str
    recipients: list[str]
    raw: bytes


class Receiver:
    """Takes what comes; `answers` holds what it says to the next recipients (then 250)."""

    def __init__(self) -> None:
        self.mails: queue.Queue[Mail] = queue.Queue()
        self.answers: list[str] = []

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse one address."""
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep one mail."""
        assert isinstance(envelope.content, bytes)
        self.mails.put(Mail(str(envelope.mail_from or "").strip("<>"), list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 OK"


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, int]]:
    """A stand-in of its own with one route, and the port that the route leads to."""
    folder = tmp_path_factory.mktemp("routed")
    port, smtp_port, target = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--smtp-port", str(smtp_port)]
    environ = os.environ | {"SANDBOX_PUSH_URL": "", "SANDBOX_ROUTES": f"{DOMAIN}=127.0.0.1:{target}"}
    with running(command, log=folder / "log", port=port, env=environ):
        sandbox = Sandbox(f"http://127.0.0.1:{port}", smtp_port)
        yield sandbox, target
        sandbox.close()


@pytest.fixture
def sandbox(routed: tuple[Sandbox, int]) -> Sandbox:
    """It, emptied, with a patient."""
    routed[0].reset()
    routed[0].add_mailbox(PAT, "Pat")
    return routed[0]


@pytest.fixture
def receiver(routed: tuple[Sandbox, int]) -> Iterator[Receiver]:
    """The program that the route leads to."""
    taking = Receiver()
    controller = Controller(taking, hostname="127.0.0.1", port=routed[1])
    controller.start()
    yield taking
    controller.stop()


def letter(to: str, **more: str) -> bytes:
    fields = {"From": "Practice <office@practice.example>", "To": to, "Subject": "Your visit", "Message-ID": "<v1@p.example>"}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (fields | more).items())
    return f"{head}\r\nSee you on Friday.\r\n".encode()


def write_to(sandbox: Sandbox, to: str, mail_from: str = BOUNCES, **more: str) -> None:
    """The practice writes by its mail server."""
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=10) as client:
        client.sendmail(mail_from, [to], letter(to, **more))


def tries(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    """The lines of the request log about this route, once there are so many: each comes after the receiver's answer."""
    ends_at = time.monotonic() + SOON
    while len(lines := sandbox.requests(path=f"/routes/{DOMAIN}")) < count and time.monotonic() < ends_at:
        time.sleep(0.02)
    return lines


def test_an_answer_in_the_web_client_goes_to_the_reply_to(sandbox: Sandbox, receiver: Receiver) -> None:
    write_to(sandbox, PAT, Reply_To=f"Practice <{REPLY_TO}>")
    (met,) = sandbox.messages(PAT)
    sent = sandbox.write(PAT, reply_to=met["id"], text="Thank you")

    mail = receiver.mails.get(timeout=SOON)
    assert (mail.mail_from, mail.recipients) == (PAT, [REPLY_TO])
    assert b"In-Reply-To: <v1@p.example>" in mail.raw
    assert sent["headers"]["to"] == REPLY_TO
    assert sandbox.sink_count() == 1, "what was handed over does not lie in the sink"
    (line,) = tries(sandbox, 1)
    assert (line["method"], line["status"], line["mailbox"]) == ("SMTP", 250, REPLY_TO)


def test_an_answer_in_the_console_goes_there_too(sandbox: Sandbox, receiver: Receiver) -> None:
    write_to(sandbox, PAT, Reply_To=REPLY_TO)
    (met,) = sandbox.messages(PAT)
    address = f"/mailboxes/{PAT}/write"
    page = sandbox._client.get(address, params={"message": met["id"], "kind": "reply"}).text
    assert f'value="{REPLY_TO}"' in page
    sandbox._client.post(address, data={"to": REPLY_TO, "reply_to": met["id"], "text": "Thanks"})

    assert receiver.mails.get(timeout=SOON).recipients == [REPLY_TO]


def test_a_bounce_comes_back_with_the_null_sender(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.smtp_fault("bounce", recipient="gone@people.example")
    write_to(sandbox, "gone@people.example")

    mail = receiver.mails.get(timeout=SOON)
    assert (mail.mail_from, mail.recipients) == ("", [BOUNCES])
    assert b"Status: 5.1.1" in mail.raw
    assert b"Return-Path" not in mail.raw


def test_an_out_of_office_answer_comes_once_and_not_to_programs(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.add_mailbox(PAT, auto_reply="I am away.")
    write_to(sandbox, PAT, Reply_To=REPLY_TO)
    write_to(sandbox, PAT, Reply_To=REPLY_TO)
    write_to(sandbox, PAT, Reply_To=f"r-2@{DOMAIN}", Auto_Submitted="auto-generated")

    mail = receiver.mails.get(timeout=SOON)
    assert (mail.mail_from, mail.recipients) == (PAT, [REPLY_TO])
    assert b"Auto-Submitted: auto-replied" in mail.raw
    with pytest.raises(queue.Empty):
        receiver.mails.get(timeout=0.3)


def test_mail_by_smtp_and_by_the_control_plane_is_handed_over(sandbox: Sandbox, receiver: Receiver) -> None:
    write_to(sandbox, REPLY_TO, mail_from="someone@else.example")
    assert receiver.mails.get(timeout=SOON).mail_from == "someone@else.example"
    sandbox.deliver(letter(REPLY_TO), REPLY_TO, sender="other@else.example")
    assert receiver.mails.get(timeout=SOON).mail_from == "other@else.example"


def test_put_off_is_tried_again_refused_is_dropped(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers.append("451 4.7.1 Later")
    sandbox.deliver(letter(REPLY_TO), REPLY_TO)
    receiver.mails.get(timeout=SOON)
    receiver.answers.append("550 5.1.1 Unknown")
    sandbox.deliver(letter(REPLY_TO), REPLY_TO)

    lines = tries(sandbox, 3)
    assert [line["status"] for line in lines] == [451, 250, 550]
    assert "tried again" in lines[0]["fault"]
    assert lines[2]["fault"] == "550 5.1.1 Unknown; dropped"
    assert receiver.mails.empty()


def test_mail_waits_while_nobody_listens(routed: tuple[Sandbox, int], sandbox: Sandbox) -> None:
    sandbox.deliver(letter(REPLY_TO), REPLY_TO)
    assert tries(sandbox, 1)[0]["status"] == 0
    taking = Receiver()
    controller = Controller(taking, hostname="127.0.0.1", port=routed[1])
    controller.start()
    try:
        assert taking.mails.get(timeout=SOON).recipients == [REPLY_TO]
    finally:
        controller.stop()


def test_routes_are_read_from_text() -> None:
    assert parse_routes("a.example=127.0.0.1:25, B.example=h:1,") == {"a.example": ("127.0.0.1", 25), "b.example": ("h", 1)}
    for wrong in ("a.example", "a=b", "=h:1", "a=:1", "a=h:x"):
        with pytest.raises(ValueError, match="a route is"):
            parse_routes(wrong)
