"""One conversation: what stands in it, in what state, and that reading it is recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from portal.conversations import thread
from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, Connection, Mention
from tests import factories
from tests.conversations.conftest import OWN, Practice, add_file


def page_of(reader: Any, practice: Practice, query: str = "") -> str:
    """The page's text."""
    answer = reader.get(f"/conversations/{practice.conversation.id}{query}")
    assert answer.status_code == 200
    text: str = answer.text
    return text


def test_a_mail_with_its_people_quotes_and_files(reader: Any, practice: Practice) -> None:
    message = factories.make_message(
        practice.conversation,
        "Softer today.\n\nOn Mon, Nov 23, 2026 at 8:20 AM Tomas wrote:\n> Keep it cold.",
        people={"from": ["priya@mail.example"], "to": [OWN], "cc": ["n.ortiz@mail.example"]},
    )
    add_file(message, "front.jpg", b"\xff\xd8\xff", "image/jpeg")
    add_file(message, "smile.mp4", b"", "video/mp4", state="left_out", reason="too_large", size=40_000_000)
    page = page_of(reader, practice)
    assert "to you, CC n.ortiz@mail.example" in page
    assert "Show quoted text" in page
    assert page.index("Softer today.") < page.index("Show quoted text") < page.index("Keep it cold.")
    assert "front.jpg" in page
    assert "not scanned" in page
    assert "Sync takes up to 25 MB of files per mail. Your mailbox still has it." in page


def test_older_mails_are_folded_and_long_threads_are_cut(
    reader: Any, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "SHOWN_MESSAGES", 3)
    for number in range(5):
        moment = now() - timedelta(hours=5 - number)
        factories.make_message(practice.conversation, f"Mail number {number}.", sent_at=moment)
    page = page_of(reader, practice)
    assert page.count('<details class="folded"') == 1
    assert "Mail number 1." not in page
    assert "2 older mails" in page
    assert "Mail number 0." in page_of(reader, practice, "?all=1")


@pytest.mark.rule("O-03")
@pytest.mark.parametrize(("provider", "service"), [("google", "Gmail"), ("microsoft", "Outlook")])
def test_each_mail_says_which_way_it_took(reader: Any, practice: Practice, provider: str, service: str) -> None:
    db.session.get_one(Connection, practice.conversation.connection_id).provider = provider
    ways: list[tuple[str, dict[str, Any]]] = [("crm", {}), ("mailbox", {}), ("bcc", {}), ("crm", {"connection_id": None})]
    for origin, values in ways:
        factories.make_message(practice.conversation, direction="outbound", origin=origin, **values)
    page = page_of(reader, practice)
    assert f"with your {service} mailbox" in page
    assert f"written in the CRM, sent by {service}" in page
    assert f"sent from {service}" in page
    assert "logged by BCC Sync" in page
    assert "sent by the practice’s mail server" in page


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "In sync</strong> with your Gmail mailbox"),
        ({"state": "ended", "ended_cause": "updated"}, "Ended</strong>: the address was updated"),
        ({"state": "ended", "ended_cause": "disconnected"}, "Ended</strong>: the mailbox was disconnected"),
    ],
)
@pytest.mark.rule("G-16")
@pytest.mark.rule("G-17")
def test_the_state_of_the_sync_is_a_sentence(
    reader: Any, practice: Practice, values: dict[str, Any], words: str
) -> None:
    factories.make_message(practice.conversation, "Kept.")
    for name, value in values.items():
        setattr(practice.conversation, name, value)
    practice.conversation.ended_at = now()
    page = page_of(reader, practice)
    assert words in page
    assert "Kept." in page
    assert ("What was synced stays here" in page) is bool(values)
    assert ('name="text"' in page) is not bool(values)


@pytest.mark.rule("G-18")
@pytest.mark.parametrize(("state", "words"), [("needs_attention", "reconnect it on My Profile"), ("paused", "says why")])
def test_a_mailbox_in_trouble_is_said_on_top_of_the_thread(
    reader: Any, practice: Practice, state: str, words: str
) -> None:
    practice.connection.state = state
    assert words in page_of(reader, practice)


@pytest.mark.rule("G-11")
def test_contacts_in_copy_are_named_beside_the_thread(reader: Any, practice: Practice) -> None:
    spouse = factories.make_contact(practice.account, "anil@mail.example", "Anil Raman")
    message = factories.make_message(
        practice.conversation, people={"from": ["priya@mail.example"], "to": [OWN], "cc": ["anil@mail.example"]}
    )
    db.session.add(
        Mention(
            account_id=practice.account.id, contact_id=spouse.id, message_id=message.id,
            conversation_id=practice.conversation.id, field="cc",
        )
    )  # fmt: skip
    page = page_of(reader, practice)
    assert "Also mentioned on" in page
    assert f"/contacts/{spouse.id}" in page


def test_who_can_read_is_counted_by_the_table_that_enforces_it(reader: Any, practice: Practice) -> None:
    factories.make_member(practice.account, "front_desk")
    factories.make_member(practice.account, "front_desk", state="deactivated")
    factories.make_member(practice.account, "marketing")
    page = page_of(reader, practice)
    side = page[page.index("Who can read this") :]
    assert "<dt>Provider</dt><dd>1 person</dd>" in side
    assert "<dt>Front desk</dt><dd>1 person</dd>" in side
    assert "<dt>Marketing</dt><dd>no</dd>" in side


@pytest.mark.requirement("WEB-6")
def test_what_strangers_write_is_text_on_the_page(reader: Any, practice: Practice) -> None:
    bad = "<script>alert(1)</script>"
    message = factories.make_message(practice.conversation, bad, subject=bad)
    message.participants[0].name = bad
    practice.contact.first_name = bad
    add_file(message, f"{bad}.txt")
    page = page_of(reader, practice)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.requirement("AUD-4")
def test_every_reading_is_one_audit_event_without_content(reader: Any, practice: Practice) -> None:
    factories.make_message(practice.conversation, "CANARY", subject="CANARY")
    page_of(reader, practice)
    page_of(reader, practice)
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:conversation:read").order_by(AuditEvent.created_at, AuditEvent.id)).all()
    assert [(e.actor_id, e.object_id, e.details) for e in events] == [
        (practice.user.id, practice.conversation.id, {"messages": 1})
    ] * 2


@pytest.mark.requirement("AUD-5")
@pytest.mark.fault(28)
def test_without_the_audit_event_nothing_is_shown(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation, "CANARY", html="<p>CANARY</p>")
    file = add_file(message, data=b"CANARY")
    addresses = (f"/conversations/{practice.conversation.id}", f"/attachments/{file.id}", f"/messages/{message.id}/html")
    reader.application.testing = False
    event.listen(Session, "before_flush", _refuse_audit)
    try:
        for address in addresses:
            answer = reader.get(address)
            assert answer.status_code == 500
            assert "CANARY" not in answer.text
    finally:
        event.remove(Session, "before_flush", _refuse_audit)
        reader.application.testing = True


def _refuse_audit(session: Session, _context: Any, _instances: Any) -> None:
    if any(isinstance(row, AuditEvent) for row in session.new):
        raise RuntimeError("the audit trail cannot be written")


def test_a_damaged_text_does_not_take_the_page_down(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation, "whole")
    message.snippet = message.subject = b"damaged"
    practice.conversation.subject = b"damaged"
    assert "(could not be opened)" in page_of(reader, practice)
