"""A practice with a patient, her conversation, and somebody who may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from portal.conversations import store
from portal.database import db
from portal.models import Account, Attachment, Connection, Contact, Conversation, Message, User
from portal.sealing import seal_text
from tests import factories

OWN = "tomas@gmail.example"


@dataclass
class Practice:
    """One location, one reader, one patient."""

    account: Account
    user: User
    contact: Contact
    connection: Connection
    conversation: Conversation


@pytest.fixture
def practice(app: Flask) -> Practice:
    """A conversation without messages yet."""
    account = factories.make_account()
    user = factories.make_member(account, name="Tomas Berg")
    connection = factories.make_connection(account, user, OWN)
    contact = factories.make_contact(account, "priya@mail.example", "Priya Raman")
    conversation = factories.make_conversation(contact, user, connection, subject="Swelling, day 2")
    db.session.commit()
    return Practice(account, user, contact, connection, conversation)


@pytest.fixture
def reader(practice: Practice, client: Any) -> Any:
    """The client, signed in as somebody who may read."""
    client.sign_in(practice.user)
    return client


def add_file(
    message: Message, name: str = "note.txt", data: bytes = b"hello", kind: str = "text/plain", **values: Any
) -> Attachment:
    """A file of a message, stored unless `state` says otherwise."""
    row = Attachment(
        **{
            "id": factories.unknown_id(), "account_id": message.account_id, "message_id": message.id,
            "conversation_id": message.conversation_id, "content_type": kind, "size": len(data), "state": "stored",
        } | values
    )  # fmt: skip
    row.name = seal_text(name, "attachment.name", row.account_id, row.id)
    if row.state == "stored":
        row.store_key = store.put(row.account_id, row.id, data)
    db.session.add(row)
    db.session.commit()
    return row
