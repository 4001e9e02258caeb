"""Gmail: history with its floor and oddities, formats, search, drafts, delivery by aliases and lists."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import Gmail, header, mail
from tests.services.programs import Sandbox


def added(page: dict[str, Any]) -> list[str]:
    """Ids of the messages that a page of history names as added."""
    return [item["messagesAdded"][0]["message"]["id"] for item in page.get("history", []) if "messagesAdded" in item]


def read(gmail: Gmail, message_id: str) -> dict[str, Any]:
    """A message with all its headers."""
    message: dict[str, Any] = gmail.get(f"messages/{message_id}", format="full")
    return message


# history -----------------------------------------------------------------------------------------------------------


def test_history_starts_behind_the_cursor_and_pages(sandbox: Sandbox, gmail: Gmail) -> None:
    start = gmail.get("profile")["historyId"]
    ids = [sandbox.deliver(mail(PAT, AMY, f"Mail {n}"), AMY)[AMY] for n in range(5)]
    first = gmail.history(start, maxResults=2, historyTypes=["messageAdded"])
    second = gmail.history(start, maxResults=2, pageToken=first["nextPageToken"], historyTypes=["messageAdded"])
    third = gmail.history(start, maxResults=2, pageToken=second["nextPageToken"], historyTypes=["messageAdded"])

    assert added(first) + added(second) + added(third) == ids
    assert "nextPageToken" not in third
    assert third["historyId"] == gmail.get("profile")["historyId"]
    assert "history" not in gmail.history(third["historyId"])


@pytest.mark.provider_fault(14)
def test_history_below_the_floor_or_beyond_the_end_is_404(sandbox: Sandbox, gmail: Gmail) -> None:
    start = int(gmail.get("profile")["historyId"])
    for wrong in (start - 1, start + 10_000):
        answer = gmail.call("GET", "history", params={"startHistoryId": wrong})
        assert answer.status_code == 404
        assert answer.json()["error"]["errors"][0]["reason"] == "notFound"

    sandbox.call("POST", f"/mailboxes/{AMY}/history-floor")
    assert gmail.call("GET", "history", params={"startHistoryId": start}).status_code == 404
    assert "history" not in gmail.history(gmail.get("profile")["historyId"])


@pytest.mark.provider_fault(15)
def test_history_can_be_odd(sandbox: Sandbox, gmail: Gmail) -> None:
    start = gmail.get("profile")["historyId"]
    ids = [sandbox.deliver(mail(PAT, AMY), AMY)[AMY] for _ in range(3)]
    sandbox.quirk("history_empty_page", times=1)
    empty = gmail.history(start)
    assert "history" not in empty
    assert added(gmail.history(start, pageToken=empty["nextPageToken"])) == ids

    sandbox.quirk("history_duplicate", times=1)
    assert added(gmail.history(start)) == ids + ids
    sandbox.quirk("history_unordered", times=1)
    assert added(gmail.history(start)) == ids[::-1]
    sandbox.quirk("history_page_loop", times=1)
    looped = gmail.history(start)
    assert added(gmail.history(start, pageToken=looped["nextPageToken"])) == ids


@pytest.mark.provider_fault(16)
def test_history_names_messages_that_are_gone(sandbox: Sandbox, gmail: Gmail) -> None:
    start = gmail.get("profile")["historyId"]
    sandbox.deliver(mail(PAT, AMY), AMY)
    sandbox.quirk("history_ghost", times=1)
    ghost, real = added(gmail.history(start))

    assert gmail.call("GET", f"messages/{ghost}").status_code == 404
    assert read(gmail, real)["labelIds"] == ["INBOX", "UNREAD"]


def test_each_autosave_of_a_draft_is_a_new_message(sandbox: Sandbox, gmail: Gmail) -> None:
    start = gmail.get("profile")["historyId"]
    draft = sandbox.call("POST", f"/mailboxes/{AMY}/drafts", json={"to": PAT, "subject": "Plan", "text": "a"})
    sandbox.call(
        "POST", f"/mailboxes/{AMY}/drafts", json={"to": PAT, "subject": "Plan", "text": "ab", "draft_id": draft["draft_id"]}
    )
    sent = sandbox.call("POST", f"/mailboxes/{AMY}/drafts/{draft['draft_id']}/send")
    items = gmail.history(start, historyTypes=["messageAdded"])["history"]

    assert [item["messagesAdded"][0]["message"]["labelIds"] for item in items] == [["DRAFT"], ["DRAFT"], ["SENT"]]
    assert gmail.call("GET", f"messages/{draft['id']}").status_code == 404
    assert [m["id"] for m in sandbox.messages(AMY)] == [sent["id"]]
    assert sandbox.messages(PAT)[0]["text"].strip() == "ab"


def test_label_changes_are_history_of_their_own(sandbox: Sandbox, gmail: Gmail) -> None:
    message_id = sandbox.deliver(mail(PAT, AMY), AMY, labels="SPAM")[AMY]
    start = gmail.get("profile")["historyId"]
    change = {"add": ["INBOX"], "remove": ["SPAM"]}
    sandbox.call("POST", f"/mailboxes/{AMY}/messages/{message_id}/labels", json=change)

    assert added(gmail.history(start)) == []
    page = gmail.history(start, historyTypes=["labelAdded"])
    assert page["history"][0]["labelsAdded"][0]["labelIds"] == ["INBOX"]


# reading -----------------------------------------------------------------------------------------------------------


def test_formats_agree_about_one_message(sandbox: Sandbox, gmail: Gmail) -> None:
    raw = mail(PAT, AMY, "Grüße", "Schöne Worte & mehr", Message_ID="<x@pat.example>")
    message_id = sandbox.deliver(raw, AMY)[AMY]
    full, metadata = (
        read(gmail, message_id),
        gmail.get(f"messages/{message_id}", format="metadata", metadataHeaders="subject"),
    )
    wire = base64.urlsafe_b64decode(gmail.get(f"messages/{message_id}", format="raw")["raw"])

    assert header(full, "Subject") == "Grüße"
    assert [h["name"] for h in metadata["payload"]["headers"]] == ["Subject"]
    assert wire.endswith(raw.replace(b"\n", b"\r\n"))
    assert b"Authentication-Results: mx.google.com; dkim=pass" in wire
    assert full["snippet"] == "Schöne Worte &amp; mehr"
    assert base64.urlsafe_b64decode(full["payload"]["body"]["data"]).decode().strip() == "Schöne Worte & mehr"
    assert "payload" not in gmail.get(f"messages/{message_id}", format="minimal")


def test_mail_can_be_stored_as_it_is(sandbox: Sandbox, gmail: Gmail) -> None:
    raw = b"From: a\nbroken line\n\n\xff\xfe\x00"
    message_id = sandbox.deliver(raw, AMY, exact=1, internal_date=1_600_000_000_000, auth="none")[AMY]

    assert base64.urlsafe_b64decode(gmail.get(f"messages/{message_id}", format="raw")["raw"]) == raw
    assert read(gmail, message_id)["internalDate"] == "1600000000000"


def test_an_attachment_id_differs_each_time_and_stays_good(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.write(PAT, to=AMY, subject="File", attachments=[{"name": "a.bin", "content": "AAEC"}])
    message_id = sandbox.messages(AMY)[0]["id"]
    parts = [read(gmail, message_id)["payload"]["parts"][1] for _ in range(2)]
    ids = [part["body"]["attachmentId"] for part in parts]

    assert ids[0] != ids[1]
    assert [gmail.get(f"messages/{message_id}/attachments/{i}")["data"] for i in ids] == ["AAEC", "AAEC"]
    assert gmail.call("GET", f"messages/{message_id}/attachments/ANGjdJxx").status_code == 400


def test_search_finds_by_time_and_folder_and_hides_spam(sandbox: Sandbox, gmail: Gmail) -> None:
    old = sandbox.deliver(mail(PAT, AMY, "Old"), AMY, internal_date=1_600_000_000_000)[AMY]
    new = sandbox.deliver(mail(PAT, AMY, "New"), AMY)[AMY]
    spam = sandbox.deliver(mail(PAT, AMY, "Spam"), AMY, labels="SPAM")[AMY]

    def found(**params: Any) -> list[str]:
        return [item["id"] for item in gmail.get("messages", **params).get("messages", [])]

    assert found() == [new, old]
    assert found(q="after:1600000001") == [new]
    assert found(q="before:1600000001 in:inbox") == [old]
    assert found(q="subject:new from:pat") == [new]
    assert spam in found(includeSpamTrash="true")
    assert found(labelIds="SENT") == []


def test_aliases_lists_and_forwards_deliver(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.call("POST", "/lists", json={"address": "team@practice.example", "members": [AMY, PAT]})
    sandbox.add_mailbox("old@practice.example", forward_to=AMY)
    sandbox.deliver(mail(PAT, "office@practice.example"), "office@practice.example")
    sandbox.deliver(mail("x@y.example", "p.a.t+news@gmail.com"), "p.a.t+news@gmail.com")
    sandbox.deliver(mail("x@y.example", "team@practice.example"), "team@practice.example")
    sandbox.deliver(mail("x@y.example", "old@practice.example"), "old@practice.example")

    assert [m["headers"]["to"] for m in sandbox.messages(AMY)] == [
        "office@practice.example", "team@practice.example", "old@practice.example",
    ]  # fmt: skip
    assert sandbox.messages(AMY)[1]["headers"]["list_id"] == "<team.practice.example>"
    assert len(sandbox.messages(PAT)) == 2
    own = {row["sendAsEmail"]: row for row in gmail.get("settings/sendAs")["sendAs"]}
    assert own["office@practice.example"]["verificationStatus"] == "accepted"
    assert own[AMY]["isPrimary"] is True


def test_an_identity_without_mail_is_refused(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.add_mailbox(AMY, mail_enabled=False)
    answer = gmail.call("GET", "profile")

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Mail service not enabled"


def test_another_persons_mailbox_is_refused(gmail: Gmail) -> None:
    assert gmail.call("GET", f"/gmail/v1/users/{PAT}/profile").status_code == 403
    assert gmail.call("GET", f"/gmail/v1/users/{AMY}/profile").status_code == 200
