"""Graph mail as it is read: delta rounds, ids, filters, bodies, attachments, who may call."""

from __future__ import annotations

import base64
import threading
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest

from tests.sandbox.conftest import AMY, OLIVE, PAT
from tests.sandbox.google_app import mail
from tests.sandbox.graph_app import GraphApp, inbox_delta
from tests.services.programs import Sandbox


def subjects(items: list[dict[str, Any]]) -> list[str]:
    return [item.get("subject", "@" + item.get("@removed", {}).get("reason", "")) for item in items]


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_round_lists_what_is_there_then_what_changed(sandbox: Sandbox, graph: GraphApp) -> None:
    for number in range(5):
        sandbox.deliver(mail(PAT, OLIVE, f"Mail {number}"), OLIVE)
    first, link = graph.round(inbox_delta(), Prefer='IdType="ImmutableId", odata.maxpagesize=2')
    assert sorted(subjects(first)) == [f"Mail {number}" for number in range(5)]
    assert graph.round(link)[0] == []

    sandbox.deliver(mail(PAT, OLIVE, "Another"), OLIVE)
    moved, gone = (item["id"] for item in first[:2])
    graph.post(f"me/messages/{moved}/move", json={"destinationId": "archive"})
    graph.call("DELETE", f"me/messages/{gone}")
    graph.call("DELETE", f"me/messages/{gone}")
    later, link = graph.round(link)

    assert sorted(subjects(later)) == ["@changed", "@deleted", "Another"]
    assert {item["id"] for item in later if "@removed" in item} == {moved, gone}
    assert graph.round(link)[0] == []


def test_nothing_before_the_filter_is_shown(sandbox: Sandbox, graph: GraphApp) -> None:
    old = 1_700_000_000_000
    sandbox.deliver(mail(PAT, OLIVE, "Old"), OLIVE, internal_date=old)
    sandbox.deliver(mail(PAT, OLIVE, "New"), OLIVE, internal_date=old + 1000)

    for operator, expected in (("ge", ["New"]), ("gt", [])):
        path = inbox_delta("2023-11-14T22:13:21Z").replace(" ge ", f" {operator} ")
        found, link = graph.round(path)
        assert subjects(found) == expected
    sandbox.deliver(mail(PAT, OLIVE, "Older still"), OLIVE, internal_date=old - 1)
    assert graph.round(link)[0] == []
    refused = graph.call("GET", inbox_delta().replace("receivedDateTime ge", "subject eq"))
    assert error_of(refused) == (400, "ErrorInvalidUrlQueryFilter")


