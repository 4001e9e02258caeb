"""Every part as a real process: a mail leaves through the practice's mail server, and what comes back finds its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.models import Conversation, IntakeMail, Message, OutboxMail
from tests import factories
from tests.intake.conftest import PATIENT
from tests.services.portal import RunningPortal


def until(question: Callable[[], Any], seconds: float = 30) -> Any:
    """What `question` answers once that is something. The test's own session holds no lock while waiting."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        db.session.commit()
        db.session.expire_all()
        if found := question():
            db.session.commit()
            return found
        db.session.commit()
        time.sleep(0.2)
    raise AssertionError(f"nothing came within {seconds} s")


@pytest.mark.rule("S-01")
@pytest.mark.rule("G-22")
@pytest.mark.requirement("SMT-4")
def test_an_answer_and_a_report_come_back(app: Flask, portal: RunningPortal, client: Any) -> None:
    portal.sandbox.add_mailbox(PATIENT, "Priya Raman")
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email="tomas@lumen.example")
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    factories.make_relay(account, portal.sandbox.smtp_port)
    db.session.commit()
    client.sign_in(user)

    def write(token: str) -> None:
        form = {"token": token, "action": "send", "subject": "Swelling", "text": "How is it today?"}
        assert client.post(f"/contacts/{contact.id}/mail", data=form).status_code == 303

    write("t1")
    (mail,) = until(lambda: portal.sandbox.messages(PATIENT))
    portal.sandbox.write(PATIENT, reply_to=mail["id"], text="It feels softer today.")
    answer = until(lambda: db.session.scalar(select(Message).where(Message.origin == "routed")))
    conversation = db.session.scalars(select(Conversation)).one()
    assert (answer.conversation_id, conversation.last_direction) == (conversation.id, "inbound")
    assert "It feels softer today." in client.get(f"/conversations/{conversation.id}").text
    assert [row.reason for row in db.session.scalars(select(IntakeMail))] == ["routed_reply"]

    portal.sandbox.smtp_fault("bounce", status="5.2.2", times=1)
    write("t2")
    failed = until(lambda: db.session.scalar(select(OutboxMail).where(OutboxMail.state == "failed")))
    assert "The mailbox is full. (5.2.2)" in failed.error
    message = db.session.get_one(Message, failed.message_id)
    assert "The mailbox is full. (5.2.2)" in client.get(f"/conversations/{message.conversation_id}").text
    assert portal.sandbox.sink_count() == 2
