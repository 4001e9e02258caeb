"""A new mail from the CRM, as far as the contact's mailbox."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.models import AuditEvent, Conversation, ConversationThread, Mention, Participant
from tests import factories
from tests.sending.conftest import OWN, PATIENT, SPOUSE, Desk


@pytest.mark.rule("G-04")
@pytest.mark.rule("S-03")
@pytest.mark.provider_fault(20)
def test_a_mail_leaves_through_the_mailbox_and_begins_a_conversation(desk: Desk, press: Callable[..., Any]) -> None:
    answer = press()
    conversation = db.session.scalars(select(Conversation)).one()
    assert answer.headers["Location"].endswith(f"/conversations/{conversation.id}")
    assert desk.sends() == 0  # only the worker speaks to the provider
    assert desk.deliver() == ["sent"]
    (sent,), (got,) = desk.sent(), desk.received()
    message = desk.message()
    assert got["headers"]["from"] == f"Tomas Berg <{OWN}>"
    assert (got["headers"]["subject"], got["text"].strip()) == ("Swelling", "How is it today?")
    # The provider rewrote the Message-ID; replies will name that one.
    assert message.internet_message_id == sent["headers"]["message_id"] == got["headers"]["message_id"]
    assert (message.provider_message_id, message.state) == (sent["id"], "sent")
    assert desk.mails()[0].raw is None
    link = db.session.scalars(select(ConversationThread)).one()
    assert (link.provider_thread_id, link.conversation_id) == (sent["thread_id"], conversation.id)


@pytest.mark.rule("G-11")
def test_contacts_in_copy_are_mentioned_and_nobody_is_created(desk: Desk, press: Callable[..., Any]) -> None:
    spouse = factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    press(cc=f"{SPOUSE}, stranger@mail.example, {PATIENT}", bcc=SPOUSE)
    assert desk.deliver() == ["sent"]
    mentions = db.session.scalars(select(Mention)).all()
    assert [(m.contact_id, m.field) for m in mentions] == [(spouse.id, "cc")]
    fields = {(p.field, p.email) for p in db.session.scalars(select(Participant))}
    assert fields == {("from", OWN), ("to", PATIENT), ("cc", SPOUSE), ("cc", "stranger@mail.example")}
    assert len(desk.sandbox.messages(SPOUSE)) == 1


def test_a_blind_copy_arrives_unseen(desk: Desk, press: Callable[..., Any]) -> None:
    press(bcc=SPOUSE)
    desk.deliver()
    (copy,) = desk.sandbox.messages(SPOUSE)
    assert copy["headers"]["bcc"] == ""
    assert SPOUSE not in str(desk.received()[0]["headers"])


@pytest.mark.requirement("NET-4")
@pytest.mark.bad_input(41)
def test_a_second_press_of_the_same_form_is_the_same_mail(desk: Desk, press: Callable[..., Any]) -> None:
    first, second = press(), press()
    assert first.headers["Location"] == second.headers["Location"]
    assert desk.deliver() == ["sent"]
    press()
    assert desk.deliver() == [""]
    assert (len(desk.received()), desk.sends()) == (1, 1)


@pytest.mark.requirement("NET-4")
@pytest.mark.bad_input(41)
def test_two_presses_at_the_same_moment_are_one_mail(desk: Desk, app: Flask) -> None:
    clients = [app.test_client().sign_in(desk.user) for _ in range(4)]
    address = f"/contacts/{desk.contact.id}/mail"
    db.session.commit()

    def press_in_thread(client: Any) -> int:
        with app.app_context():
            status: int = client.post(address, data=desk.form()).status_code
            return status

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(press_in_thread, clients)) == [303] * 4
    assert len(desk.mails()) == 1
    assert len(db.session.scalars(select(Conversation)).all()) == 1


@pytest.mark.requirement("NET-3")
@pytest.mark.bad_input(37)
@pytest.mark.parametrize("field", ["subject", "cc", "bcc", "people"])
def test_no_field_takes_another_header(desk: Desk, press: Callable[..., Any], field: str) -> None:
    for text in ("a@x.example\r\nBcc: eve@evil.example", "a@x.example\rX: y", "a@x.example\0"):
        answer = press(**{field: text})
        assert answer.status_code == 400
        assert "Write it on one line" in answer.text
        assert "How is it today?" in answer.text
    assert (desk.mails(), desk.sends()) == ([], 0)


@pytest.mark.bad_input(37)
@pytest.mark.bad_input(38)
def test_what_is_no_address_is_said_at_its_field(desk: Desk, press: Callable[..., Any]) -> None:
    for text in ("<script>alert(1)</script>", "a@b", "anil", "a@x.example b@y.example", "ä@x.example"):
        answer = press(cc=text)
        assert answer.status_code == 400
        assert "is not an address that mail can go to" in answer.text
        assert "<script>alert" not in answer.text
    assert desk.mails() == []


@pytest.mark.bad_input(35)
def test_what_is_too_long_or_missing_is_refused(desk: Desk, press: Callable[..., Any]) -> None:
    for values in ({"subject": "x" * 251}, {"text": "x" * 100_001}, {"text": "  "}, {"token": "a b"}):
        assert press(**values).status_code == 400
    assert desk.mails() == []


@pytest.mark.bad_input(34)
def test_fields_that_are_not_the_forms_change_nothing(desk: Desk, press: Callable[..., Any]) -> None:
    other = factories.make_account()
    press(account_id=str(other.id), user_id="1", state="sent", contact_id="2", to="eve@evil.example")
    mail = desk.mails()[0]
    assert (mail.account_id, mail.user_id, mail.state) == (desk.account.id, desk.user.id, "prepared")
    assert desk.deliver() == ["sent"]
    assert desk.sent()[0]["headers"]["to"].endswith(f"<{PATIENT}>")


@pytest.mark.requirement("TEN-1")
def test_another_accounts_contact_is_nowhere(desk: Desk, client: Any) -> None:
    foreign = factories.make_contact(factories.make_account())
    client.sign_in(desk.user)
    assert client.get(f"/contacts/{foreign.id}/mail").status_code == 404
    assert client.post(f"/contacts/{foreign.id}/mail", data=desk.form()).status_code == 404
    assert desk.mails() == []


def test_roles_that_do_not_write_mail_are_refused(desk: Desk, client: Any) -> None:
    client.sign_in(factories.make_member(desk.account, "marketing"))
    assert client.post(f"/contacts/{desk.contact.id}/mail", data=desk.form()).status_code == 403
    assert desk.mails() == []


def test_writing_is_an_audit_event_without_content(desk: Desk, press: Callable[..., Any]) -> None:
    press(subject="CANARY-SUBJECT", text="CANARY-TEXT")
    desk.deliver()
    events = [e for e in db.session.scalars(select(AuditEvent).order_by(AuditEvent.created_at, AuditEvent.id)) if ":mail:" in e.name]
    assert [e.name for e in events] == ["person:mail:prepared", "portal:mail:sent"]
    assert events[0].actor_id == desk.user.id
    assert "CANARY" not in str([e.details for e in events])
