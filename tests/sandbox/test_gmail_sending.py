"""Sending by Gmail: Message-ID, threads, caps, bounces, large mail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import Gmail, GoogleApp, base64url, header, mail
from tests.services.programs import Sandbox


def read(gmail: Gmail, message_id: str) -> dict[str, Any]:
    """A message with all its headers."""
    message: dict[str, Any] = gmail.get(f"messages/{message_id}", format="full")
    return message


@pytest.mark.provider_fault(20)
def test_a_sent_mail_gets_googles_message_id(sandbox: Sandbox, gmail: Gmail) -> None:
    raw = mail(AMY, PAT, Message_ID="<mine@portal.example>", X_CRM_Ref="ref-1", Bcc="office@practice.example")
    sent = gmail.send(raw)
    copy = read(gmail, sent["id"])
    received = sandbox.messages(PAT)[0]

    assert sent["labelIds"] == ["INBOX", "SENT", "UNREAD"]  # the copy to one's own alias is the same message
    assert header(copy, "Message-ID").endswith("@mail.gmail.com>")
    assert header(copy, "Message-ID") == received["headers"]["message_id"]
    assert received["headers"]["x-crm-ref"] == "ref-1"
    assert header(copy, "Bcc") == "office@practice.example"
    assert received["headers"]["bcc"] == ""


def test_a_sender_that_is_not_ones_own_is_replaced(gmail: Gmail) -> None:
    alias = read(gmail, gmail.send(mail("office@practice.example", PAT))["id"])
    stranger = read(gmail, gmail.send(mail("boss@elsewhere.example", PAT))["id"])

    assert header(alias, "From") == "office@practice.example"
    assert AMY in header(stranger, "From")


def test_a_reply_stays_in_the_thread_only_by_all_three_rules(sandbox: Sandbox, gmail: Gmail) -> None:
    first = sandbox.deliver(mail(PAT, AMY, "Question", Message_ID="<q@pat.example>"), AMY)[AMY]
    related = {"In_Reply_To": "<q@pat.example>", "References": "<q@pat.example>"}

    assert gmail.send(mail(AMY, PAT, "Re: Question", **related), first)["threadId"] == first
    assert gmail.send(mail(AMY, PAT, "Re: Other", **related), first)["threadId"] != first
    assert gmail.send(mail(AMY, PAT, "Re: Question"), first)["threadId"] != first
    assert gmail.send(mail(AMY, PAT, "Re: Question", **related))["threadId"] != first
    sandbox.quirk("send_new_thread", times=1)
    assert gmail.send(mail(AMY, PAT, "Re: Question", **related), first)["threadId"] != first
    assert len(gmail.get(f"threads/{first}")["messages"]) == 2


def test_a_whole_exchange_keeps_one_thread_on_both_sides(sandbox: Sandbox, gmail: Gmail) -> None:
    asked = sandbox.write(PAT, to=AMY, subject="Appointment", text="May I come?")
    incoming = sandbox.messages(AMY)[0]
    wire_id = incoming["headers"]["message_id"]
    gmail.send(mail(AMY, PAT, "Re: Appointment", In_Reply_To=wire_id, References=wire_id), incoming["thread_id"])
    answered = sandbox.messages(PAT)[-1]
    sandbox.write(PAT, reply_to=answered["id"], text="Thank you")

    assert answered["thread_id"] == asked["thread_id"]
    assert {m["thread_id"] for m in sandbox.messages(AMY)} == {incoming["thread_id"]}
    assert sandbox.messages(AMY)[-1]["headers"]["subject"] == "Re: Appointment"


@pytest.mark.provider_fault(37)
def test_a_forward_in_the_web_client_stays_in_the_thread(sandbox: Sandbox, google: GoogleApp) -> None:
    sandbox.add_mailbox("doc@practice.example", "Doc")
    sandbox.write(PAT, to=AMY, subject="Photo", text="See", attachments=[{"name": "p.jpg", "text": "x"}])
    incoming = sandbox.messages(AMY)[0]
    sent = sandbox.write(AMY, forward_of=incoming["id"], to="doc@practice.example", text="fyi")
    received = sandbox.messages("doc@practice.example")[0]

    assert sent["thread_id"] == incoming["thread_id"]
    assert sent["headers"]["subject"] == "Fwd: Photo"
    assert received["headers"]["in_reply_to"] == incoming["headers"]["message_id"]
    assert "---------- Forwarded message ---------" in received["text"]
    assert received["attachments"] == ["p.jpg"]


@pytest.mark.parametrize(
    "raw, problem",
    [
        (b"", "required"),
        (mail(AMY, "").replace(b"To: \n", b""), "Recipient address required"),
        (mail(AMY, PAT).replace(PAT.encode(), b"not an address"), "Invalid To header"),
    ],
)
def test_a_mail_that_cannot_go_is_refused(gmail: Gmail, raw: bytes, problem: str) -> None:
    answer = gmail.call("POST", "messages/send", json={"raw": base64url(raw)})

    assert answer.status_code == 400
    assert problem in answer.json()["error"]["message"]


def test_unknown_people_bounce_or_leave_for_the_sink(sandbox: Sandbox, gmail: Gmail) -> None:
    sent = gmail.send(mail(AMY, "gone@practice.example, away@outside.example"))
    bounce = sandbox.messages(AMY)[-1]

    assert bounce["thread_id"] == sent["threadId"]
    assert "mailer-daemon@" in bounce["headers"]["from"]
    assert "gone@practice.example" in bounce["text"]
    sink = sandbox.call("GET", "/sink", params={"to": "away@outside.example"})["mails"]
    assert [mail["rcpts"] for mail in sink] == [["away@outside.example"]]


@pytest.mark.provider_fault(19)
def test_the_daily_cap_is_told_in_two_ways(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.add_mailbox(AMY, send_cap={"mode": "429", "limit": 1})
    gmail.send(mail(AMY, PAT))
    refused = gmail.call("POST", "messages/send", json={"raw": base64url(mail(AMY, PAT))})
    assert refused.status_code == 429
    assert refused.json()["error"]["message"].endswith("(Mail sending)")

    sandbox.add_mailbox(AMY, send_cap={"mode": "bounce", "limit": 1})
    sent = gmail.send(mail(AMY, PAT))
    notice = sandbox.messages(AMY)[-1]
    assert notice["thread_id"] == sent["threadId"]
    assert "You have reached a limit for sending mail. Your message was not sent." in notice["text"]
    assert len(sandbox.messages(PAT)) == 1
    sandbox.call("POST", "/clock", json={"offset_seconds": 86_401})
    sandbox.add_mailbox(AMY, send_cap={"mode": "429", "limit": 1})
    gmail = Gmail(GoogleApp(gmail.http, ""), sandbox.grant(AMY)["access_token"])
    assert gmail.send(mail(AMY, PAT))["labelIds"] == ["SENT"]


@pytest.mark.provider_fault(21)
def test_large_mail_goes_by_the_upload_endpoint_only(sandbox: Sandbox, gmail: Gmail) -> None:
    raw = mail(AMY, PAT, "Large", "x" * 76 + "\n").replace(b"\n", b"\r\n") + b"y" * (5 * 1024 * 1024)
    answer = gmail.call("POST", "messages/send", json={"raw": base64url(raw)})
    assert answer.status_code == 413

    body = b'--b\r\nContent-Type: application/json\r\n\r\n{"threadId":""}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n'
    kind = {"Content-Type": "multipart/related; boundary=b"}
    path = "/upload/gmail/v1/users/me/messages/send?uploadType=multipart"
    assert gmail.call("POST", path, content=body + raw + b"\r\n--b--", headers=kind).status_code == 200
    too_large = body + mail(AMY, PAT) + b"z" * 36_700_160 + b"\r\n--b--"
    assert gmail.call("POST", path, content=too_large, headers=kind).status_code == 413
    assert sandbox.messages(PAT)[0]["size"] > 5_000_000


def test_a_resumable_upload_takes_pieces(gmail: Gmail) -> None:
    path = "/resumable/upload/gmail/v1/users/me/messages/send?uploadType=resumable"
    begun = gmail.call("POST", path, json={})
    target = begun.headers["location"]
    target = target[target.index("/", 8) :]
    raw = mail(AMY, PAT, "In pieces")
    half = len(raw) // 2
    part = {"Content-Range": f"bytes 0-{half - 1}/{len(raw)}"}
    assert gmail.call("PUT", target, content=raw[:half], headers=part).status_code == 308
    rest = {"Content-Range": f"bytes {half}-{len(raw) - 1}/{len(raw)}"}
    assert gmail.call("PUT", target, content=raw[half:], headers=rest).json()["labelIds"] == ["SENT"]
