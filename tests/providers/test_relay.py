"""The client of an account's mail server: of each mail it knows whether it was taken, refused, or is uncertain."""

from __future__ import annotations

import email
import time
from typing import Any

import pytest

from devtools.places import free_port
from portal.providers.errors import OperatorFault, ProviderError, Refused, Temporary, Unanswered
from portal.providers.smtp import relay
from portal.providers.smtp.relay import RelaySession
from tests.providers.smtp_server import HANG_UP, JONAH, PRIYA, RAW, SENDER, Begin, at, send
from tests.services.programs import Sandbox


@pytest.mark.rule("S-01")
def test_a_mail_is_taken_with_the_envelope_it_was_given(sandbox: Sandbox) -> None:
    sandbox.add_mailbox(PRIYA, "Priya Raman")
    order: list[str] = []
    with RelaySession(at(sandbox.smtp_port)) as session:
        session.send(RAW, SENDER, [PRIYA, JONAH], before_end=lambda: order.append(str(len(sandbox.messages(PRIYA)))))
        assert session.is_usable
        session.send(RAW.replace(b"one", b"two"), SENDER, [PRIYA])  # the same connection
    assert order == ["0"]  # nothing had arrived when the caller was asked
    assert len(sandbox.messages(PRIYA)) == 2


@pytest.mark.rule("S-01")
def test_blind_copies_and_dots_on_the_wire(begin: Begin) -> None:
    server = begin()
    send(at(server.port), to=(PRIYA, JONAH))
    [letter] = server.letters
    read = email.message_from_bytes(letter)
    assert read["Bcc"] is None
    assert read["Subject"] == "Swelling"
    assert b"boss@lumen.example" not in letter
    assert b"\r\n..one\r\nBcc: stays in the text\r\nSecret words\r\n.\r\n" in letter
    assert server.lines[1:5] == [
        f"MAIL FROM:<{SENDER}> SIZE={len(letter) - 3}", f"RCPT TO:<{PRIYA}>", f"RCPT TO:<{JONAH}>", "DATA",
    ]  # fmt: skip
    assert server.lines[0] == "EHLO [127.0.0.1]"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.requirement("NET-3")
def test_no_line_end_smuggles_a_second_mail(begin: Begin, end: bytes) -> None:
    server = begin()
    send(at(server.port), raw=b"Subject: x" + end + b"BCC :" + end + b"\tjonah@mail.example" + end * 2
         + b"text" + end + b"." + end + b"MAIL FROM:<evil@mail.example>" + end)  # fmt: skip
    assert server.letters == [b"Subject: x\r\n\r\ntext\r\n..\r\nMAIL FROM:<evil@mail.example>\r\n.\r\n"]
    assert [line.split()[0] for line in server.lines] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("answers", "kind", "status"),
    [
        ({"RCPT": "550 5.1.1 no priya@mail.example here"}, Refused, "550 5.1.1"),
        ({"RCPT": "451 4.7.1 greylisted"}, Temporary, "451 4.7.1"),
        ({"RCPT": "550-no\r\n550 such person"}, Refused, "550"),
        ({"MAIL": "553 5.7.1 not yours"}, relay.SenderRefused, "553 5.7.1"),
        ({"MAIL": "552 5.3.4 too large"}, Refused, "552 5.3.4"),
        ({"MAIL": "530 5.7.0 sign in first"}, relay.SignInRefused, "530 5.7.0"),
        ({"MAIL": "421 4.3.2 closing"}, Temporary, "421 4.3.2"),
        ({"DATA": "554 5.5.1 no"}, Refused, "554 5.5.1"),
        ({"DATA": "452 4.3.1 full"}, Temporary, "452 4.3.1"),
        ({"DOT": "554 5.7.1 Secret words are spam"}, Refused, "554 5.7.1"),
        ({"DOT": "452 4.3.1 full"}, Temporary, "452 4.3.1"),
        ({"RCPT": HANG_UP}, Temporary, None),
        ({"RCPT": "nonsense"}, Temporary, None),
        ({"TEXT": HANG_UP}, Temporary, None),
        ({"TEXT": "552 5.3.4 enough"}, Refused, "552 5.3.4"),
        ({"DOT": HANG_UP}, Unanswered, None),
        ({"DOT": "nonsense"}, Unanswered, None),
        ({"DOT": "354 what"}, Unanswered, None),
        ({"GREETING": "421 4.3.2 busy"}, Temporary, "421 4.3.2"),
        ({"GREETING": "554 5.7.1 not you"}, OperatorFault, None),
        ({"GREETING": HANG_UP}, Temporary, None),
    ],
)  # fmt: skip
def test_what_an_answer_means(begin: Begin, answers: dict[str, str], kind: type[ProviderError], status: str | None) -> None:
    """Before the dot a mail is certainly not sent, also when the server hangs up; what it wrote is kept nowhere."""
    server = begin(answers)
    raw = RAW
    if answers == {"TEXT": HANG_UP}:  # so long that it cannot lie in the buffers on the way
        server.script.extensions = ()
        raw += (b"x" * 900 + b"\r\n") * 20_000
    with pytest.raises(ProviderError) as caught:
        send(at(server.port), raw=raw)
    assert type(caught.value) is kind
    if status is not None:
        assert caught.value.args[0] == status
    assert "priya" not in str(caught.value) + repr(caught.value.__cause__)
    assert "ecret" not in str(caught.value)


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("fault", "kind", "kept"),
    [
        ({"kind": "refuse_recipient"}, Refused, 0), ({"kind": "defer_recipient"}, Temporary, 0),
        ({"kind": "refuse_data"}, Refused, 0), ({"kind": "defer_data"}, Temporary, 0),
        ({"kind": "drop_after_accept"}, Unanswered, 1), ({"kind": "drop_before_accept"}, Unanswered, 0),
        ({"kind": "closed"}, Temporary, 0), ({"kind": "auth_required"}, relay.SignInRefused, 0),
        ({"kind": "stall", "seconds": 1}, Unanswered, 1),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_goes_wrong_at_the_stand_in(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], kind: type[ProviderError], kept: int
) -> None:
    monkeypatch.setattr(relay, "FINAL_SECONDS", 0.4)
    sandbox.smtp_fault(**fault, times=1)
    with pytest.raises(ProviderError) as caught:
        send(at(sandbox.smtp_port))
    assert type(caught.value) is kind
    monkeypatch.undo()
    send(at(sandbox.smtp_port), raw=RAW.replace(b"X-CRM-Ref: 1", b"X-CRM-Ref: 2"))
    assert sandbox.sink_count() == kept + 1


