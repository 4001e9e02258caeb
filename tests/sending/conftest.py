"""A person at their desk: an account, a contact with a mailbox, and the person's own mailbox, connected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.models import Account, Connection, Contact, MailRelay, Message, OutboxMail, User
from portal.sending import outbox
from tests import factories
from tests.sending.bulk_desk import Practice
from tests.services.programs import Sandbox

OWN, PATIENT, SPOUSE = "tomas@gmail.example", "priya@mail.example", "anil@mail.example"


@dataclass
class Desk:
    """Who writes to whom, and what became of it here and at the provider."""

    sandbox: Sandbox
    account: Account
    user: User
    contact: Contact
    connection: Connection

    def form(self, **values: Any) -> dict[str, Any]:
        """A filled form of a mail."""
        return {"token": "t1", "action": "send", "subject": "Swelling", "text": "How is it today?"} | values

    def mails(self) -> list[OutboxMail]:
        """The outbox, oldest first."""
        db.session.expire_all()
        return list(db.session.scalars(select(OutboxMail).order_by(OutboxMail.id)))

    def message(self) -> Message:
        """The newest message."""
        db.session.expire_all()
        return db.session.scalars(select(Message).order_by(Message.id.desc())).first()  # type: ignore[return-value]

    def use_relay(self, state: str = "disconnected", **values: Any) -> MailRelay:
        """Give the account a mail server (the stand-in's sink), and take the person's mailbox away."""
        self.connection.state = state
        self.connection.disconnected_at = now() if state == "disconnected" else None
        relay = factories.make_relay(self.account, self.sandbox.smtp_port, **values)
        db.session.commit()
        return relay

    def pass_time(self, seconds: float) -> None:
        """Move the portal's clock on."""
        clock.set_offset(clock.offset_seconds() + int(seconds), allowed=True)

    def deliver(self) -> list[str]:
        """Let the worker try every mail once; the states they are left in."""
        ids = [mail.id for mail in self.mails()]
        db.session.commit()
        return [outbox.deliver(mail_id) for mail_id in ids]

    def sent(self) -> list[dict[str, Any]]:
        """What the provider has in Sent."""
        return [mail for mail in self.sandbox.messages(OWN) if "SENT" in mail["labels"]]

    def received(self) -> list[dict[str, Any]]:
        """What the contact got."""
        return self.sandbox.messages(PATIENT)

    def sends(self) -> int:
        """How often the provider was asked to send."""
        calls = self.sandbox.requests(path="messages/send")
        return len([call for call in calls if call["method"] == "POST"])


@pytest.fixture
def desk(app: Flask, sandbox: Sandbox) -> Desk:
    """A provider at her desk with a connected mailbox at the stand-in."""
    for address, name in ((OWN, "Tomas Berg"), (PATIENT, "Priya Raman"), (SPOUSE, "Anil Raman")):
        sandbox.add_mailbox(address, name)
    granted = sandbox.call("POST", f"/users/{OWN}/grant", json={})
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email="tomas@lumen.example")
    grant = factories.make_grant(user, OWN, refresh_token=granted["refresh_token"], subject=granted["sub"])
    connection = factories.make_connection(account, user, OWN, grant=grant, is_consumer=True)
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    db.session.commit()
    return Desk(sandbox, account, user, contact, connection)


@pytest.fixture
def press(desk: Desk, client: Any) -> Callable[..., Any]:
    """Press Send in the compose form."""
    client.sign_in(desk.user)

    def send(**values: Any) -> Any:
        return client.post(f"/contacts/{desk.contact.id}/mail", data=desk.form(**values))

    return send


@pytest.fixture
def practice(app: Flask, sandbox: Sandbox) -> Practice:
    """A practice whose mail server is the stand-in's sink."""
    account = factories.make_account()
    user = factories.make_member(account, "owner", name="Tomas Berg", email="tomas@lumen.example")
    relay = factories.make_relay(account, sandbox.smtp_port)
    db.session.commit()
    return Practice(sandbox, account, user, relay)
