"""Files and formatted mail are given out harmless, recorded, and to nobody else."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.models import AuditEvent
from tests import factories
from tests.conversations.conftest import Practice, add_file


def picture(**values: Any) -> bytes:
    """A JPEG with a place in its EXIF data."""
    exif = Image.Exif()
    exif[0x010E] = "CANARY-PLACE"
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "JPEG", exif=exif, **values)
    return out.getvalue()


@pytest.mark.requirement("ATT-3")
def test_a_file_is_saved_never_shown(reader: Any, practice: Practice) -> None:
    file = add_file(factories.make_message(practice.conversation), "page.html", b"<script>1</script>", "text/html")
    for address in (f"/attachments/{file.id}", f"/attachments/{file.id}?show=1"):
        answer = reader.get(address)
        assert answer.data == b"<script>1</script>"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.requirement("ATT-3")
def test_a_picture_is_shown_written_anew(reader: Any, practice: Practice) -> None:
    file = add_file(factories.make_message(practice.conversation), "front.jpg", picture(), "image/jpeg")
    answer = reader.get(f"/attachments/{file.id}?show=1")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert not answer.headers.get("Content-Disposition", "").startswith("attachment")
    assert b"CANARY" not in answer.data
    assert Image.open(io.BytesIO(answer.data)).size == (40, 30)
    assert b"CANARY" in reader.get(f"/attachments/{file.id}").data  # saved, it is what was sent


@pytest.mark.requirement("ATT-3")
@pytest.mark.requirement("ATT-4")
@pytest.mark.bad_input(31)
def test_a_broken_picture_is_only_saved(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation)
    for data in (b"\xff\xd8\xff" + b"\0" * 50, picture()[:200], b"GIF89a/*" + b"a" * 50):
        file = add_file(message, "a.jpg", data, "image/jpeg")
        answer = reader.get(f"/attachments/{file.id}?show=1")
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"].startswith("attachment;")


ODD_NAMES = (
    'a"; x=y.txt', "a\r\nSet-Cookie: x=y", "../../etc/passwd", "Привет.pdf", "x\u202efdp.exe", "", "CON", "a" * 4000,
    "\ud800.txt", "a;filename*=UTF-8''b.exe",
)  # fmt: skip


@pytest.mark.requirement("ATT-2")
@pytest.mark.requirement("ATT-3")
@pytest.mark.bad_input(23)
@pytest.mark.bad_input(32)
def test_a_name_cannot_split_the_header(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation)
    for name in ODD_NAMES:
        file = add_file(message, name)
        answer = reader.get(f"/attachments/{file.id}")
        assert answer.status_code == 200
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment; filename")
        assert len(disposition) < 1000
        assert not set("\r\n/\\") & set(disposition)
        assert "Set-Cookie" not in dict(answer.headers)


@pytest.mark.requirement("ATT-1")
@pytest.mark.requirement("ATT-6")
def test_what_is_kept_out_says_why(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation)
    for state, reason, words in (
        ("blocked", "dangerous", "This kind of file can run a program"),
        ("blocked", "disguised", "Its content is not what its name says"),
        ("left_out", "too_large", "Sync takes up to 25 MB"),
    ):
        file = add_file(message, "x.pdf", state=state, reason=reason)
        answer = reader.get(f"/attachments/{file.id}")
        assert answer.status_code == 404
        assert words in answer.text


@pytest.mark.fault(27)
def test_a_file_that_is_gone_from_the_store_is_said(reader: Any, practice: Practice) -> None:
    file = add_file(factories.make_message(practice.conversation, "The text stays."))
    store.remove(file.store_key)
    answer = reader.get(f"/attachments/{file.id}")
    assert answer.status_code == 404
    assert "The stored file cannot be found" in answer.text
    assert "The text stays." in reader.get(f"/conversations/{practice.conversation.id}").text


@pytest.mark.requirement("ATT-5")
@pytest.mark.requirement("TEN-1")
def test_files_and_formatted_mail_have_the_conversations_readers(client: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation, html="<p>hello</p>")
    file = add_file(message)
    addresses = (f"/attachments/{file.id}", f"/attachments/{file.id}?show=1", f"/messages/{message.id}/html")
    outsider = factories.make_member(factories.make_account(), "owner")
    insider = factories.make_member(practice.account, "marketing")
    for person in (outsider, insider):
        client.sign_in(person)
        assert {client.get(address).status_code for address in addresses} == {404}
    assert db.session.scalars(select(AuditEvent).where(AuditEvent.name.like("%:read"))).all() == []


@pytest.mark.requirement("AUD-4")
def test_opening_a_file_is_an_audit_event(reader: Any, practice: Practice) -> None:
    file = add_file(factories.make_message(practice.conversation), "CANARY.txt")
    reader.get(f"/attachments/{file.id}")
    opened = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:attachment:read")).one()
    assert (opened.object_id, opened.details) == (file.id, {})


HOSTILE = """<html><head><base href="https://evil.example"><meta http-equiv="refresh" content="0;url=https://evil.example">
<link rel="stylesheet" href="https://evil.example/a.css"><style>body{background:url(https://evil.example/b.png)}</style></head>
<body background="https://evil.example/c.png" onload="alert(1)"><img src="https://evil.example/p.gif" srcset="https://evil.example/q 2x" alt="Our clinic">
<video poster="https://evil.example/v.png"></video><svg><image href="https://evil.example/s.png"/></svg>
<form action="https://evil.example"><input type="password"></form><blockquote cite="https://evil.example/q">quoted</blockquote>
<a href="https://evil.example/path">your bank</a><a href="java&#10;script:alert(1)">press</a><p style="color:red" class="x" id="y">Hello</p>
<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math></body></html>"""


@pytest.mark.requirement("WEB-4")
@pytest.mark.requirement("WEB-5")
@pytest.mark.bad_input(25)
@pytest.mark.bad_input(26)
@pytest.mark.bad_input(27)
def test_formatted_mail_runs_nothing_and_loads_nothing(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation, "Hello", html=HOSTILE)
    answer = reader.get(f"/messages/{message.id}/html")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none';")
    assert "script-src" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    body = answer.text.partition("<body>")[2]
    assert "Hello" in body
    assert "[Our clinic]" in body
    assert "[evil.example]" in body  # a link names the host it leads to
    assert body.count("evil.example") == 2  # the link and its host, and nothing else
    for word in ("<img", "<form", "<input", "<style", "<svg", "onload", "onerror", "javascript", "cite=", "class=", "style="):
        assert word not in body
    page = reader.get(f"/conversations/{practice.conversation.id}").text
    assert "Pictures and styles from elsewhere are not loaded" in page
    assert "evil.example/p.gif" not in page


@pytest.mark.bad_input(28)
def test_formatting_that_is_too_large_falls_back_to_the_text(reader: Any, practice: Practice) -> None:
    message = factories.make_message(practice.conversation, "Hello", html="<div>" * 20_000)
    answer = reader.get(f"/messages/{message.id}/html")
    assert answer.status_code == 404
    assert "Read its text instead" in answer.text