@pytest.mark.provider_fault(25)
def test_rounds_can_be_odd(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.deliver(mail(PAT, OLIVE, "Once"), OLIVE)
    sandbox.quirk("ms_delta_empty_page", times=1)
    page = graph.get(inbox_delta())
    assert page["value"] == []
    sandbox.quirk("ms_delta_duplicate", times=1)
    items, link = graph.round(page["@odata.nextLink"])
    assert subjects(items) == ["Once", "Once"]

    sandbox.deliver(mail(PAT, OLIVE, "Twice"), OLIVE)
    sandbox.quirk("ms_delta_replay", times=1)
    items, link = graph.round(link)
    assert subjects(items) == subjects(graph.round(link)[0]) == ["Twice"]
    sandbox.quirk("ms_delta_foreign_link", times=1)
    assert graph.get(link)["@odata.deltaLink"].startswith("https://graph.evil.example/graph/v1.0/me/mailFolders")


@pytest.mark.provider_fault(24)
def test_a_lost_sync_state_is_told_in_several_ways(sandbox: Sandbox, graph: GraphApp) -> None:
    _, link = graph.round(inbox_delta())
    for form, expected in [("404 syncStateNotFound", (404, "syncStateNotFound")), ("400 resyncRequired", (400, "resyncRequired"))]:
        sandbox.quirk("ms_sync_state_lost", times=1, value=form)
        assert error_of(graph.call("GET", link)) == expected
    assert graph.round(link)[0] == []
    sandbox.preset("expire_history", OLIVE)
    answer = graph.call("GET", link)
    assert error_of(answer) == (410, "syncStateNotFound")
    assert "/messages/delta?" in answer.headers["location"]
    assert error_of(graph.call("GET", link.partition("=")[0] + "=rubbish")) == (400, "InvalidSyncStateData")


@pytest.mark.provider_fault(27)
def test_only_immutable_ids_survive_a_move(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.deliver(mail(PAT, OLIVE, "Here"), OLIVE)
    kept = graph.get("me/messages")["value"][0]["id"]
    plain = {"Prefer": ""}
    mutable = graph.call("GET", "me/messages", headers=plain).json()["value"][0]["id"]
    assert mutable != kept
    graph.post(f"me/messages/{kept}/move", json={"destinationId": "archive"})

    assert graph.get(f"me/messages/{kept}")["subject"] == "Here"
    assert error_of(graph.call("GET", f"me/messages/{mutable}")) == (404, "ErrorItemNotFound")
    assert graph.call("GET", "me/messages", headers=plain).json()["value"][0]["id"] not in (mutable, kept)
    assert error_of(graph.call("GET", f"me/messages/{kept.swapcase()}")) == (400, "ErrorInvalidIdMalformed")


def test_filters_find_and_pages_lead_on(sandbox: Sandbox, graph: GraphApp) -> None:
    for number in range(3):
        sandbox.deliver(mail(PAT, OLIVE, f"Mail {number}", X_CRM_Ref=f"ref-{number}", Message_ID=f"<{number}@pat.example>"), OLIVE)
    header = "String {00020386-0000-0000-C000-000000000046} Name X-CRM-Ref"
    found = graph.get(
        "me/messages", _filter=f"singleValueExtendedProperties/any(ep: ep/id eq '{header}' and ep/value eq 'ref-1')",
        _expand=f"singleValueExtendedProperties($filter=id eq '{header}')", _select="subject",
    )["value"]  # fmt: skip
    assert subjects(found) == ["Mail 1"]
    assert found[0]["singleValueExtendedProperties"] == [{"id": header, "value": "ref-1"}]
    assert subjects(graph.get("me/messages", _filter="internetMessageId eq '<2@pat.example>'")["value"]) == ["Mail 2"]
    thread = found[0]["id"] and graph.get(f"me/messages/{found[0]['id']}")["conversationId"]
    text = f"receivedDateTime ge 2020-01-01T00:00:00Z and conversationId eq '{thread}' and isDraft eq false"
    assert subjects(graph.get("me/messages", _filter=text, _orderby="receivedDateTime desc")["value"]) == ["Mail 1"]
    complex_order = graph.call("GET", "me/messages", params={"$filter": f"conversationId eq '{thread}'", "$orderby": "receivedDateTime"})
    assert error_of(complex_order) == (400, "InefficientFilter")

    page = graph.get("me/mailFolders/inbox/messages", _top=2, _select="subject")
    rest = graph.get(page["@odata.nextLink"])
    assert subjects(page["value"] + rest["value"]) == ["Mail 2", "Mail 1", "Mail 0"]
    assert error_of(graph.call("GET", "me/messages?$select=nothing")) == (400, "RequestBroker--ParseUri")


def test_bodies_and_headers(sandbox: Sandbox, graph: GraphApp) -> None:
    letter = {"text": "New\n\nOn Monday Olive wrote:\n> old", "html": '<p onclick="x()">New</p><script>bad()</script><div class="gmail_quote">old</div>'}
    sandbox.write(PAT, to=OLIVE, subject="Body", **letter)
    item = graph.get("me/messages")["value"][0]
    path = f"me/messages/{item['id']}"

    assert item["body"]["contentType"] == "html"
    assert [word for word in ("script", "onclick") if word in item["body"]["content"]] == []
    text = graph.call("GET", f"{path}?$select=body,uniqueBody,internetMessageHeaders", headers={"Prefer": 'outlook.body-content-type="text"'}).json()
    assert text["uniqueBody"] == {"contentType": "text", "content": "New"}
    assert "On Monday" in text["body"]["content"]
    names = {row["name"] for row in text["internetMessageHeaders"]}
    assert {"Authentication-Results", "Message-ID", "Received"} <= names
    raw = "me/messages/" + item["id"] + "/$value"
    assert b"Subject: Body" in graph.call("GET", raw).content


def test_attachments_of_received_mail(sandbox: Sandbox, graph: GraphApp) -> None:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = PAT, OLIVE, "Files"
    made.set_content("See")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="ä b.pdf")
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("inside")
    made.add_attachment(inner)
    sandbox.deliver(made.as_bytes(), OLIVE)
    item = graph.get("me/messages")["value"][0]
    path = f"me/messages/{item['id']}/attachments"
    listed = graph.get(path, _select="id,name,size,contentType,isInline")["value"]

    assert item["hasAttachments"] is True
    assert [(row["name"], row["@odata.type"].rpartition(".")[2]) for row in listed] == [("ä b.pdf", "fileAttachment"), ("Message", "itemAttachment")]
    assert "contentBytes" not in listed[0]
    assert base64.b64decode(graph.get(f"{path}/{listed[0]['id']}")["contentBytes"]) == b"%PDF"
    assert graph.call("GET", f"{path}/{listed[0]['id']}/$value").content == b"%PDF"
    assert b"Subject: Inner" in graph.call("GET", f"{path}/{listed[1]['id']}/$value").content


@pytest.mark.provider_fault(13)
def test_who_may_call(sandbox: Sandbox, graph: GraphApp) -> None:
    weak = GraphApp(graph.http, sandbox.grant(OLIVE, "openid User.Read Mail.Send")["access_token"])
    assert weak.get("me")["mail"] == OLIVE
    assert error_of(weak.call("GET", "me/messages")) == (403, "ErrorAccessDenied")
    assert error_of(weak.call("POST", "me/messages", json={})) == (403, "ErrorAccessDenied")
    sandbox.add_mailbox(AMY, "Amy")
    foreign = GraphApp(graph.http, sandbox.grant(AMY)["access_token"])
    assert error_of(foreign.call("GET", "me")) == (401, "InvalidAuthenticationToken")
    assert error_of(graph.call("GET", "me/nothing"))[0] == 400
    sandbox.preset("expire_access", OLIVE)
    assert error_of(graph.call("GET", "me")) == (401, "InvalidAuthenticationToken")


@pytest.mark.provider_fault(31)
def test_an_account_without_a_mailbox(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.add_mailbox(OLIVE, mail_enabled=False)

    assert graph.get("me")["userPrincipalName"] == OLIVE
    assert error_of(graph.call("GET", inbox_delta())) == (404, "MailboxNotEnabledForRESTAPI")


@pytest.mark.provider_fault(26)
def test_a_fifth_call_in_flight_is_refused(sandbox: Sandbox, graph: GraphApp) -> None:
    sandbox.quirk("ms_slow_ms", value=700)
    found: list[httpx2.Response] = []
    threads = [threading.Thread(target=lambda: found.append(graph.call("GET", "me"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    refused = [answer for answer in found if answer.status_code == 429]
    assert len(refused) == 2
    assert {error_of(answer) for answer in refused} == {(429, "ApplicationThrottled")}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    sandbox.clear_faults()
    sandbox.fault(path="/graph/*", status=503, times=1)
    assert error_of(graph.call("GET", "me")) == (503, "ServiceUnavailable")


def test_a_batch_has_a_status_for_each_call(sandbox: Sandbox, graph: GraphApp) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "1", "method": "GET", "url": "/me?$select=mail"},
        {"id": "2", "method": "GET", "url": "/me/messages/wrong"},
        {"id": "3", "method": "POST", "url": "/me/messages", "headers": {"Content-Type": "application/json"}, "body": {"subject": "X"}},
        {"id": "4", "method": "GET", "url": "/me", "dependsOn": ["2"]},
    ]
    answer = graph.post("$batch", 200, json={"requests": rows})["responses"]

    assert [(row["id"], row["status"]) for row in answer] == [("1", 200), ("2", 400), ("3", 201), ("4", 424)]
    assert answer[0]["body"]["mail"] == OLIVE
    many = [{"id": str(n), "method": "GET", "url": "/me"} for n in range(21)]
    assert graph.call("POST", "$batch", json={"requests": many}).status_code == 400
    sandbox.quirk("ms_batch_throttle", times=1)
    throttled = graph.post("$batch", 200, json={"requests": many[:6]})["responses"]
    assert [row["status"] for row in throttled] == [200] * 4 + [429] * 2
