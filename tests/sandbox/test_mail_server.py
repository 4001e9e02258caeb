"""The practice's mail server, as a real SMTP client meets it: what it takes, and each thing it can do wrong."""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devtools.places import free_port
from tests.providers.smtp_server import certificate
from tests.services.processes import running
from tests.services.programs import Sandbox

PAT, AMY = "pat@gmail.com", "amy@practice.example"
RAW = (
    b"From: Practice <office@practice.example>\r\nTo: someone@people.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <m1@practice.example>\r\nList-Unsubscribe: <https://x.example/u>\r\n\r\n.A line with a dot\r\n..two\r\n"
)


@pytest.fixture
def smtp(sandbox: Sandbox) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server."""
    client = smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=10)
    yield client
    client.close()


def send(client: smtplib.SMTP, *recipients: str, mail_from: str = "b-1@replies.demo.example") -> dict[str, Any]:
    return client.sendmail(mail_from, recipients or ["someone@people.example"], RAW)


def test_a_mail_is_kept_with_its_envelope_and_its_very_bytes(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    send(smtp, "Someone@people.example", "else@people.example")
    send(smtp, "third@people.example")

    kept = sandbox.sink()[0]
    assert (kept["via"], kept["mail_from"]) == ("smtp", "b-1@replies.demo.example")
    assert kept["rcpts"] == ["Someone@people.example", "else@people.example"]
    assert kept["message_id"] == "<m1@practice.example>"
    assert (kept["headers"]["subject"], kept["headers"]["list-unsubscribe"]) == ("Grüße", "<https://x.example/u>")
    assert ".A line" in kept["text"]
    assert sandbox.sink_raw(kept["id"]) == RAW
    assert kept["size"] == len(RAW)
    assert sandbox.sink_count() == 2
    assert [mail["rcpts"] for mail in sandbox.sink("third@people.example", with_text=False)] == [["third@people.example"]]
    sandbox.clear_sink()
    assert (sandbox.sink_count(), sandbox.sink()) == (0, [])


def test_a_mailbox_of_the_stand_in_gets_it_as_google_receives(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    sandbox.add_mailbox(PAT, "Pat")
    send(smtp, PAT)

    (message,) = sandbox.messages(PAT)
    raw = sandbox._client.get(f"/__ctl/mailboxes/{PAT}/messages/{message['id']}").text
    assert raw.startswith(f"Delivered-To: {PAT}\r\n")
    assert "Return-Path: <b-1@replies.demo.example>" in raw
    assert "dmarc=pass" in raw
    assert sandbox.sink()[0]["delivered"] == {PAT: message["id"]}


def test_commands_out_of_order_or_odd_are_refused_and_the_session_goes_on(smtp: smtplib.SMTP) -> None:
    assert smtp.docmd("MAIL FROM:<a@x.example>")[0] == 503
    smtp.ehlo()
    assert smtp.docmd("RCPT TO:<a@x.example>")[0] == 503
    assert smtp.docmd("MAIL something")[0] == 501
    assert smtp.docmd("DATA")[0] == 503
    assert smtp.docmd("BREW coffee")[0] == 502
    assert smtp.docmd("MAIL FROM:<> SIZE=10")[0] == 250
    assert smtp.docmd("RCPT TO:<>")[0] == 501
    assert smtp.docmd("RSET")[0] == 250
    assert smtp.docmd("DATA")[0] == 503


def test_commands_and_data_may_come_in_one_piece_or_byte_by_byte(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    smtp.ehlo()
    whole = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nSubject: One\r\n\r\nHello\r\n.\r\nNOOP\r\n"
    smtp.send(whole)
    assert [smtp.getreply()[0] for _ in range(5)] == [250, 250, 354, 250, 250]
    for byte in whole.replace(b"One", b"Two"):
        smtp.send(bytes([byte]))
    assert [smtp.getreply()[0] for _ in range(5)] == [250, 250, 354, 250, 250]
    assert [mail["headers"]["subject"] for mail in sandbox.sink()] == ["One", "Two"]
    assert [mail["text"].strip() for mail in sandbox.sink()] == ["Hello", "Hello"]


def test_a_mail_without_its_end_is_not_taken(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    smtp.ehlo()
    smtp.send(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nSubject: Half\r\n\r\nHello\r\n")
    assert [smtp.getreply()[0] for _ in range(3)] == [250, 250, 354]
    smtp.close()
    time.sleep(0.1)
    assert sandbox.sink_count() == 0


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("refuse_recipient", 550, "5.1.1"), ("defer_recipient", 451, "4.7.1"), ("refuse_data", 554, "5.7.1"),
     ("defer_data", 452, "4.3.1"), ("auth_required", 530, "5.7.0")],
)  # fmt: skip
def test_refusals_take_nothing_and_end(sandbox: Sandbox, smtp: smtplib.SMTP, kind: str, code: int, status: str) -> None:
    sandbox.smtp_fault(kind, times=1)
    with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)) as refused:
        send(smtp)
    error = refused.value
    met = next(iter(error.recipients.values())) if isinstance(error, smtplib.SMTPRecipientsRefused) else error.args[:2]
    assert met[0] == code
    assert met[1].startswith(status.encode())
    assert sandbox.sink_count() == 0
    smtp.rset()
    send(smtp)
    assert sandbox.sink_count() == 1


def test_a_fault_waits_counts_and_chooses(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    sandbox.smtp_fault("refuse_recipient", recipient="*@bad.example", after=1, times=1)
    for address, is_refused in (("a@bad.example", False), ("b@good.example", False), ("c@bad.example", True),
                                ("d@bad.example", False)):  # fmt: skip
        try:
            send(smtp, address)
            assert not is_refused
        except smtplib.SMTPRecipientsRefused:
            assert is_refused
    assert sandbox.sink_count() == 3
    number = sandbox.smtp_fault("defer_data")
    sandbox.smtp_fault("stall", seconds=0)
    sandbox.call("DELETE", "/smtp-faults", params={"id": number})
    send(smtp)
    assert [fault["hits"] for fault in sandbox.call("GET", "/smtp-faults")["faults"]] == [1]


@pytest.mark.parametrize(("kind", "kept"), [("drop_after_accept", 1), ("drop_before_accept", 0)])
def test_the_connection_ends_after_the_mail(sandbox: Sandbox, smtp: smtplib.SMTP, kind: str, kept: int) -> None:
    sandbox.add_mailbox(PAT)
    sandbox.smtp_fault(kind, times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp, PAT)
    assert (sandbox.sink_count(), len(sandbox.messages(PAT))) == (kept, kept)


def test_a_stall_takes_the_mail_before_it_answers(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    sandbox.smtp_fault("stall", seconds=30, times=1)
    smtp.sock.settimeout(0.3)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(smtp)
    assert sandbox.sink_count() == 1


def test_away_means_421_at_once(sandbox: Sandbox) -> None:
    sandbox.smtp_fault("closed")
    with pytest.raises(smtplib.SMTPConnectError) as away:
        smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5)
    assert away.value.smtp_code == 421
    sandbox.clear_smtp_faults()
    smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5).quit()


def test_a_bounce_takes_the_mail_and_reports_to_the_envelope_sender(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    sandbox.add_mailbox(AMY)
    sandbox.add_mailbox(PAT)
    sandbox.smtp_fault("bounce", recipient="gone@people.example", status="5.2.2")
    send(smtp, "gone@people.example", PAT, mail_from=AMY)

    assert sandbox.sink_count() == 1
    assert len(sandbox.messages(PAT)) == 1, "the others get it"
    (notice,) = sandbox.messages(AMY)
    raw = sandbox._client.get(f"/__ctl/mailboxes/{AMY}/messages/{notice['id']}").content
    report = message_from_bytes(raw, policy=policy.default)
    assert (report.get_content_type(), report["Return-Path"]) == ("multipart/report", "<>")
    status = report.get_payload(1).get_payload(1)
    assert (status["Action"], status["Status"]) == ("failed", "5.2.2")
    assert status["Final-Recipient"] == "rfc822; gone@people.example"
    assert status["Diagnostic-Code"].startswith("smtp; 552 5.2.2")
    assert "Message-ID: <m1@practice.example>" in report.get_payload(2).get_payload()
    send(smtp, "gone@people.example", mail_from="")
    assert len(sandbox.messages(AMY)) == 1, "nobody is told about a mail with the null sender"


def test_sign_in_is_wanted_and_checked(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    sandbox.call("POST", "/knobs", json={"smtp_user": "office", "smtp_password": "right"})
    smtp.ehlo()
    assert smtp.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
    smtp.user, smtp.password = "office", "wrong"
    for mechanism, answer in (("PLAIN", smtp.auth_plain), ("LOGIN", smtp.auth_login)):
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.auth(mechanism, answer)
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(smtp)
    smtp.user, smtp.password = "office", "right"
    assert smtp.auth("LOGIN", smtp.auth_login)[0] == 235
    send(smtp)
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port) as other:
        other.login("office", "right")
        send(other)
    assert sandbox.sink_count() == 2


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "unknown"}, {}, {"kind": "stall", "seconds": -1}, {"kind": "closed", "times": 0}, {"kind": "stall", "x": 1}],
)  # fmt: skip
def test_a_wrong_switch_says_so(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    answer = sandbox._client.post("/__ctl/smtp-faults", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_starttls_is_offered_with_a_certificate_and_the_sink_outlives_the_process(tmp_path: Path) -> None:
    certificate(tmp_path)
    cert, key = tmp_path / "localhost.pem", tmp_path / "localhost.key"
    port, smtp_port = free_port(), free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--smtp-port", str(smtp_port), "--smtp-cert", str(cert),
               "--smtp-key", str(key), "--data-dir", str(tmp_path / "data")]  # fmt: skip
    environ = os.environ | {"SANDBOX_PUSH_URL": ""}
    with running(command, log=tmp_path / "log", port=port, env=environ):
        httpx2.get(f"http://127.0.0.1:{port}/__ctl/sink/count", trust_env=False, timeout=30)  # it has begun
        with smtplib.SMTP("localhost", smtp_port) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(cert)))
            client.ehlo()
            assert "starttls" not in client.esmtp_features
            send(client)
            send(client, "two@people.example")
    with running(command, log=tmp_path / "log", port=port, env=environ):
        mails = httpx2.get(f"http://127.0.0.1:{port}/__ctl/sink", trust_env=False, timeout=30).json()["mails"]
        assert [mail["rcpts"] for mail in mails] == [["someone@people.example"], ["two@people.example"]]


def test_the_console_shows_envelopes_and_switches_faults(sandbox: Sandbox, smtp: smtplib.SMTP) -> None:
    send(smtp, mail_from="b-1@replies.demo.example")
    http = sandbox._client
    page = http.get("/sink").text
    assert "1 mail to 1 address" in page
    assert "b-1@replies.demo.example" in page
    http.post("/mail-server", data={"kind": "refuse_recipient", "recipient": "x@bad.example", "times": "2"})
    (fault,) = sandbox.call("GET", "/smtp-faults")["faults"]
    assert (fault["kind"], fault["recipient"], fault["times"]) == ("refuse_recipient", "x@bad.example", 2)
    assert "x@bad.example" in http.get("/mail-server").text
    assert http.post("/mail-server", data={"kind": "nothing"}).status_code == 400
    http.post("/mail-server/off", data={"id": str(fault["id"])})
    assert "the mail server behaves" in http.get("/mail-server").text
