"""Sending by Graph: drafts, replies, files, what is refused at once and what only a report tells."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest

from tests.sandbox.conftest import AMY, OLIVE, PAT
from tests.sandbox.google_app import mail
from tests.sandbox.graph_app import GraphApp
from tests.sandbox.test_ms_graph import error_of, inbox_delta, subjects
from tests.services.programs import Sandbox


def to(*addresses: str) -> list[dict[str, Any]]:
    return [{"emailAddress": {"address": address}} for address in addresses]


def json_draft(graph: GraphApp, subject: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A draft to Pat from JSON."""
    values = {"subject": subject, "body": {"contentType": "html", "content": "<p>Good <b>day</b></p>"}, "toRecipients": to(PAT)}
    made: dict[str, Any] = graph.post("me/messages", json=values | fields)
    return made


def attach(graph: GraphApp, draft: dict[str, Any], size: int, name: str = "a.pdf") -> httpx2.Response:
    """Add a file of so many bytes."""
    row = {"@odata.type": "#microsoft.graph.fileAttachment", "name": name, "contentType": "application/pdf",
           "contentBytes": base64.b64encode(b"x" * size).decode()}  # fmt: skip
    return graph.call("POST", f"me/messages/{draft['id']}/attachments", json=row)


def upload(graph: GraphApp, draft: dict[str, Any], size: int) -> str:
    """Begin an upload session; its address."""
    item = {"attachmentType": "file", "name": "big.mp4", "size": size}
    url: str = graph.post(f"me/messages/{draft['id']}/attachments/createUploadSession", json={"AttachmentItem": item})["uploadUrl"]
    return url


def put(graph: GraphApp, url: str, start: int, data: bytes, total: int, **headers: str) -> httpx2.Response:
    """One piece of an upload."""
    spread = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{total}", **headers}
    return graph.http.put(url, content=data, headers=spread)


def test_a_mime_draft_keeps_its_message_id_and_its_immutable_id(sandbox: Sandbox, graph: GraphApp) -> None:
    raw = mail("someone@else.example", PAT, "Mine", Message_ID="<mine@portal.example>", X_CRM_Ref="ref-1", Bcc=AMY)
    draft = graph.draft(raw)
    assert draft["isDraft"] is True
    assert draft["from"]["emailAddress"]["address"] == OLIVE
    answer = graph.send(draft["id"])
    assert (answer.status_code, answer.content) == (202, b"")

    sent = graph.get(f"me/messages/{draft['id']}")
    received = sandbox.messages(PAT)[0]
    assert (sent["isDraft"], sent["internetMessageId"]) == (False, "<mine@portal.example>")
    assert sent["conversationId"] == draft["conversationId"]
    assert [row["emailAddress"]["address"] for row in sent["bccRecipients"]] == [AMY]
    assert subjects(graph.get("me/mailFolders('sentitems')/messages")["value"]) == ["Mine"]
    assert received["headers"]["message_id"] == "<mine@portal.example>"
    assert (received["headers"]["x-crm-ref"], received["headers"]["bcc"]) == ("ref-1", "")
    assert error_of(graph.send(draft["id"]))[0] == 400


def test_a_json_draft_gets_exchanges_message_id(sandbox: Sandbox, graph: GraphApp) -> None:
    draft = json_draft(graph, internetMessageHeaders=[{"name": "x-crm-ref", "value": "r"}])
    assert draft["internetMessageId"].endswith("PROD.OUTLOOK.COM>")
    changed = graph.call("PATCH", f"me/messages/{draft['id']}", json={"subject": "Better", "ccRecipients": to(AMY)}).json()
    graph.send(draft["id"])

    received = sandbox.messages(PAT)[0]
    assert changed["internetMessageId"] == draft["internetMessageId"] == received["headers"]["message_id"]
    assert (received["headers"]["subject"], received["headers"]["cc"], received["headers"]["x-crm-ref"]) == ("Better", AMY, "r")
    assert received["text"].strip() == "Good day"


@pytest.mark.provider_fault(28)
@pytest.mark.parametrize(
    "names, code",
    [
        (["In-Reply-To"], "InvalidInternetMessageHeader"),
        (["References", "x-a"], "InvalidInternetMessageHeader"),
        (["x-1", "x-2", "x-3", "x-4", "x-5", "x-6"], "InvalidInternetMessageHeaderCollection"),
    ],
)
def test_json_takes_few_headers(graph: GraphApp, names: list[str], code: str) -> None:
    rows = [{"name": name, "value": "<1@x>"} for name in names]

    assert error_of(graph.call("POST", "me/messages", json={"internetMessageHeaders": rows})) == (400, code)
    draft = json_draft(graph)
    assert error_of(graph.call("PATCH", f"me/messages/{draft['id']}", json={"internetMessageHeaders": rows})) == (400, code)


