"""A practice with a mail server and an automation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.audit.caller import Caller, set_caller
from portal.automations import due
from portal.contacts.details import ContactDetails
from portal.contacts.service import EVERYTHING, create_contact
from portal.database import db
from portal.models import Account, Automation, Contact, Delivery, User
from portal.sending import deliveries
from tests import factories
from tests.services.programs import Sandbox


@dataclass
class House:
    """Who works here, and what became of the automations' mails."""

    sandbox: Sandbox
    account: Account
    user: User

    def automation(self, **values: Any) -> Automation:
        """One that is on."""
        return factories.make_automation(self.account, self.user, **values)

    def contact(self, email: str, name: str = "Priya Raman", **values: Any) -> Contact:
        """A contact, created as a person creates one."""
        first, _, last = name.partition(" ")
        details = ContactDetails.clean(first_name=first, last_name=last, email=email, alternates=[], phone="", notes="")
        made = create_contact(self.account.id, details, accepted=EVERYTHING, **values)
        db.session.commit()
        return made

    def decide(self) -> int:
        """Let the automations look at the new contacts."""
        account_id = self.account.id
        db.session.commit()
        return due.make_due_deliveries(account_id)

    def send(self) -> int:
        """Let the engine work once."""
        account_id = self.account.id
        db.session.commit()
        return deliveries.run(account_id)

    def rows(self) -> list[Delivery]:
        """All deliveries, oldest first."""
        db.session.expire_all()
        return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))

    def states(self) -> Counter[tuple[str, str]]:
        """How many deliveries are in which state, for which cause."""
        return Counter((row.state, row.cause) for row in self.rows())


@pytest.fixture
def house(app: Flask, sandbox: Sandbox) -> House:
    """A mail server, a person of marketing, nobody else."""
    account = factories.make_account(name="Lumen Aesthetics", location="Uptown")
    user = factories.make_member(account, "marketing", email="nora@lumen.example")
    factories.make_relay(account, sandbox.smtp_port)
    set_caller(Caller(user_id=user.id, account_id=account.id))
    db.session.commit()
    return House(sandbox, account, user)
