"""The MIME of a mail: plain text, formatted text with pictures, files; read by the standard library and by the stand-in."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage, MIMEPart
from uuid import uuid4

import pytest

from portal.rules.addresses import Address
from portal.rules.sending import MAX_FILE_BYTES, MAX_MIME_BYTES
from portal.sending.mime import OutgoingFile, OutgoingMail, OutgoingPicture, build_mime, message_id_of

TOMAS, PRIYA = (Address(key, key, name) for key, name in (("t@lumen.example", "Tomas Bérg"), ("p@mail.example", "Priya")))
PLAIN = OutgoingMail(TOMAS, (PRIYA,), "Swelling", "How is it?\n", uuid4(), datetime(2026, 11, 24, tzinfo=UTC))
RICH = replace(
    PLAIN,
    html='<p>How is <b>ît</b>?</p><img src="cid:p1@inline" alt="face">',
    pictures=(OutgoingPicture("p1@inline", "face.png", "image/png", b"\x89PNG-bytes"),),
    files=(OutgoingFile("plan.pdf", "application/pdf", b"%PDF-1.7"), OutgoingFile("empty.txt", "text/plain", b"")),
    reply_to=Address("r-token@replies.example", "r-token@replies.example", "Lumen"),
    marks=(("List-Unsubscribe", f"<https://portal.example/unsubscribe/{'a' * 90}>"), ("Precedence", "bulk")),
)


def parsed(mail: OutgoingMail) -> EmailMessage:
    """The mail as another program reads it."""
    message = email.message_from_bytes(build_mime(mail), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    return message


def shape(part: MIMEPart) -> object:
    """Media types, nested."""
    kind = part.get_content_type()
    return (kind, [shape(inner) for inner in part.iter_parts()]) if part.is_multipart() else kind


@pytest.mark.rule("S-03")
def test_a_text_alone_stays_plain_text() -> None:
    assert shape(parsed(PLAIN)) == "text/plain"
    assert parsed(PLAIN).get_content() == "How is it?\r\n"


@pytest.mark.rule("S-03")
def test_a_formatted_mail_has_both_texts_its_pictures_beside_the_html_and_files_after_both() -> None:
    message = parsed(RICH)
    related = ("multipart/related", ["text/html", "image/png"])
    alternative = ("multipart/alternative", ["text/plain", related])
    assert shape(message) == ("multipart/mixed", [alternative, "application/pdf", "text/plain"])
    body = message.get_body(("html",))
    assert body is not None
    assert '<p>How is <b>ît</b>?</p><img src="cid:p1@inline" alt="face">' in body.get_content()
    (picture,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<p1@inline>", "inline")
    assert (picture.get_filename(), picture.get_content()) == ("face.png", b"\x89PNG-bytes")
    files = list(message.iter_attachments())
    assert [(file.get_filename(), file.get_payload(decode=True)) for file in files[-2:]] == [
        ("plan.pdf", b"%PDF-1.7"), ("empty.txt", b""),
    ]  # fmt: skip
    assert message_id_of(build_mime(RICH)).endswith("@lumen.example>")


@pytest.mark.rule("S-03")
def test_further_fields_stand_whole_in_the_head() -> None:
    message = parsed(RICH)
    assert message["List-Unsubscribe"] == f"<https://portal.example/unsubscribe/{'a' * 90}>"
    assert message["Precedence"] == "bulk"
    assert message["Reply-To"] == "Lumen <r-token@replies.example>"


@pytest.mark.requirement("NET-3")
@pytest.mark.parametrize(
    "mail",
    [
        replace(RICH, marks=(("Precedence", "bulk\r\nBcc: x@evil.example"),)),
        replace(RICH, marks=(("X: y\r\nBcc", "x@evil.example"),)),
        replace(RICH, subject="Hi\r\nBcc: x@evil.example"),
        replace(RICH, reply_to=Address("r@x.example\r\nBcc: x@evil.example", "", "R")),
        replace(RICH, pictures=(OutgoingPicture("p1>\r\nBcc: <x", "a.png", "image/png", b""),)),
        replace(RICH, pictures=(OutgoingPicture("p1", "a\r\nBcc: x.png", "image/png", b""),)),
    ],
    ids=["mark", "name of a mark", "subject", "reply-to", "content id", "name of a picture"],
)
def test_no_field_takes_a_line_break(mail: OutgoingMail) -> None:
    try:
        raw = build_mime(mail)
    except ValueError:
        return
    assert b"\nBcc" not in raw


@pytest.mark.rule("G-13")
@pytest.mark.parametrize("count", [1, 50])
def test_25_mib_of_files_fit_what_providers_take(count: int) -> None:
    size = MAX_FILE_BYTES // count
    files = tuple(OutgoingFile(f"{'ä' * 110}-{n}.bin", "application/octet-stream", b"\1" * size) for n in range(count))
    raw = build_mime(replace(RICH, files=files, pictures=(), text="x" * 100_000, html="<b>y</b>" * 37_500))
    assert 34_900_000 < len(raw) <= MAX_MIME_BYTES
