"""The fast way to write a campaign's mails says what the library's way says, whatever people and texts are called."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.rules.addresses import Address
from portal.rules.sending import one_line
from portal.sending.bulk_mime import write_mime
from portal.sending.mime import OutgoingMail, OutgoingPicture, build_mime
from tests.sending.test_hostile_headers import FIELDS, WORDS

PIECES = [
    "Priya", "Raman", "O'Neil", "Dr.", "Ann-Marie", "Müller", "Ñ", "李", "🙂", "é" * 30, "x" * 80, " ", "  ", "\t", "\r\n", "\r",
    "\n", "\x00", "\x0c", "\u2028", "\xa0", "=?", "utf-8", "?q?", "?b?", "=0D=0A", "?=", "=", "?", ".", "\n.\n", "From ", "@", ",",
    ";", ":", "<", ">", "(", ")", '"', "\\", "[", "]", "--", "Bcc: eve@evil.example", "{first_name}", "=_", "\ud800",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=14).map("".join)
LOCALS = st.from_regex(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}", fullmatch=True) | st.just('"odd one"')
DOMAINS = st.sampled_from(["mail.example", "münchen.example", "a-b.example", "x" * 60 + ".example", "localhost"])
URL = "https://portal.example/unsubscribe/"
MARKS = (("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"), ("Precedence", "bulk"))


def address(local: str, domain: str, name: str) -> Address:
    return Address(f"{local}@{domain}", f"{local}@{domain}".lower(), name)


@st.composite
def mails(draw: st.DrawFn) -> OutgoingMail:
    """One mail of a campaign, with a name, a subject and texts of anything."""
    link = ("List-Unsubscribe", f"<{URL}{draw(st.from_regex('[a-z0-9]{1,70}', fullmatch=True))}>")
    return OutgoingMail(
        sender=address("hello", "lumen.example", draw(TEXTS)),
        to=(address(draw(LOCALS), draw(DOMAINS), draw(TEXTS)),),
        subject=draw(TEXTS | TEXTS.map(one_line)),
        text=draw(TEXTS), html=draw(st.just("") | TEXTS), crm_ref=UUID(int=7),
        written_at=datetime(2026, 11, 24, 15, tzinfo=UTC), marks=draw(st.just(()) | st.just((link, *MARKS))),
    )  # fmt: skip


def outcome(write: Callable[[OutgoingMail], bytes], mail: OutgoingMail) -> bytes | None:
    """The bytes; None where the mail cannot be written."""
    try:
        return write(mail)
    except ValueError:
        return None


def head(raw: bytes) -> list[bytes]:
    """The fields as they stand, folds and all, those that differ by chance left out, sorted."""
    fields = re.split(rb"\r\n(?![ \t])", raw.partition(b"\r\n\r\n")[0])
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    return sorted(field for field in fields if not field.startswith((b"Message-ID:", b"Content-")))


def texts(raw: bytes) -> list[tuple[str, str]]:
    """What another program reads: the media types and the texts, in their order."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    parts = [part for part in message.walk() if not part.is_multipart()]
    return [(part.get_content_type(), part.get_payload(decode=True).decode().replace("\r\n", "\n")) for part in parts]  # type: ignore[union-attr]


@pytest.mark.requirement("NET-3")
@settings(max_examples=300, deadline=None)
@given(mails())
@example(OutgoingMail(address("a", "b.example", "A"), (address("c", "d.example", WORDS[0]),), WORDS[1], "", UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)))
def test_it_says_what_the_library_says(mail: OutgoingMail) -> None:
    fast, slow = outcome(write_mime, mail), outcome(build_mime, mail)
    assert (fast is None) == (slow is None)
    if fast is None or slow is None:
        return
    assert head(fast) == head(slow)
    assert texts(fast) == texts(slow)
    assert {field.split(b":")[0].decode() for field in head(fast)} <= FIELDS | {name for name, _ in mail.marks}


@pytest.mark.requirement("NET-3")
@pytest.mark.parametrize("words", WORDS)
def test_an_encoded_word_stays_itself(words: str) -> None:
    mail = OutgoingMail(
        address("a", "b.example", words), (address("c", "d.example", words),), words, words, UUID(int=1),
        datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert head(write_mime(mail)) == head(build_mime(mail))
    assert b"\nBcc" not in write_mime(mail)


@pytest.mark.requirement("NET-3")
@pytest.mark.parametrize("write", [write_mime, build_mime])
@pytest.mark.parametrize("subject", ["Hi\r\n", "\r\n", "\n", "Hi\r\nBcc: x@evil.example"])
def test_a_line_break_is_refused_also_at_the_end(write: Callable[[OutgoingMail], bytes], subject: str) -> None:
    """An empty line ends the head, and what follows would be text."""
    mail = OutgoingMail(address("a", "b.example", "A"), (), subject, "t", UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="line"):
        write(mail)


def test_each_text_has_the_shorter_coding() -> None:
    mail = OutgoingMail(address("a", "b.example", "A"), (), "S", "李" * 900, UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), html="long " * 90)
    raw = write_mime(mail)
    assert raw.count(b"base64") == 1
    assert raw.count(b"quoted-printable") == 1
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_a_mail_with_pictures_is_left_to_the_library() -> None:
    mail = OutgoingMail(address("a", "b.example", "A"), (), "S", "t", UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), html="<p>")
    raw = write_mime(replace(mail, pictures=(OutgoingPicture("p1", "a.png", "image/png", b"x"),)))
    assert b"multipart/related" in raw
