"""The control plane: clear refusals, the clock, the request log, reset; the console; the SMTP sink."""

from __future__ import annotations

import smtplib
from typing import Any

import httpx2
import pytest

from sandbox.odd_mails import KINDS
from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import Gmail, GoogleApp, field, mail
from tests.services.programs import Sandbox


@pytest.mark.parametrize(
    "method, path, body, problem",
    [
        ("POST", "/mailboxes", {"address": "no address"}, "address is no mail address"),
        ("POST", "/mailboxes", {"name": "X"}, "address is missing"),
        ("POST", "/mailboxes", {"address": "a@b.example", "kind": "pop3"}, "kind must be one of"),
        ("POST", "/mailboxes", {"address": "a@b.example", "colour": 1}, "unknown fields: colour"),
        ("POST", "/mailboxes", {"address": "p.at@gmail.com"}, "arrives at pat@gmail.com already"),
        ("POST", "/mailboxes", {"address": "a@b.example", "send_cap": {"mode": "x"}}, "send_cap.mode"),
        ("POST", "/faults", {"path": 3}, "path must be text"),
        ("POST", "/faults", {"times": 0}, "times must be at least 1"),
        ("POST", "/faults", {"status": 42}, "status must be at least 200"),
        ("POST", "/faults", {"delay": 5}, "unknown fields: delay"),
        ("POST", "/quirks", {"name": "nothing"}, "unknown quirk nothing"),
        ("POST", "/clock", {"offset_seconds": "soon"}, "offset_seconds must be"),
        ("POST", "/clock", {}, "offset_seconds is missing"),
        ("POST", "/knobs", {"latency_ms": True}, "latency_ms must be a whole number"),
        ("POST", "/quota", {"form": "418"}, "form must be one of"),
        ("POST", "/push", {}, "mailbox is missing"),
        ("POST", "/mail", {}, "to is missing"),
        ("POST", "/mail?to=nobody@practice.example", {}, "no mailbox receives mail for"),
        ("POST", f"/mail?to={AMY}&internal_date=today", {}, "internal_date must be a whole number"),
        ("POST", f"/mail?to={AMY}&auth=maybe", {}, "auth must be one of"),
        ("POST", f"/mailboxes/{AMY}/send", {"to": PAT, "reply_to": "0"}, "no message 0"),
        ("POST", f"/mailboxes/{AMY}/send", {"to": PAT, "subject": "a\nBcc: x@y.example"}, "cannot be made"),
        ("POST", f"/users/{AMY}/grant", {"scopes": "everything"}, "unknown scopes"),
        ("POST", "/users/no@one.example/revoke", {}, "no mailbox no@one.example"),
        ("GET", "/requests?after=x", None, "after must be a whole number"),
        ("GET", "/nothing", None, "not found"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(
    google: GoogleApp, method: str, path: str, body: dict[str, Any] | None, problem: str
) -> None:
    answer = google.http.request(method, f"/__ctl{path}", json=body)

    assert answer.status_code in (400, 404, 409)
    assert problem in answer.json()["error"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(google: GoogleApp, content: bytes) -> None:
    assert google.http.post("/__ctl/faults", content=content).status_code == 400


def test_another_site_in_the_same_browser_may_not_press_buttons(google: GoogleApp) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}

    assert google.http.post("/__ctl/reset", headers=foreign).status_code == 403
    assert google.http.post("/mailboxes", headers=foreign, data={"address": "a@b.example"}).status_code == 403


def test_mail_is_listed_oldest_first_with_its_headers(sandbox: Sandbox, google: GoogleApp) -> None:
    raw = mail(PAT, AMY, "One", "Text", Message_ID="<1@x>", In_Reply_To="<0@x>", References="<0@x>", X_CRM_Ref="r")
    ids = sandbox.deliver(raw, [AMY, PAT], sender="bounce@x.example")
    sandbox.deliver(mail(PAT, AMY, "Before"), AMY, internal_date=1_000)
    before, one = sandbox.messages(AMY)

    assert (before["headers"]["subject"], before["internal_date"]) == ("Before", 1000)
    assert one["id"] == ids[AMY] != ids[PAT]
    assert one["labels"] == ["INBOX", "UNREAD"]
    wanted = {
        "from": PAT,
        "to": AMY,
        "message_id": "<1@x>",
        "in_reply_to": "<0@x>",
        "references": "<0@x>",
        "x-crm-ref": "r",
        "cc": "",
    }
    assert one["headers"].items() >= wanted.items()
    assert one["text"].strip() == "Text"


def test_many_mails_in_one_call(sandbox: Sandbox, google: GoogleApp) -> None:
    ids = sandbox.deliver_many([{"to": [AMY], "raw": "RnJvbTogYQ", "internal_date": n} for n in (1, 2)])

    assert [m["id"] for m in sandbox.messages(AMY)] == [ids[0][AMY], ids[1][AMY]]


def test_the_request_log_tells_what_was_asked_but_no_secret(sandbox: Sandbox, google: GoogleApp, gmail: Gmail) -> None:
    token = sandbox.grant(AMY)["refresh_token"]
    google.refresh(token)
    gmail.get("profile")
    sandbox.fault(path="*/labels", status=500, name="mine")
    gmail.call("GET", "labels")
    rows = sandbox.requests(mailbox=AMY)

    assert [(row["method"], row["path"].rpartition("/")[2], row["status"]) for row in rows] == [
        ("POST", "token", 200), ("GET", "profile", 200), ("GET", "labels", 500),
    ]  # fmt: skip
    assert rows[2]["fault"] == "mine"
    assert token not in str(rows)
    assert sandbox.requests(status=500) == rows[2:]
    assert sandbox.requests(after=rows[1]["number"]) == rows[2:]
    sandbox.call("DELETE", "/requests")
    assert sandbox.requests() == []


def test_reset_forgets_everybody(sandbox: Sandbox, google: GoogleApp, gmail: Gmail) -> None:
    sandbox.call("POST", "/clock", json={"offset_seconds": 500})
    sandbox.reset()

    assert sandbox.call("GET", "/mailboxes") == {"mailboxes": []}
    assert sandbox.call("GET", "/clock")["offset_seconds"] == 0
    assert gmail.call("GET", "profile").status_code == 401


# the console -------------------------------------------------------------------------------------------------------


def test_a_person_writes_answers_and_forwards_on_the_console(sandbox: Sandbox, google: GoogleApp) -> None:
    http = google.http
    letter = {"to": AMY, "subject": "Hello", "text": "Dear Amy"}
    sent = http.post(f"/mailboxes/{PAT}/write", data=letter, files={"files": ("a.txt", b"abc")})
    assert sent.status_code == 303
    assert "Dear Amy" in http.get(sent.headers["location"]).text
    incoming = sandbox.messages(AMY)[0]
    assert incoming["attachments"] == ["a.txt"]

    form = http.get(f"/mailboxes/{AMY}/write", params={"message": incoming["id"], "kind": "reply_all"}).text
    assert field(form, "to") == PAT
    http.post(f"/mailboxes/{AMY}/write", data={"to": PAT, "text": "Yes", "reply_to": field(form, "reply_to")})
    assert sandbox.messages(PAT)[-1]["headers"]["subject"] == "Re: Hello"
    form = http.get(f"/mailboxes/{AMY}/write", params={"message": incoming["id"], "kind": "forward"}).text
    http.post(f"/mailboxes/{AMY}/write", data={"to": "x@out.example", "forward_of": field(form, "forward_of")})
    assert "Fwd: Hello" in http.get("/sink").text


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_odd_mail_arrives(sandbox: Sandbox, google: GoogleApp, kind: str) -> None:
    answer = google.http.post("/arrivals", data={"kind": kind, "from": "x@y.example", "to": AMY})

    assert answer.status_code == 303
    assert len(sandbox.messages(AMY)) == 1
    assert google.http.get(answer.headers["location"]).status_code == 200


def test_faults_are_switched_on_and_off_on_the_console(sandbox: Sandbox, google: GoogleApp, gmail: Gmail) -> None:
    http = google.http
    assert http.post("/faults", data={"name": "revoke"}).status_code == 400
    assert http.post("/faults", data={"name": "server_errors", "mailbox": AMY}).status_code == 303
    assert "server_errors" in http.get("/faults").text
    assert gmail.call("GET", "profile").status_code == 503
    http.post("/faults/off")
    assert gmail.call("GET", "profile").status_code == 200
    assert "/profile" in http.get("/requests").text


def test_pages_show_mail_as_text_only(sandbox: Sandbox, google: GoogleApp) -> None:
    message_id = sandbox.deliver(mail("<b>x</b> <x@y.example>", AMY, "<script>1</script>", "<img src=x>"), AMY)[AMY]
    page = google.http.get(f"/mailboxes/{AMY}/messages/{message_id}")

    assert "<script>1" not in page.text
    assert "<img src=x>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


# SMTP --------------------------------------------------------------------------------------------------------------


def test_smtp_delivers_to_mailboxes_and_keeps_the_rest(sandbox: Sandbox, google: GoogleApp) -> None:
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=10) as client:
        client.sendmail("x@y.example", [AMY, "out@side.example"], mail("x@y.example", AMY, "By SMTP"))
    kept = sandbox.call("GET", "/sink")["mails"][0]

    assert sandbox.messages(AMY)[0]["headers"]["subject"] == "By SMTP"
    assert (kept["via"], kept["rcpts"]) == ("smtp", [AMY, "out@side.example"])
    assert set(kept["delivered"]) == {AMY}
    with pytest.raises(httpx2.HTTPStatusError):
        sandbox.call("GET", "/mailboxes/out@side.example")