def test_extended_properties_set_what_json_headers_cannot(sandbox: Sandbox, graph: GraphApp) -> None:
    rows = [{"id": "String 0x1042", "value": "<q@pat.example>"}, {"id": "String 0x1039", "value": "<a@b> <q@pat.example>"}]
    graph.send(json_draft(graph, singleValueExtendedProperties=rows)["id"])

    headers = sandbox.messages(PAT)[0]["headers"]
    assert (headers["in_reply_to"], headers["references"]) == ("<q@pat.example>", "<a@b> <q@pat.example>")


@pytest.mark.provider_fault(28)
def test_a_reply_has_its_threading_from_exchange(sandbox: Sandbox, graph: GraphApp) -> None:
    asked = sandbox.write(PAT, to=OLIVE, subject="Appointment", text="May I come?")
    item = graph.get("me/messages")["value"][0]
    draft = graph.post(f"me/messages/{item['id']}/createReply")
    body = {"body": {"contentType": "html", "content": "Yes"}, "toRecipients": to(PAT)}
    graph.call("PATCH", f"me/messages/{draft['id']}", json=body)
    graph.send(draft["id"])
    answered = sandbox.messages(PAT)[-1]

    assert draft["conversationId"] == item["conversationId"]
    assert draft["conversationIndex"][:28] == item["conversationIndex"][:28]
    assert len(base64.b64decode(draft["conversationIndex"])) == 27
    assert answered["headers"]["in_reply_to"] == item["internetMessageId"]
    assert answered["headers"]["subject"] == "Re: Appointment"
    assert answered["thread_id"] == asked["thread_id"]
    own = graph.post(f"me/messages/{draft['id']}/createReply")
    assert own["toRecipients"][0]["emailAddress"]["address"] == OLIVE  # not whom one means
    assert subjects([graph.post(f"me/messages/{item['id']}/createReplyAll")]) == ["Re: Appointment"]
    split = graph.call("PATCH", f"me/messages/{own['id']}", json={"subject": "Another matter"}).json()
    assert split["conversationId"] != item["conversationId"]

    for _ in range(2):
        graph.call("DELETE", f"me/messages/{item['id']}")
    assert error_of(graph.call("POST", f"me/messages/{item['id']}/createReply")) == (404, "ErrorItemNotFound")