@pytest.mark.rule("S-01")
def test_all_recipients_or_none_and_the_next_mail_goes_on(begin: Begin) -> None:
    server = begin({"RCPT": "550 5.1.1 no"})
    with RelaySession(at(server.port), timeout=2) as session:
        for _ in range(2):
            with pytest.raises(Refused):
                session.send(RAW, SENDER, [PRIYA, JONAH])
            assert session.is_usable
        server.script.answers.clear()
        session.send(RAW, SENDER, [PRIYA, JONAH])
    assert (len(server.letters), server.connections) == (1, 1)
    assert [line.split()[0] for line in server.lines][1:4] == ["MAIL", "RCPT", "RSET"]


@pytest.mark.requirement("NET-4")
def test_a_caller_that_cannot_write_down_the_handing_over_leaves_the_mail_unsent(begin: Begin) -> None:
    server = begin()

    def fail() -> None:
        raise RuntimeError("no database")

    with RelaySession(at(server.port), timeout=2) as session:
        with pytest.raises(RuntimeError):
            session.send(RAW, SENDER, [PRIYA], before_end=fail)
        assert not session.is_usable
        with pytest.raises(Temporary):
            session.send(RAW, SENDER, [PRIYA])
    time.sleep(0.1)
    assert server.letters == []


@pytest.mark.fault(14)
@pytest.mark.requirement("NET-4")
def test_a_server_that_stalls_does_not_hold_us(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FINAL_SECONDS", 0.3)
    server = begin(stall=5)
    began = time.monotonic()
    with pytest.raises(Unanswered):
        send(at(server.port))
    assert time.monotonic() - began < 3
    assert len(server.letters) == 1  # it may well have been sent


@pytest.mark.fault(14)
def test_a_dripping_answer_is_bounded(begin: Begin) -> None:
    server = begin({"MAIL": "250-" + "x" * 100_000})
    with pytest.raises(Temporary):
        send(at(server.port))
    endless = begin({"MAIL": "\r\n".join(["250-more"] * 20_000)})
    with pytest.raises(Temporary):
        send(at(endless.port))
    silent = begin({"MAIL": "250-and then nothing"})
    began = time.monotonic()
    with pytest.raises(Temporary):
        send(at(silent.port), timeout=0.3)
    assert time.monotonic() - began < 3


@pytest.mark.fault(12)
@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_server_that_is_away(host: str) -> None:
    with pytest.raises(Temporary) as caught:
        send(at(free_port(), host=host, security="starttls"))
    assert not isinstance(caught.value, Unanswered)


def test_a_mail_larger_than_the_server_takes_is_not_offered(begin: Begin) -> None:
    server = begin(extensions=("SIZE 100",))
    with pytest.raises(Refused) as caught:
        send(at(server.port))
    assert caught.value.args == ("552 5.3.4",)
    assert "MAIL" not in "".join(server.lines)


def test_a_probe_asks_for_the_sender_and_sends_nothing(begin: Begin) -> None:
    server = begin()
    with RelaySession(at(server.port), timeout=2) as session:
        session.probe(SENDER)
        assert session.is_usable
        server.script.answers["MAIL"] = "550 5.7.1 no"
        with pytest.raises(relay.SenderRefused):
            session.probe(SENDER)
    assert [line.split()[0] for line in server.lines] == ["EHLO", "MAIL", "RSET", "MAIL", "RSET", "QUIT"]
