"""Forwards: to one contact, with the original's text and files, in that contact's own conversation."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.models import Attachment, Conversation, Message, MessageBody
from portal.rules.sending import MAX_FILE_BYTES
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


def formatted(message: Message) -> str:
    """Make the original a formatted mail with a picture in its text and one from elsewhere; the picture's row id."""
    out = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(out, "PNG")
    row = Attachment(
        id=factories.unknown_id(), account_id=message.account_id, message_id=message.id, position=1,
        conversation_id=message.conversation_id, content_type="image/png", content_id="face@x", size=9, state="stored",
    )  # fmt: skip
    row.name = seal_text("face.png", "attachment.name", row.account_id, row.id)
    row.store_key = store.put(row.account_id, row.id, out.getvalue())
    html = (
        '<h2 style="color:red">Ask</h2><script>x</script><img src="cid:face@x" alt="me"><img src="https://evil.example/p">'
        '<a href="https://ok.example">page</a>'
    )
    body = db.session.get_one(MessageBody, message.id)
    body.html = seal_text(html, "message_body.html", message.account_id, message.id)
    db.session.add(row)
    db.session.commit()
    return str(row.id)


def offered_html(page: str) -> str:
    """What the editor begins with."""
    found = re.search(r'data-html="([^"]*)"', page)
    return unescape(found[1]) if found else ""


@pytest.mark.rule("S-03")
@pytest.mark.requirement("WEB-4")
def test_a_formatted_original_is_carried_with_its_pictures(desk: Desk, client: Any, original: Message) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    picture_id = formatted(original)
    client.sign_in(desk.user)
    received = client.get(f"/messages/{original.id}/html").text
    assert '<img src="data:image/png;base64,' in received
    assert "evil.example" not in received
    page = client.get(f"/messages/{original.id}/forward").text
    html = offered_html(page)
    name = f"kept-{picture_id.replace('-', '')}"
    assert "Please ask my husband." in page  # the text as well
    assert f'<h2>Ask</h2><img src="cid:{name}" alt="me"><a href="https://ok.example">page</a>' in html
    assert "evil.example" not in html
    assert f"/attachments/{picture_id}?show=1" in page
    every = [str(row_id) for row_id in db.session.scalars(select(Attachment.id))]
    assert forward(desk, client, original, to=SPOUSE, html=f"<div>Look:</div>{html}", keep=every).status_code == 303
    desk.deliver()
    (got,) = desk.sandbox.messages(SPOUSE)
    assert sorted(got["attachments"]) == ["face.png", "note.txt"], "the picture stands in the text, not among the files too"
    assert "Forwarded message" in got["text"]
    message = desk.message()
    frame = client.get(f"/messages/{message.id}/html").text
    assert '<h2>Ask</h2><img src="data:image/png;base64,' in frame


@pytest.mark.rule("S-03")
def test_a_draft_of_plain_text_is_not_hidden_by_the_originals_html(desk: Desk, client: Any, original: Message) -> None:
    formatted(original)
    forward(desk, client, original, action="draft", text="My own words", html="")
    page = client.get(f"/messages/{original.id}/forward").text
    assert "My own words" in page
    assert offered_html(page) == ""


@pytest.mark.requirement("ATT-5")
def test_pictures_of_another_mail_are_not_carried(desk: Desk, client: Any, original: Message) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    other = factories.make_message(original.conversation, "Another mail.")
    picture_id = formatted(other)
    forward(desk, client, original, to=SPOUSE, html=f'<b>x</b><img src="cid:kept-{picture_id.replace("-", "")}">')
    desk.deliver()
    assert desk.sandbox.messages(SPOUSE)[0]["attachments"] == []


@pytest.mark.rule("G-13")
@pytest.mark.requirement("ATT-1")
@pytest.mark.parametrize(("more", "status"), [(0, 303), (1, 409)])
def test_carried_files_count_to_the_25_mb(
    desk: Desk, client: Any, original: Message, more: int, status: int
) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    row = db.session.scalars(select(Attachment)).one()
    row.store_key = store.put(row.account_id, row.id, b"x" * (MAX_FILE_BYTES - 5 + more))
    db.session.commit()
    added = [(io.BytesIO(b"12345"), "small.txt")]
    answer = forward(desk, client, original, to=SPOUSE, text="My words", keep=[str(row.id)], files=added)
    assert answer.status_code == status
    assert len(desk.mails()) == (0 if more else 1)
    if more:
        assert "over 25 MB together; the largest is note.txt" in answer.text
        assert "My words" in answer.text
