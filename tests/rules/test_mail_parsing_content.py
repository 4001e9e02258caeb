"""Text, HTML and files of odd and hostile mail: best effort, bounded, and what was repaired is said."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.lib.mailboxes import decode_words, parse_mailboxes
from portal.providers.google.parse import facts_of, mail_of
from portal.providers.google.parts import distant_texts
from portal.providers.parts import MAX_TEXT_BYTES
from portal.providers.types import RemoteMail
from portal.rules.facts import MailFacts
from tests.providers.gmail_json import message, mime, part, shown

OWN = frozenset({"amy@practice.example"})
MIME_1 = "MIME-Version: 1.0"


def read(raw: bytes) -> RemoteMail:
    """The whole mail, with text that the provider kept apart filled in as the adapter does."""
    gmail = shown(raw)
    started = time.perf_counter()
    for body in distant_texts(gmail):
        body["data"] = base64.urlsafe_b64encode(raw.partition(b"\r\n\r\n")[2]).decode()
    mail = mail_of(gmail, OWN)
    assert time.perf_counter() - started < 20
    return mail


def whole(payload: dict[str, Any]) -> RemoteMail:
    return mail_of(message(payload), OWN)


@pytest.mark.bad_input(3)
@pytest.mark.bad_input(4)
@pytest.mark.bad_input(5)
@pytest.mark.parametrize(
    "charset", ["foo-bar", "utf-8\0", "idna", "rot13", "base64", "unicode_escape", "punycode", "hex", "../x"]
)
@pytest.mark.parametrize("content", ["Grüße".encode(), b"Gr\xfc\xdfe", b"plain"], ids=["utf8", "latin1", "ascii"])
def test_a_charset_of_no_mail_is_not_obeyed(charset: str, content: bytes) -> None:
    mail = whole(part("text/plain", content, Content_Type=f'text/plain; charset="{charset}"'))
    assert mail.text == ("plain" if content == b"plain" else "Grüße")
    assert mail.defects == (("charset",) if content != b"plain" else ())


@pytest.mark.bad_input(20)
def test_eight_bits_without_a_charset_are_read_as_western_text() -> None:
    mail = whole(part("text/plain", b"Gr\xfc\xdfe", Content_Type='text/plain; charset=""'))
    assert (mail.text, mail.defects) == ("Grüße", ("charset",))


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252", "UTF8"])
def test_text_is_utf8_as_gmail_gives_it_whatever_the_header_says(charset: str) -> None:
    mail = whole(part("text/plain", "Grüße", Content_Type=f"text/plain; charset={charset}"))
    assert (mail.text, mail.defects) == ("Grüße", ())


@pytest.mark.bad_input(8)
@pytest.mark.parametrize("inner", ["multipart/mixed", "message/rfc822"])
def test_parts_inside_parts_end_at_a_depth(inner: str) -> None:
    deep: dict[str, Any] = part("text/plain", "at the bottom")
    for _ in range(1000):
        deep = {"mimeType": inner, "filename": "", "headers": [], "body": {"size": 0}, "parts": [deep]}
    mail = whole({"mimeType": "multipart/mixed", "parts": [part("text/plain", "on top"), deep]})
    assert mail.text == "on top"
    assert mail.defects == (("too_many_parts",) if inner == "multipart/mixed" else ())


@pytest.mark.bad_input(8)
def test_a_nested_mail_of_a_thousand_multiparts_is_read_somehow() -> None:
    raw = b"From: pat@gmail.com\r\n" + b"".join(
        f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n'.encode() for n in range(1000)
    )
    assert read(raw).facts.sender is not None


def test_parts_beside_parts_end_at_a_number() -> None:
    mail = whole({"mimeType": "multipart/mixed", "parts": [part("text/plain", "x") for _ in range(5000)]})
    assert mail.defects == ("too_many_parts",)
    assert len(mail.text) < 2000


@pytest.mark.bad_input(20)
@pytest.mark.parametrize("body", ["", "\x00" * 100, "\udcfc\udcdf"])
def test_an_empty_or_unreadable_body_is_shown_as_such(body: str) -> None:
    mail = read(mime(body=body))
    assert "\x00" not in mail.text
    mail.text.encode()


@pytest.mark.bad_input(21)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("R29vZCBtb3JuaW5n", "Good morning"),
        ("R29vZCBtb3Ju*#!aW5n", "Good morning"),
        ("R29vZCBtb3JuaW5nX", "Good morning"),
        ("*", ""),
    ],
)
def test_damaged_base64_is_read_as_far_as_it_goes(data: str, text: str) -> None:
    mail = whole({"mimeType": "text/plain", "body": {"data": data}})
    assert mail.text == text


@pytest.mark.bad_input(21)
def test_cut_base64_is_flagged() -> None:
    assert whole({"mimeType": "text/plain", "body": {"data": "R29vZCBtb3JuaW5nX"}}).defects == ("base64",)


@pytest.mark.bad_input(21)
@pytest.mark.parametrize("encoding", ["base64", "x-uuencode", "quoted-printable", "rot13"])
def test_a_transfer_encoding_that_lies_is_no_trouble(encoding: str) -> None:
    raw = mime(
        MIME_1,
        "Content-Type: text/plain",
        f"Content-Transfer-Encoding: {encoding}",
        body="begin 644 x\n!!=ZZ=\n***\n`\nend",
    )
    assert read(raw).facts.is_readable


@pytest.mark.bad_input(22)
@pytest.mark.parametrize("boundary", ["", '; boundary=""', f'; boundary="{"x" * 10_000}"', "; boundary=never"])
def test_a_multipart_that_cannot_be_divided_is_read_as_text(boundary: str) -> None:
    mail = read(mime(MIME_1, f"Content-Type: multipart/mixed{boundary}", body="--x\r\n\r\nGood morning"))
    assert "Good morning" in mail.text
    assert mail.files == ()


@pytest.mark.bad_input(23)
@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("=?utf-8?B?Li4vLi4vZXRjL3Bhc3N3ZA==?=", "passwd"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\x.dll", "x.dll"),
        ("a\x00b.pdf", "a b.pdf"),
        ("CON.pdf", "_CON.pdf"),
        ("x" * 5000 + ".pdf", "x" * 116 + ".pdf"),
        ("invoice\u202efdp.exe", "invoice\ufffdfdp.exe"),
        ("  ", "attachment"),
    ],
)
def test_a_file_name_is_made_safe_at_once(written: str, name: str) -> None:
    payload = part("application/octet-stream", b"x", filename=written)
    [file] = whole({"mimeType": "multipart/mixed", "parts": [payload]}).files
    assert file.name == name


@pytest.mark.bad_input(23)
@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename*0=a; filename*2=c; filename*99999999999=z",
        "attachment; filename=a.pdf; filename=b.exe",
        "attachment; filename*=utf-8''%2e%2e%2fa.pdf",
        "attachment; filename*=foo-bar''%ff",
        'attachment; filename="' + "(" * 3000,
    ],
)
def test_a_file_name_in_odd_pieces_never_stops_the_mail(disposition: str) -> None:
    mail = read(mime(MIME_1, "Content-Type: application/pdf", f"Content-Disposition: {disposition}", body="%PDF-1.7"))
    assert all("/" not in file.name and len(file.name) <= 120 for file in mail.files)


@pytest.mark.bad_input(28)
def test_text_beyond_the_limit_is_cut_and_said_so() -> None:
    mail = whole(part("text/html", "<p>" * 7_000_000))
    assert len(mail.html) == MAX_TEXT_BYTES
    assert mail.defects == ("text_cut",)


@pytest.mark.bad_input(28)
def test_text_that_was_kept_apart_stays_a_named_file_when_it_is_too_large() -> None:
    payload = {"mimeType": "text/html", "filename": "", "body": {"size": 20_000_000, "attachmentId": "x"}}
    mail = whole({"mimeType": "multipart/mixed", "parts": [part("text/plain", "short"), payload]})
    assert (mail.text, mail.html, mail.defects) == ("short", "", ("text_as_file",))
    assert [(file.name, file.size, file.remote_id) for file in mail.files] == [("text.html", 20_000_000, "x")]


def test_a_cut_never_splits_a_letter() -> None:
    mail = whole(part("text/plain", b"x" + "ü".encode() * MAX_TEXT_BYTES))
    assert set(mail.text) == {"x", "ü"}


@pytest.mark.bad_input(29)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("application/ms-tnef", "winmail.dat"),
        ("application/pkcs7-mime", "smime.p7m"),
        ("application/pkcs7-signature", "smime.p7s"),
        ("application/pgp-signature", "signature.asc"),
        ("application/pgp-encrypted", "version.asc"),
        ("text/calendar", "invitation.ics"),
        ("text/x-amp-html", "amp version.txt"),
        ("message/rfc822", "message.eml"),
        ("image/png", "attachment.png"),
        ("application/x-unknown", "attachment"),
    ],
)
def test_parts_of_special_kinds_are_files_with_a_telling_name(kind: str, name: str) -> None:
    mail = whole({"mimeType": "multipart/mixed", "parts": [part("text/plain", "hello"), part(kind, b"x")]})
    assert (mail.text, mail.html) == ("hello", "")
    assert [(file.name, file.claimed_type) for file in mail.files] == [(name, kind)]


def test_a_mail_inside_a_mail_is_a_file_and_its_text_is_not_ours() -> None:
    inner = "From: other@x.example\r\nSubject: private\r\n\r\nsomebody else's words"
    body = f"--x\r\n\r\nmine\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--x--"
    mail = read(mime(MIME_1, 'Content-Type: multipart/mixed; boundary="x"', body=body))
    assert mail.text.strip() == "mine"
    assert [file.claimed_type for file in mail.files] == ["message/rfc822"]


def test_text_sent_as_a_file_is_a_file() -> None:
    for attached in (
        part("text/plain", "note", filename="note.txt"),
        part("text/plain", "note", Content_Disposition="attachment"),
    ):
        mail = whole({"mimeType": "multipart/mixed", "parts": [part("text/plain", "hello"), attached]})
        assert (mail.text, len(mail.files)) == ("hello", 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["parts", "body", "headers", "data"]), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELD = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["From", "To", "Cc", "Subject", "References", "Content-Type", "X-CRM-Ref", "X-Forwarded-To"]
        ),
        "value": st.text(alphabet=st.sampled_from('ab@.<>(),:;"\\[]=?QB_ \t\r\n\x00é\u202e'), max_size=60),
    }
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(FIELD, max_size=8),
    st.binary(max_size=60),
    st.sampled_from(["text/plain", "text/html", "multipart/mixed", "x", ""]),
)
def test_no_header_and_no_body_ever_raises(fields: list[dict[str, str]], data: bytes, kind: str) -> None:
    payload = {"mimeType": kind, "headers": fields, "body": {"data": data.decode("latin-1")}}
    mail = mail_of(message(payload), OWN)
    assert mail.facts == facts_of(message({"headers": fields}), OWN) or mail.facts.is_forward
    assert isinstance(mail.facts, MailFacts)
    (mail.subject + mail.text + mail.html + (mail.facts.sender.name if mail.facts.sender else "")).encode()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from('ab@.<>(),:;"\\[]=?QB_ \t\r\né'), max_size=80))
def test_an_address_is_only_ever_what_stands_there(value: str) -> None:
    for mailbox in parse_mailboxes([value]).found:
        plain = value.replace("\\", "")
        assert mailbox.address.replace("\\", "") in plain or "(" in value
    assert not set("\r\n\x00") & set(decode_words(value))


def test_reading_is_linear_in_size() -> None:
    for value in (
        "(" * 99_000,
        "<" * 99_000,
        '"' * 99_000,
        "a@b," * 24_000,
        "=?" * 49_000,
        " " * 99_000 + "x",
        "=?utf-8?q?" * 9_000,
    ):
        started = time.process_time()
        parse_mailboxes([value])
        decode_words(value)
        # No measure of speed: reading that is not linear takes minutes of CPU here, whatever the machine does besides.
        assert time.process_time() - started < 10
