"""Every part as a real process: a person puts their BCC address into a mail in their own mail program."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.bcc.service import address_of, written_address
from portal.database import db
from portal.models import Contact, IntakeMail, Message, TrackedContact
from tests import factories
from tests.intake.bcc_owner import OWNER, PATIENT, STRANGER
from tests.intake.test_whole import until
from tests.services.portal import RunningPortal


def decided() -> list[str]:
    """The reasons of what was judged, oldest first."""
    return [row.reason for row in db.session.scalars(select(IntakeMail).order_by(IntakeMail.id)) if row.reason]


@pytest.mark.rule("B-02")
@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
@pytest.mark.requirement("SMT-1")
@pytest.mark.requirement("SMT-2")
def test_a_mail_with_the_address_comes_in(app: Flask, portal: RunningPortal, client: Any) -> None:
    sandbox = portal.sandbox
    for address, name in ((OWNER, "Tomas Berg"), (PATIENT, "Priya Raman")):
        sandbox.add_mailbox(address, name)
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email=OWNER)
    bcc = written_address(address_of(account.id, user.id))
    db.session.commit()

    sandbox.write(OWNER, to=PATIENT, bcc=bcc, subject="Your visit", text="See you on Monday.")
    message = until(lambda: db.session.scalar(select(Message).where(Message.origin == "bcc")))
    contact = db.session.scalars(select(Contact)).one()
    assert (contact.email, contact.source) == (PATIENT, "bcc_sync")
    assert db.session.scalars(select(TrackedContact)).one().contact_id == contact.id
    client.sign_in(user)
    assert "See you on Monday." in client.get(f"/conversations/{message.conversation_id}").text
    assert len(sandbox.messages(PATIENT)) == 1

    forged = f"From: {OWNER}\r\nTo: {PATIENT}\r\nSubject: s\r\nMessage-ID: <f@x>\r\n\r\nforged\r\n".encode()
    sandbox.deliver(forged, bcc, sender=OWNER)
    until(lambda: decided()[1:] == ["unverified"])
    sandbox.deliver(forged.replace(OWNER.encode(), STRANGER.encode()), bcc, sender=STRANGER)
    until(lambda: decided()[1:] == ["unverified", "foreign_sender"])
    assert sandbox.sink_count() == 0
