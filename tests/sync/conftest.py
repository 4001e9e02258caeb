"""A practice with one connected mailbox at the stand-in, and the words to let mail happen there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal.connections.tokens import REFRESH_TOKEN, owner_of
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Connection, Contact, Conversation, Decision, Message, MessageBody, User
from portal.providers.google import fetching
from portal.sealing import open_text, seal_text
from portal.sync import page, service, writing
from tests import factories
from tests.services.programs import Sandbox

OWN, PATIENT, OTHER = "tomas@gmail.example", "priya@mail.example", "anil@mail.example"
COLLEAGUE, STRANGER = "dana@lumen.example", "stranger@elsewhere.example"


@dataclass
class Practice:
    """One account with one connected mailbox, and its contact Priya."""

    sandbox: Sandbox
    account: Account
    user: User
    contact: Contact
    connection: Connection

    def arrives(self, sender: str = PATIENT, *, to: str = OWN, subject: str = "Swelling", text: str = "Is this normal?",
                **headers: str) -> str:  # fmt: skip
        """A mail arrives in the mailbox from outside; its id there. Keywords are headers (In_Reply_To, Cc, …)."""
        params = {name: headers.pop(name) for name in ("labels", "internal_date", "exact", "box") if name in headers}
        lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", "Date: Tue, 24 Nov 2026 09:00:00 +0000"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        raw = "\r\n".join([*lines, "", text, ""]).encode()
        box = params.pop("box", OWN)
        return str(self.sandbox.deliver(raw, box, **params)[box])

    def arrives_raw(self, raw: bytes, **params: Any) -> str:
        """Bytes arrive as they are."""
        return str(self.sandbox.deliver(raw, OWN, exact=1, **params)[OWN])

    def writes(self, to: str, *, subject: str = "Your visit", text: str = "See you.", **letter: Any) -> dict[str, Any]:
        """The person writes in Gmail itself."""
        letter |= {} if "forward_of" in letter else {"subject": subject}
        sent: dict[str, Any] = self.sandbox.call("POST", f"/mailboxes/{OWN}/send", json={"to": to, "text": text, **letter})
        return sent

    def replies(self, message_id: str, *, text: str = "Yes.", box: str = OWN, **letter: Any) -> dict[str, Any]:
        """The owner of `box` answers a message there."""
        sent: dict[str, Any] = self.sandbox.call(
            "POST", f"/mailboxes/{box}/send", json={"reply_to": message_id, "text": text, **letter}
        )
        return sent

    def sync(self) -> str:
        """One job."""
        db.session.commit()
        word = service.sync_mailbox(self.connection.id)
        db.session.expire_all()
        return word

    def decisions(self) -> dict[str, Decision]:
        """All of them by provider id."""
        db.session.expire_all()
        query = (
            select(Decision).where(Decision.connection_id == self.connection.id).order_by(Decision.decided_at, Decision.id)
        )
        return {row.provider_message_id: row for row in db.session.scalars(query)}

    def reason(self, message_id: str) -> str:
        """Why a mail is or is not in the CRM."""
        return self.decisions()[message_id].reason

    def messages(self) -> list[Message]:
        """Logged messages, oldest first."""
        db.session.expire_all()
        return list(db.session.scalars(select(Message).order_by(Message.sent_at, Message.id)))

    def conversations(self) -> list[Conversation]:
        """Conversations, oldest first."""
        db.session.expire_all()
        return list(db.session.scalars(select(Conversation).order_by(Conversation.id)))

    def text(self, message: Message) -> str:
        """A message's text in clear."""
        body = db.session.get_one(MessageBody, message.id)
        return open_text(body.text, "message_body.text", message.account_id, message.id)

    def subject(self, message: Message) -> str:
        """A message's subject in clear."""
        return open_text(message.subject, "message.subject", message.account_id, message.id)

    def calls(self, path: str = "") -> list[dict[str, Any]]:
        """What was asked of the provider."""
        return self.sandbox.requests(path=path)

    def is_consistent(self) -> bool:
        """Seen = decided, counts of conversations are right, no message twice."""
        db.session.expire_all()
        decided = db.session.scalar(select(func.count()).select_from(Decision)) or 0
        seen = sum(db.session.scalars(select(Connection.seen)))
        for conversation in db.session.scalars(select(Conversation)):
            query = select(func.count(), func.max(Message.sent_at)).where(Message.conversation_id == conversation.id)
            count, last = db.session.execute(query).one()
            if conversation.message_count != count or conversation.last_message_at != last:
                return False
        return bool(decided == seen)


def connect(sandbox: Sandbox, account: Account, user: User, mailbox: str, **values: Any) -> Connection:
    """A connection with a real grant at the stand-in, beginning now, acknowledged."""
    granted = sandbox.call("POST", f"/users/{mailbox}/grant", json={})
    cursor = sandbox.call("GET", f"/mailboxes/{mailbox}")["history_id"]
    grant = values.pop("grant", None) or factories.make_grant(user, mailbox, subject=granted["sub"])
    grant.refresh_token = seal_text(granted["refresh_token"], REFRESH_TOKEN, owner_of(grant), grant.id)
    grant.access_token = grant.access_expires_at = grant.revoke_pending_at = None
    since = values.pop("connected_at", now() - timedelta(seconds=2))
    row = factories.make_connection(account, user, mailbox, grant=grant, cursor=str(cursor), connected_at=since, **values)
    factories.make_signature(account, user)
    db.session.commit()
    return row


@pytest.fixture
def practice(app: Flask, sandbox: Sandbox) -> Practice:
    """Tomas with his mailbox connected two seconds ago; Priya and Anil have mailboxes, Priya is a contact."""
    people: Iterable[tuple[str, str]] = ((OWN, "Tomas Berg"), (PATIENT, "Priya Raman"), (OTHER, "Anil Raman"))
    for address, name in people:
        sandbox.add_mailbox(address, name)
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email="tomas@lumen.example")
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    connection = connect(sandbox, account, user, OWN)
    return Practice(sandbox, account, user, contact, connection)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of a batch in place of seven, so that no test waits for what stays broken."""
    monkeypatch.setattr(fetching, "TRIES", 2)


def second_place(practice: Practice, user: User | None = None) -> tuple[Account, Connection]:
    """Another account in which Tomas has connected the same mailbox, over the same grant."""
    account = factories.make_account()
    user = factories.make_member(account, user=practice.user)
    connection = connect(practice.sandbox, account, user, OWN, grant=practice.connection.grant)
    return account, connection


def reasons(connection: Connection) -> dict[str, str]:
    """Reasons by provider id."""
    db.session.expire_all()
    rows = db.session.scalars(select(Decision).where(Decision.connection_id == connection.id))
    return {row.provider_message_id: row.reason for row in rows}


class Killed(BaseException):
    """Stands for the death of a process: nothing catches it, nothing is settled."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the next sync in this process die at a point of portal/faultpoint.py; "" for nowhere."""
    wanted = {"point": ""}

    def at(name: str) -> None:
        if name == wanted["point"]:
            wanted["point"] = ""
            raise Killed(name)

    for module in (page, writing):
        monkeypatch.setattr(module, "crash_point", at)
    monkeypatch.setattr(service, "crash_point", at)

    def choose(name: str) -> None:
        wanted["point"] = name

    return choose


def expire_lease(connection: Connection) -> None:
    """As if the time of a lease had passed."""
    db.session.expire_all()
    if connection.lease_until is not None:
        connection.lease_until = now() - timedelta(seconds=1)
    db.session.commit()
