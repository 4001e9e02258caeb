"""Forwards: to one contact, with the original's text and files, in that contact's own conversation."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.models import Attachment, Conversation, Message
from portal.sealing import seal_text
from tests import factories
from tests.sending.conftest import PATIENT, SPOUSE, Desk


@pytest.fixture
def original(desk: Desk) -> Message:
    """A mail of Priya's with a file."""
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection, thread="t-priya")
    message = factories.make_message(conversation, "Please ask my husband.")
    row = Attachment(
        id=factories.unknown_id(), account_id=desk.account.id, message_id=message.id, conversation_id=conversation.id,
        content_type="text/plain", size=5, state="stored",
    )  # fmt: skip
    row.name = seal_text("note.txt", "attachment.name", row.account_id, row.id)
    row.store_key = store.put(row.account_id, row.id, b"hello")
    db.session.add(row)
    db.session.commit()
    return message


def forward(desk: Desk, client: Any, message: Message, **values: Any) -> Any:
    """Press Send forward."""
    client.sign_in(desk.user)
    return client.post(f"/messages/{message.id}/forward", data=desk.form(**values))


@pytest.mark.rule("G-06")
@pytest.mark.rule("G-21")
def test_a_forward_stands_in_its_own_contacts_conversation(desk: Desk, client: Any, original: Message) -> None:
    spouse = factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    file_id = str(db.session.scalars(select(Attachment.id)).one())
    client.sign_in(desk.user)
    page = client.get(f"/messages/{original.id}/forward").text
    assert "Please ask my husband." in page
    assert "note.txt" in page
    answer = forward(desk, client, original, to=SPOUSE, subject="Fwd: Swelling", keep=[file_id])
    assert answer.status_code == 303
    assert desk.deliver() == ["sent"]
    (got,) = desk.sandbox.messages(SPOUSE)
    assert got["attachments"] == ["note.txt"]
    assert got["headers"]["in_reply_to"] == ""
    message = desk.message()
    assert message.is_forward
    assert message.conversation_id != original.conversation_id
    assert db.session.get_one(Conversation, message.conversation_id).contact_id == spouse.id
    assert desk.received() == []


@pytest.mark.rule("G-08")
@pytest.mark.parametrize("to", ["stranger@mail.example", "alias@mail.example", "", f"{PATIENT}, {SPOUSE}"])
def test_a_forward_goes_to_one_contacts_primary_address(desk: Desk, client: Any, original: Message, to: str) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman", alternates=("alias@mail.example",))
    answer = forward(desk, client, original, to=to)
    assert answer.status_code == 400
    assert "Nobody here has this as their primary address" in answer.text
    assert desk.mails() == []


def test_files_that_are_not_the_originals_are_not_carried(desk: Desk, client: Any, original: Message) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    forward(desk, client, original, to=SPOUSE, keep=[str(factories.unknown_id())])
    desk.deliver()
    assert desk.sandbox.messages(SPOUSE)[0]["attachments"] == []


@pytest.mark.fault(27)
def test_a_file_that_is_gone_refuses_the_forward(desk: Desk, client: Any, original: Message) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    row = db.session.scalars(select(Attachment)).one()
    store.remove(row.store_key)
    answer = forward(desk, client, original, to=SPOUSE, keep=[str(row.id)])
    assert answer.status_code == 409
    assert "note.txt could not be read from the store" in answer.text
    assert desk.mails() == []
