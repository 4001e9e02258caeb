"""Mail written in the CRM meets its own sent copy, and delivery reports come back."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select

from portal.database import db
from portal.models import ConversationThread, Message, OutboxMail
from portal.sending import outbox
from portal.sending.individual import prepare
from portal.sending.letters import NewMail
from tests import factories
from tests.sync.conftest import OTHER, OWN, PATIENT, Practice


def compose(practice: Practice, **values: object) -> OutboxMail:
    """Tomas writes to Priya in the CRM; the mail waits in the outbox."""
    mail = NewMail(
        **{"kind": "new", "token": uuid4().hex, "contact": practice.contact, "subject": "Your visit", "text": "Hello."}
        | values  # type: ignore[arg-type]
    )
    row = prepare(practice.user, mail).outbox
    db.session.commit()
    return row


@pytest.mark.rule("G-19")
@pytest.mark.provider_fault(20)
def test_sent_copy_is_no_second_message(practice: Practice) -> None:
    row = compose(practice)
    assert outbox.deliver(row.id) == "sent"
    practice.sync()
    [message] = practice.messages()
    [decision] = practice.decisions().values()
    assert (decision.reason, decision.message_id) == ("sent_from_crm", message.id)
    assert message.internet_message_id.endswith("@mail.gmail.com>")  # the provider's, not ours
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT)
    practice.sync()
    assert [m.direction for m in practice.messages()] == ["outbound", "inbound"]
    assert len(practice.conversations()) == 1
    assert practice.is_consistent()


@pytest.mark.rule("G-19")
@pytest.mark.provider_fault(18)
def test_sync_meets_the_copy_before_the_answer_of_the_send(practice: Practice) -> None:
    """The answer was lost: the copy's reference tells which mail it is, and fills its ids in."""
    row = compose(practice)
    practice.sandbox.fault(method="POST", path="*messages/send*", times=1, drop=True, after_effect=True)
    assert outbox.deliver(row.id) == "unknown"
    practice.sync()
    [message] = practice.messages()
    assert message.state == "sent"
    assert message.provider_message_id is not None
    [link] = db.session.scalars(select(ConversationThread))
    assert link.provider_thread_id == message.provider_thread_id
    db.session.get_one(OutboxMail, row.id).next_try_at = message.sent_at
    db.session.commit()
    assert outbox.deliver(row.id) == ""
    assert db.session.get_one(OutboxMail, row.id).state == "sent"
    assert len(practice.sandbox.messages(PATIENT)) == 1


@pytest.mark.rule("G-04")
@pytest.mark.rule("G-11")
def test_individual_mail_from_the_crm_starts_the_sync_of_a_thread(practice: Practice) -> None:
    """Somebody copied answers to all: the mail is filed with the conversation that the CRM began."""
    factories.make_contact(practice.account, OTHER, "Anil Raman")
    row = compose(practice)
    outbox.deliver(row.id)
    practice.sync()
    sent = next(m for m in practice.sandbox.messages(OWN) if "SENT" in m["labels"])
    follow_up = practice.replies(sent["id"], reply_all=True, text="One more thing.")
    practice.sync()
    assert practice.reason(follow_up["id"]) == "user_replied"


def test_an_inbound_reference_proves_nothing(practice: Practice) -> None:
    """The contact's answer may quote our X-CRM-Ref; it is their mail all the same."""
    row = compose(practice)
    outbox.deliver(row.id)
    practice.sync()
    mail = practice.arrives(X_CRM_Ref=str(row.crm_ref))
    practice.sync()
    assert practice.reason(mail) == "contact_wrote"
    assert len(practice.messages()) == 2


@pytest.mark.rule("G-22")
@pytest.mark.provider_fault(19)
@pytest.mark.parametrize("over_cap", [False, True])
def test_bounce_marks_the_sent_mail_as_failed(practice: Practice, over_cap: bool) -> None:
    if over_cap:
        practice.sandbox.quirk("send_bounce", times=1)
    else:
        practice.contact.email = practice.contact.email_key = "nobody@mail.example"
    row = compose(practice)
    assert outbox.deliver(row.id) == "sent"
    assert practice.sync() == "synced"
    db.session.expire_all()
    [message] = db.session.scalars(select(Message))
    assert message.state == "failed"
    outbox_row = db.session.get_one(OutboxMail, row.id)
    assert outbox_row.state == "failed"
    assert outbox_row.error
    assert sorted(d.reason for d in practice.decisions().values()) == ["bounce", "sent_from_crm"]
    assert practice.sync() == "synced"  # met once, told once


def test_a_foreign_delivery_report_touches_nothing(practice: Practice) -> None:
    row = compose(practice)
    outbox.deliver(row.id)
    practice.sync()
    report = practice.arrives("Mail Delivery <mailer-daemon@elsewhere.example>", References="<unknown@x.example>")
    practice.sync()
    assert practice.reason(report) == "bounce"
    assert [m.state for m in practice.messages()] == ["sent"]


@pytest.mark.rule("G-22")
def test_a_notice_of_delay_fails_nothing(practice: Practice) -> None:
    """The provider still tries; only a failure is one."""
    row = compose(practice)
    outbox.deliver(row.id)
    practice.sync()
    [message] = practice.messages()
    notice = practice.arrives(
        "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
        subject="Delivery Status Notification (Delay)",
        In_Reply_To=message.internet_message_id,
        Auto_Submitted="auto-replied",
    )
    practice.sync()
    assert practice.reason(notice) == "automatic_reply"
    assert [m.state for m in practice.messages()] == ["sent"]
