"""Files that an Outlook mailbox does not carry are refused before anything leaves, and nothing is lost (O-06)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.lib.ids import new_id
from portal.models import Attachment, AuditEvent, Conversation
from portal.rules.files import MAX_OUTLOOK_BYTES
from portal.sealing import seal_text
from tests import factories
from tests.sending.conftest import Desk

TIFF, TEXT = b"II*\x00" + b"\0" * 64, b"a line of text\n"
Press = Callable[..., Any]


@pytest.fixture
def outlook(desk: Desk) -> Desk:
    """The person's mailbox is an Outlook mailbox."""
    desk.connection.provider = desk.connection.grant.provider = "microsoft"
    factories.make_signature(desk.account, desk.user, provider="microsoft")
    db.session.commit()
    return desk


def attached(name: str, data: bytes) -> dict[str, Any]:
    """A file of the form."""
    return {"files": (io.BytesIO(data), name)}


def is_untouched(desk: Desk) -> bool:
    """Nothing was written and nothing asked."""
    return not desk.mails() and not db.session.scalars(select(Conversation)).all() and not desk.sandbox.requests()


@pytest.mark.rule("O-06")
@pytest.mark.provider_fault(29)
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.txt", TEXT * (MAX_OUTLOOK_BYTES // len(TEXT) + 1), "notes.txt is 3.1 MB. Outlook takes files up to 3 MB each."),
        ("X-ray.tiff", TIFF, "X-ray.tiff is a type of file that Outlook does not take here."),
    ],
    ids=["large", "type"],
)
@pytest.mark.parametrize("action", ["send", "queue"])
def test_such_a_file_is_refused_and_the_text_kept(
    outlook: Desk, press: Press, name: str, data: bytes, words: str, action: str
) -> None:
    answer = press(action=action, **attached(name, data))
    assert answer.status_code == 409
    assert words in answer.text
    assert "your text is kept as a draft" in answer.text
    assert "How is it today?" in answer.text
    assert is_untouched(outlook)
    refusal = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:mail:refused")).one()
    assert refusal.outcome == "refused"


@pytest.mark.rule("O-06")
@pytest.mark.rule("O-07")
def test_what_it_carries_is_handed_over_as_the_outlook_address(outlook: Desk, press: Press) -> None:
    assert press(**attached("notes.TXT", TEXT)).status_code == 303
    [mail] = outlook.mails()
    assert (mail.path, mail.connection_id) == ("mailbox", outlook.connection.id)
    [sender] = [p.email for p in outlook.message().participants if p.field == "from"]
    assert sender == outlook.connection.mailbox


@pytest.mark.rule("O-06")
def test_in_a_reply_and_in_a_forward_with_the_files_of_the_original(outlook: Desk, client: Any) -> None:
    conversation = factories.make_conversation(outlook.contact, outlook.user)
    message = factories.make_message(conversation)
    row = Attachment(
        id=new_id(), account_id=message.account_id, message_id=message.id, conversation_id=conversation.id,
        content_type="image/tiff", size=len(TIFF), state="stored",
    )  # fmt: skip
    row.name = seal_text("X-ray.tiff", "attachment.name", row.account_id, row.id)
    row.store_key = store.put(row.account_id, row.id, TIFF)
    db.session.add(row)
    db.session.commit()
    client.sign_in(outlook.user)
    reply = client.post(
        f"/conversations/{conversation.id}/reply", data=outlook.form() | attached("x.tiff", TIFF)
    )
    forward = client.post(
        f"/messages/{message.id}/forward",
        data=outlook.form(token="t2", to=outlook.contact.email, keep=[str(row.id)]),
    )
    for answer, name in ((reply, "x.tiff"), (forward, "X-ray.tiff")):
        assert answer.status_code == 409
        assert f"{name} is a type of file that Outlook does not take here." in answer.text
    assert not outlook.mails()


@pytest.mark.rule("O-06")
def test_the_field_says_what_the_way_takes(outlook: Desk, client: Any) -> None:
    client.sign_in(outlook.user)
    address = f"/contacts/{outlook.contact.id}/mail"
    assert "Outlook takes files up to 3 MB each" in client.get(address).text
    outlook.use_relay("paused")  # then it leaves through the practice's mail server, which has no such limit
    page = client.get(address).text
    assert "Outlook takes files" not in page
    assert "Up to 25 MB together" in page
    assert client.post(address, data=outlook.form() | attached("x.tiff", TIFF)).status_code == 303