@pytest.mark.provider_fault(27)
def test_a_sent_copy_may_be_late(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.quirk("ms_sent_late", times=1, value=30)
    draft = json_draft(graph)
    assert graph.send(draft["id"]).status_code == 202
    assert graph.get(f"me/messages/{draft['id']}")["isDraft"] is True
    assert sandbox.messages(PAT) == []

    sandbox.call("POST", "/clock", json={"offset_seconds": 31})
    assert graph.get(f"me/messages/{draft['id']}")["isDraft"] is False
    assert len(sandbox.messages(PAT)) == 1


@pytest.mark.provider_fault(27)
def test_failures_after_the_202_are_reports(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.quirk("ms_sent_never", times=1)
    never = json_draft(graph, "Never")
    graph.send(never["id"])
    sandbox.quirk("ms_sent_bounce", times=1)
    bounced = json_draft(graph, "Back")
    graph.send(bounced["id"])
    unknown = json_draft(graph, "Who", toRecipients=to(f"gone@{OLIVE.partition('@')[2]}"))
    graph.send(unknown["id"])

    assert [graph.get(f"me/messages/{d['id']}")["isDraft"] for d in (never, bounced, unknown)] == [True, False, False]
    assert sandbox.messages(PAT) == []
    reports, _ = graph.round(inbox_delta(select="id,subject,conversationId,internetMessageHeaders"))
    assert sorted(subjects(reports)) == ["Undeliverable: Back", "Undeliverable: Never", "Undeliverable: Who"]
    assert {r["conversationId"] for r in reports} == {d["conversationId"] for d in (never, bounced, unknown)}


@pytest.mark.provider_fault(31)
def test_what_is_refused_at_once(sandbox: Sandbox, graph: GraphApp) -> None:
    for people in ([], to("not an address")):
        assert error_of(graph.send(json_draft(graph, toRecipients=people)["id"])) == (400, "ErrorInvalidRecipients")
    assert error_of(graph.send(json_draft(graph, **{"from": to(AMY)[0]})["id"])) == (403, "ErrorSendAsDenied")
    sandbox.add_mailbox(OLIVE, send_cap={"mode": "429", "limit": 0})
    draft = json_draft(graph)
    assert error_of(graph.send(draft["id"])) == (429, "ErrorExceededMessageLimit")
    assert graph.get(f"me/messages/{draft['id']}")["parentFolderId"] == draft["parentFolderId"]
    assert error_of(graph.call("POST", "me/messages", content=b"%%%", headers={"Content-Type": "text/plain"})) == (
        400, "ErrorMimeContentInvalidBase64String",
    )  # fmt: skip
    sent = sandbox.messages(OLIVE)
    assert error_of(graph.call("PATCH", "me/messages/x", json={}))[0] == 400
    assert len(sent) == 4


def test_send_mail_answers_nothing(sandbox: Sandbox, graph: GraphApp) -> None:
    message = {"subject": "At once", "toRecipients": to(PAT), "body": {"contentType": "text", "content": "Hi"}}
    assert graph.post("me/sendMail", 202, json={"message": message}) is None
    raw = base64.b64encode(mail(OLIVE, PAT, "As MIME"))
    graph.post("me/sendMail", 202, content=raw, headers={"Content-Type": "text/plain"})

    assert [m["headers"]["subject"] for m in sandbox.messages(PAT)] == ["At once", "As MIME"]
    assert {tuple(m["labels"]) for m in sandbox.messages(OLIVE)} == {("SENT",)}


@pytest.mark.provider_fault(29)
def test_files_of_a_draft(sandbox: Sandbox, graph: GraphApp) -> None:
    draft = json_draft(graph)
    added = attach(graph, draft, 2_900_000)
    assert (added.status_code, added.json()["size"]) == (201, 2_900_000)
    assert error_of(attach(graph, draft, 3_145_728))[0] == 413
    assert graph.call("POST", "me/messages", content=b"x" * 4_194_305, headers={"Content-Type": "text/plain"}).status_code == 413
    attach(graph, draft, 5, "second.pdf")
    removed = graph.get(f"me/messages/{draft['id']}/attachments", _select="id,name")["value"]
    assert graph.call("DELETE", f"me/messages/{draft['id']}/attachments/{removed[0]['id']}").status_code == 204
    graph.send(draft["id"])

    received = sandbox.messages(PAT)[0]
    assert received["attachments"] == ["second.pdf"]
    assert received["text"].strip() == "Good day"
    assert error_of(attach(graph, draft, 5)) == (400, "ErrorInvalidOperation")


@pytest.mark.provider_fault(29)
def test_an_upload_session_takes_pieces_in_order(sandbox: Sandbox, graph: GraphApp) -> None:
    draft, total = json_draft(graph), 3_200_000
    url = upload(graph, draft, total)
    assert put(graph, url, 0, b"a" * 2_000_000, total, Authorization="Bearer x").status_code == 401
    assert put(graph, url, 0, b"a" * 2_000_000, total).json()["nextExpectedRanges"] == ["2000000-"]
    assert put(graph, url, 2_500_000, b"b" * 700_000, total).status_code == 416
    done = put(graph, url, 2_000_000, b"b" * 1_200_000, total)
    assert done.status_code == 201
    assert "/Attachments('" in done.headers["location"]
    assert graph.get(f"me/messages/{draft['id']}")["hasAttachments"] is True

    sandbox.quirk("ms_upload_lifetime", value=60, times=1)
    late = upload(graph, draft, total)
    sandbox.call("POST", "/clock", json={"offset_seconds": 61})
    assert put(graph, late, 0, b"a", total).status_code == 404
    small = {"AttachmentItem": {"attachmentType": "file", "name": "s.pdf", "size": 5}}
    assert graph.call("POST", f"me/messages/{draft['id']}/attachments/createUploadSession", json=small).status_code == 400


def test_mail_goes_both_ways_between_the_providers(sandbox: Sandbox, graph: GraphApp) -> None:
    graph.send(graph.draft(mail(OLIVE, PAT, "Across"))["id"])
    there = sandbox.messages(PAT)[0]
    sandbox.write(PAT, reply_to=there["id"], text="Thanks")
    back = graph.get("me/mailFolders/inbox/messages")["value"][0]
    sandbox.write(OLIVE, reply_to=sandbox.messages(OLIVE)[-1]["id"], text="Fine")

    assert back["subject"] == "Re: Across"
    assert len({m["thread_id"] for m in sandbox.messages(PAT)}) == 1
    assert len(sandbox.messages(PAT)) == 3
    assert {m["conversationId"] for m in graph.get("me/messages")["value"]} == {back["conversationId"]}
    assert sandbox.messages(OLIVE)[-1]["headers"]["message_id"].endswith("PROD.OUTLOOK.COM>")
