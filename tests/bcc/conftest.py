"""A practice with a person who uses BCC Sync, and a mail server that takes their code mails."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.policy import default
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.jobs import sending
from portal.models import Account, AuditEvent, User
from portal.queues import SENDING, queue
from tests import factories
from tests.providers.smtp_server import MailServer, Script


@dataclass
class Desk:
    """Maren at her desk, signed in."""

    account: Account
    person: User
    client: Any

    def audited(self, name: str) -> list[dict[str, Any]]:
        """The details of the events with this name, in their order."""
        query = select(AuditEvent.details).where(AuditEvent.name == name, AuditEvent.account_id == self.account.id)
        return list(db.session.scalars(query.order_by(AuditEvent.created_at, AuditEvent.id)))

    def page(self, path: str) -> str:
        """The text of a page that opens."""
        answer = self.client.get(path)
        assert answer.status_code == 200, path
        return str(answer.text)


@pytest.fixture
def desk(app: Flask, client: Any) -> Desk:
    account = factories.make_account()
    person = factories.make_member(account, "provider", name="Maren Holt", email="maren@lumen.example")
    return Desk(account, person, client.sign_in(person))


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server that takes everything until its script says otherwise."""
    running = MailServer(Script())
    yield running
    running.close()


def send_codes() -> None:
    """What the worker does with the codes that were asked for."""
    for job in queue(SENDING).jobs:
        if job.func_name.endswith("send_address_code"):
            sending.send_address_code(*job.args)
            job.delete()
    db.session.expire_all()


def code_in(raw: bytes) -> str:
    """The six digits of a code mail."""
    mail = email.message_from_bytes(raw, policy=default)
    found = re.search(r"^(\d{6})\b", mail.get_body().get_content(), re.MULTILINE)
    assert found is not None
    return found[1]
