"""Graph's JSON as the portal's types: what strangers write, and what Graph leaves out."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from typing import Any
from uuid import UUID

import pytest

from portal.providers.errors import Refused
from portal.providers.microsoft.letters import enclosures, mark, properties, read_letter, without_files
from portal.providers.microsoft.parse import MARK, facts_of, files_of, mail_of
from portal.rules.addresses import Address
from portal.rules.facts import Direction
from portal.sending.mime import OutgoingFile, OutgoingMail, OutgoingPicture, build_mime

OWN = frozenset({"amy@practice.example"})
FOLDERS = {"F-in": "inbox", "F-sent": "sentitems", "F-junk": "junkemail", "F-bin": "deleteditems"}
REF = UUID("0b0f6c6e-6a39-4f0e-9f5e-0d5c1b6a7e11")
AMY, PAT = Address("amy@practice.example", "amy@practice.example", "Amy Stone"), Address("pat@gmail.com", "pat@gmail.com")


def person(address: str, name: str = "") -> dict[str, Any]:
    return {"emailAddress": {"address": address, "name": name}}


def shown(folder: str = "F-in", headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """A message as GET /me/messages/{id} shows it."""
    entries = [{"name": name, "value": value} for name, value in (headers or {}).items()]
    return {
        "id": "AAkA-1", "conversationId": "AAQk-1", "parentFolderId": folder, "internetMessageId": "<1@gmail.com>",
        "subject": "Hours", "from": person("pat@gmail.com", "Pat"), "toRecipients": [person("amy@practice.example")],
        "receivedDateTime": "2026-11-24T10:00:00Z", "sentDateTime": "2026-11-24T09:59:58Z", "isDraft": False,
        "internetMessageHeaders": entries, "body": {"contentType": "text", "content": "Hello"}, **fields,
    }  # fmt: skip


def test_a_received_mail_is_told_by_its_own_header_fields() -> None:
    fields = {"Received": "from x", "From": "Pat <pat@gmail.com>", "To": "amy@practice.example", "References": "<0@x.example>"}
    facts = facts_of(shown(headers=fields | {"Auto-Submitted": "auto-replied"}), OWN, FOLDERS)
    assert (facts.direction, facts.provider_thread_id, facts.references) == (Direction.INBOUND, "AAQk-1", ("<0@x.example>",))
    assert facts.sender is not None
    assert (facts.sender.key, facts.is_automatic, facts.is_readable) == ("pat@gmail.com", True, True)
    assert facts.received_at == datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_a_sent_copy_without_header_fields_is_told_by_its_properties() -> None:
    sent = shown(
        "F-sent", **{"from": person("amy@practice.example", 'Amy "A." Stone')},
        toRecipients=[person("pat@gmail.com", "Rivers, Pat")], bccRecipients=[person("jo@gmail.com")],
        singleValueExtendedProperties=[{"id": MARK, "value": str(REF)}],
    )  # fmt: skip
    facts = facts_of(sent, OWN, FOLDERS)
    assert (facts.direction, facts.crm_ref, facts.internet_message_id) == (Direction.OUTBOUND, REF, "<1@gmail.com>")
    assert [p.key for p in facts.recipients] == ["pat@gmail.com", "jo@gmail.com"]
    assert facts.to[0].name == "Rivers, Pat"
    assert facts.received_at == datetime(2026, 11, 24, 9, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("folder", "headers", "direction"),
    [
        ("F-in", {}, Direction.INBOUND),
        ("F-in", {"Received": "from evil"}, Direction.INBOUND),
        ("F-else", {"Received": "from evil"}, Direction.INBOUND),
        ("F-bin", {}, Direction.OUTBOUND),
        ("F-sent", {}, Direction.OUTBOUND),
    ],
)
def test_an_own_address_in_from_makes_no_mail_our_own(folder: str, headers: dict[str, str], direction: Direction) -> None:
    facts = facts_of(shown(folder, headers | {"X-CRM-Ref": str(REF)}, **{"from": person("amy@practice.example")}), OWN, FOLDERS)
    assert facts.direction is direction
    assert (facts.crm_ref == REF) is (direction is Direction.OUTBOUND)


def test_a_mail_that_was_dragged_among_the_sent_stays_received() -> None:
    fields = {"Received": "from x", "From": "pat@gmail.com"}
    assert facts_of(shown("F-sent", fields), OWN, FOLDERS).direction is Direction.INBOUND


def test_junk_and_bin_are_said() -> None:
    assert facts_of(shown("F-junk"), OWN, FOLDERS).is_spam
    assert facts_of(shown("F-bin"), OWN, FOLDERS).is_trash


@pytest.mark.parametrize(
    "odd",
    [
        {"from": None}, {"from": {"emailAddress": None}}, {"from": "x"}, {"from": person("/O=EXCHANGE/CN=AMY")}, {"toRecipients": None},
        {"toRecipients": ["x", {"emailAddress": {}}]}, {"receivedDateTime": "soon"}, {"internetMessageHeaders": [1, {"name": None}]},
        {"internetMessageHeaders": None}, {"body": None}, {"body": {"contentType": 7, "content": 7}}, {"conversationId": None},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_odd_stops_the_reading(odd: dict[str, Any]) -> None:
    mail = mail_of(shown(**odd), [], OWN, FOLDERS)
    assert mail.facts.provider_message_id == "AAkA-1"
    if "from" in odd:
        assert mail.facts.sender is None


def test_attachments_stay_behind_their_ids_whatever_their_kind() -> None:
    files = files_of([
        {"id": "1", "name": "a.pdf", "contentType": "application/pdf", "size": 9, "contentId": "<p1>"},
        {"id": "2", "name": "Your visit", "@odata.type": "#microsoft.graph.itemAttachment", "size": 5},
        {"id": "3", "name": "", "contentType": "text/plain", "size": -1},
        {"id": "4", "name": "../../etc/passwd", "contentType": None, "size": "x"},
    ])  # fmt: skip
    assert [(f.name, f.remote_id, f.size, f.data) for f in files] == [
        ("a.pdf", "1", 9, None), ("Your visit.eml", "2", 5, None), ("text.txt", "3", 0, None), (files[3].name, "4", 0, None),
    ]  # fmt: skip
    assert files[0].content_id == "p1"
    assert "/" not in files[3].name


# letters of ours -----------------------------------------------------------------------------------------------------


def letter(**fields: Any) -> bytes:
    values: dict[str, Any] = {
        "sender": AMY, "to": (PAT,), "subject": "Grüße", "text": "Hello", "crm_ref": REF, "written_at": datetime(2026, 11, 24, tzinfo=UTC),
    }  # fmt: skip
    return build_mime(OutgoingMail(**(values | fields)))


@pytest.mark.provider_fault(28)
def test_a_reply_names_everybody_and_only_fields_that_graph_takes() -> None:
    picture = OutgoingPicture("pic1", "p.png", "image/png", b"\x89PNG")
    raw = letter(
        parent_id="<1@gmail.com>", references="<0@x.example> <1@gmail.com>", cc=(AMY,), bcc=(PAT,), html='<p>Hi</p><img src="cid:pic1">',
        pictures=(picture,), files=(OutgoingFile("Prüfung.pdf", "application/pdf", b"%PDF"),),
    )  # fmt: skip
    read = read_letter(raw)
    found = properties(read)
    assert (read.parent_id, found["subject"], found["body"]["contentType"]) == ("<1@gmail.com>", "Grüße", "html")
    assert "<p>Hi</p>" in found["body"]["content"]
    assert [found[key][0]["emailAddress"]["address"] for key in ("toRecipients", "ccRecipients", "bccRecipients")] == [
        PAT.email, AMY.email, PAT.email,
    ]  # fmt: skip
    assert found["internetMessageHeaders"] == [{"name": "x-crm-ref", "value": str(REF)}]
    assert mark(read)["singleValueExtendedProperties"] == [{"id": MARK, "value": str(REF)}]
    assert [(f.name, f.content_id, f.data) for f in enclosures(read)] == [
        ("p.png", "pic1", b"\x89PNG"), ("Prüfung.pdf", "", b"%PDF"),
    ]  # fmt: skip


@pytest.mark.provider_fault(29)
def test_what_one_request_cannot_take_is_divided_and_nothing_is_lost() -> None:
    files = (OutgoingFile("a.pdf", "application/pdf", b"a" * 2_000_000), OutgoingFile("b.txt", "text/plain", b"b" * 2_000_000))
    read = read_letter(letter(files=files, text="The text", html="<p>The text</p>"))
    divided = without_files(read)
    assert divided is not None
    rest, parted = divided
    assert [(file.name, file.data) for file in parted] == [(file.name, file.data) for file in files]
    kept = message_from_bytes(rest, policy=SMTP)
    assert kept["X-CRM-Ref"] == str(REF)
    assert b"The text" in rest
    assert not list(kept.iter_attachments())  # type: ignore[attr-defined]



def test_a_text_too_large_for_one_request_is_refused() -> None:
    read = read_letter(letter(text=("x" * 900 + "\n") * 3_400))
    assert without_files(read) is None
    with pytest.raises(Refused) as error:
        properties(read)
    assert error.value.status == 413
