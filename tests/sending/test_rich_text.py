"""Formatted text and pictures from the form to the contact's mailbox and back into the thread; the HTML is never trusted."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select

from portal.audit import events
from portal.conversations import store
from portal.database import db
from portal.models import Attachment, AuditEvent, Message, MessageBody
from portal.rules.sending import MAX_FILE_BYTES
from portal.sealing import open_text
from portal.sending import drafts
from portal.sending.forms import MAX_PICTURES, MailForm
from tests import factories
from tests.sending.conftest import Desk

Press = Callable[..., Any]


def picture(kind: str = "PNG", **saved: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 20), "teal").save(out, kind, **saved)
    return out.getvalue()


def file(data: bytes, name: str) -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), name


def read_form(app: Flask, **data: Any) -> MailForm:
    """A form as it was sent."""
    with app.test_request_context(method="POST", data={"token": "t", "action": "send"} | data):
        form = MailForm()
        form.validate()
        return form


def stored_html(message: Message) -> str:
    body = db.session.get_one(MessageBody, message.id)
    return open_text(body.html, "message_body.html", message.account_id, message.id) if body.html else ""


@pytest.mark.rule("S-03")
@pytest.mark.parametrize(
    ("html", "body", "clean"),
    [
        ("", "as typed", ""),
        ("<div>one</div><div><br></div><p>two</p>", "as typed", ""),  # lines are no formatting
        ("<div>see <b>this</b></div><ul><li>x</li></ul>", "see this\n- x", "<div>see <b>this</b></div><ul><li>x</li></ul>"),
        ("<script>alert(1)</script>", "as typed", ""),
        ('<b onclick=x>hi</b><img src="https://evil.example/x">', "hi", "<b>hi</b>"),
    ],
)
def test_what_a_form_takes(app: Flask, html: str, body: str, clean: str) -> None:
    form = read_form(app, text="as typed", html=html)
    assert (form.body, form.clean_html, form.text.errors) == (body, clean, [])


@pytest.mark.rule("S-03")
def test_a_text_must_be_written_and_must_not_be_endless(app: Flask) -> None:
    assert read_form(app, text=" ", html="<div><br></div>").text.errors == ["Write something, then send it."]
    (error,) = read_form(app, text="x", html="<b>x</b>" * 50_000).text.errors
    assert "too long" in error
    (error,) = read_form(app, text="x", html="<div>" * 5_001 + "x").text.errors
    assert "formatted too deeply" in error


@pytest.mark.rule("S-03")
@pytest.mark.requirement("ATT-3")
def test_a_formatted_mail_with_a_picture_arrives_and_is_shown_as_it_left(desk: Desk, press: Press, client: Any) -> None:
    exif = Image.Exif()
    exif[0x010F] = "canary-camera"
    html = '<div>See <b>here</b>: <img src="cid:new-0" alt="face"><img src="cid:new-7"></div>'
    pictures = [file(picture("JPEG", exif=exif), "face.jpg"), file(picture("GIF"), "unused.gif")]
    assert press(html=html, text="ignored", pictures=pictures, files=[file(b"", "empty.txt")]).status_code == 303
    assert desk.deliver() == ["sent"]
    (got,) = desk.received()
    assert got["text"].split() == ["See", "here:", "[face]"]
    assert got["attachments"] == ["face.jpg", "empty.txt"]
    message = desk.message()
    row = db.session.scalars(select(Attachment).where(Attachment.content_id != "")).one()
    assert stored_html(message) == f'<div>See <b>here</b>: <img src="cid:{row.content_id}" alt="face"></div>'
    assert b"canary" not in store.read(row.account_id, row.id, row.store_key)
    thread = client.get(f"/conversations/{message.conversation_id}").text
    assert "Show formatted" in thread
    assert "in the text" in thread
    assert "are not loaded" not in thread
    frame = client.get(f"/messages/{message.id}/html")
    assert '<b>here</b>: <img src="data:image/jpeg;base64,' in frame.text
    assert "img-src data:;" in frame.headers["Content-Security-Policy"]
    read = db.session.scalars(select(AuditEvent).where(AuditEvent.name == events.ATTACHMENT_READ)).one()
    assert read.object_id == row.id


@pytest.mark.requirement("ATT-5")
def test_a_picture_in_the_text_has_the_conversations_readers(desk: Desk, press: Press, client: Any) -> None:
    press(html='<img src="cid:new-0">', text="x", pictures=[file(picture(), "face.png")])
    message = desk.message()
    stranger = factories.make_member(factories.make_account(), "owner")
    db.session.commit()
    client.sign_in(stranger)
    assert client.get(f"/messages/{message.id}/html").status_code == 404


@pytest.mark.requirement("ATT-1")
@pytest.mark.bad_input(31)
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "a.svg"),
        (b"\x89PNG\r\n\x1a\nbroken", "a.png"),
        (b"MZ\x90\0", "a.png"),
        (b"", "a.png"),
    ],
)
def test_only_pictures_stand_in_a_text(desk: Desk, press: Press, data: bytes, name: str) -> None:
    answer = press(html='<img src="cid:new-0">', text="x", pictures=[file(data, name)])
    assert answer.status_code == 400
    assert f"{name} is no JPEG, PNG or GIF that can stand in a text" in answer.text
    assert desk.mails() == []


def test_pictures_are_counted(app: Flask) -> None:
    many = [file(picture(), "a.png") for _ in range(MAX_PICTURES + 1)]
    (error,) = read_form(app, text="x", html="<b>x</b>", pictures=many).pictures.errors
    assert "at most 30 pictures" in error


@pytest.mark.rule("G-13")
@pytest.mark.parametrize(("more", "status"), [(0, 303), (1, 400)])
def test_pictures_count_to_the_25_mb_and_the_text_is_kept(
    app: Flask, desk: Desk, press: Press, more: int, status: int
) -> None:
    drawn = read_form(app, text="x", html="<b>x</b>", pictures=[file(picture(), "a.png")]).drawn
    rest = MAX_FILE_BYTES - len(drawn[0].data) + more
    answer = press(
        html='<b>See</b> <img src="cid:new-0">', text="x", pictures=[file(picture(), "a.png")],
        files=[file(b"\1" * rest, "a.bin")],
    )  # fmt: skip
    assert answer.status_code == status
    assert len(desk.mails()) == (1 if status == 303 else 0)
    if more:
        assert "over 25 MB together" in answer.text
        assert "&lt;b&gt;See&lt;/b&gt;" in answer.text


@pytest.mark.rule("S-03")
def test_a_draft_keeps_the_formatting_and_opens_with_it(desk: Desk, press: Press, client: Any) -> None:
    press(action="draft", text="x", html='<b>Not</b> <i onclick="x">yet</i><script>x</script>')
    kept = drafts.load(desk.user.id, desk.account.id, drafts.purpose_of("new", desk.contact.id))
    assert (kept["html"], kept["text"]) == ("<b>Not</b> <i>yet</i>", "Not yet")
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert 'data-html="&lt;b&gt;Not&lt;/b&gt; &lt;i&gt;yet&lt;/i&gt;"' in page
    assert '<input type="hidden" name="html" value="">' in page, "without script the text area alone counts"
