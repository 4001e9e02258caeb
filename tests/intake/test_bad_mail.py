"""The bad mails of the catalogue through the port: 250 once, the queue keeps moving, each ends decided or named as unreadable."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import db
from portal.intake.mime import divide
from portal.intake.parse import read_mail
from portal.lib.clock import now
from portal.models import Attachment
from portal.providers.parts import MAX_DEPTH, MAX_PARTS
from portal.rules.bounces import Report
from tests.intake.conftest import PATIENT, STRANGER, Intake, Practice
from tests.sync.test_bad_mail import BAD, HEAD, mail

TYPE = "Content-Type: "


def rfc822_in_rfc822(depth: int) -> bytes:
    """Mails in mails."""
    return HEAD.encode() + b"".join(b"Content-Type: message/rfc822\r\n\r\n" for _ in range(depth)) + b"\r\ndeep\r\n"


def flat(parts: int) -> bytes:
    """Very many parts side by side."""
    return mail(HEAD + TYPE + "multipart/mixed; boundary=b\r\n", "\r\n--b\r\n\r\nx" * parts)


LARGE: dict[str, tuple[bytes, str]] = {
    "8 a thousand mails in mails": (rfc822_in_rfc822(1000), "logged"),
    "8 ten thousand parts": (flat(10_000), "logged"),
    "10 100,000 headers": (mail(HEAD + "".join(f"X-{n}: 1\r\n" for n in range(100_000))), "unreadable"),
    "18 the same id": (mail(HEAD + "Message-ID: <same@x>\r\n", "one"), "logged"),
    "18 the same id, other content": (mail(HEAD + "Message-ID: <same@x>\r\n", "two"), "logged"),
    "19 forged references": (mail(f"From: {STRANGER}\r\nSubject: s\r\nReferences: <a@b> <c@d>\r\n"), "left_out"),
    "20 nothing at all": (b"", "unreadable"),
    "20 no blank line": (HEAD.encode(), "logged"),
    "20 no headers": (b"\r\njust text\r\n", "unreadable"),
    "22 an empty boundary": (mail(HEAD + TYPE + 'multipart/mixed; boundary=""\r\n', "text"), "logged"),
    "23 holes in RFC 2231": (
        mail(HEAD + "Content-Disposition: attachment; filename*0*=utf-8''a; filename*999999999=b; filename*2=c\r\n", "x"),
        "logged",
    ),
    "24 a header line of 5 MB": (mail(HEAD + f"X-Long: {'y' * 5_000_000}\r\n"), "unreadable"),
    "25 mutating markup": (
        mail(HEAD + TYPE + "text/html\r\n", '<math><mtext><table><mglyph><style><img src=x onerror="alert(1)">'), "logged",
    ),
    "26 a tracking pixel": (mail(HEAD + TYPE + "text/html\r\n", '<img src="https://evil.example/p.gif">hello'), "logged"),
    "27 a form": (mail(HEAD + TYPE + "text/html\r\n", "<form action=https://evil.example><input type=password>"), "logged"),
    "28 20 MB of nested tags": (mail(HEAD + TYPE + "text/html\r\n", "<div>" * 4_000_000), "logged"),
    "30 an absence note": (mail(HEAD + "Auto-Submitted: auto-replied\r\n"), "logged"),
    "30 a newsletter": (mail(HEAD + "List-Id: <news>\r\n"), "left_out"),
    "31 a program that calls itself a PDF": (
        mail(HEAD + TYPE + "application/pdf; name=bill.pdf\r\nContent-Disposition: attachment\r\n", "MZ\0\0"), "logged",
    ),
}  # fmt: skip


@pytest.mark.requirement("SMT-5")
@pytest.mark.fault(23)
@pytest.mark.rule("E-01")
@pytest.mark.bad_input(1)
@pytest.mark.bad_input(2)
@pytest.mark.bad_input(3)
@pytest.mark.bad_input(4)
@pytest.mark.bad_input(5)
@pytest.mark.bad_input(6)
@pytest.mark.bad_input(7)
@pytest.mark.bad_input(8)
@pytest.mark.bad_input(9)
@pytest.mark.bad_input(10)
@pytest.mark.bad_input(11)
@pytest.mark.bad_input(12)
@pytest.mark.bad_input(13)
@pytest.mark.bad_input(14)
@pytest.mark.bad_input(15)
@pytest.mark.bad_input(16)
@pytest.mark.bad_input(17)
@pytest.mark.bad_input(18)
@pytest.mark.bad_input(19)
@pytest.mark.bad_input(20)
@pytest.mark.bad_input(21)
@pytest.mark.bad_input(22)
@pytest.mark.bad_input(23)
@pytest.mark.bad_input(24)
@pytest.mark.bad_input(25)
@pytest.mark.bad_input(26)
@pytest.mark.bad_input(27)
@pytest.mark.bad_input(28)
@pytest.mark.bad_input(29)
@pytest.mark.bad_input(30)
@pytest.mark.bad_input(31)
@pytest.mark.bad_input(32)
def test_every_bad_mail_is_taken_once_and_decided(intake: Intake, practice: Practice, client: Any) -> None:
    mails = BAD | LARGE
    with intake.client() as wire:
        for name, (raw, _) in mails.items():
            wire.mail(PATIENT)
            wire.rcpt(practice.reply_address)
            assert (name, wire.data(raw)[0]) == (name, 250)
    assert intake.send(practice.mail(text="a good one behind them"), practice.reply_address)[0] == 250
    started = time.monotonic()
    reasons = practice.file_all()
    assert time.monotonic() - started < 60
    assert reasons[-1] == "routed_reply"
    found = {name: row.outcome for name, row in zip(mails, practice.rows(), strict=False)}
    assert {name: found[name] for name, (_, outcome) in mails.items() if outcome not in ("any", found[name])} == {}
    assert [row.raw is None for row in practice.rows()] == [row.state == "decided" for row in practice.rows()]
    blocked = db.session.scalars(select(Attachment.reason).where(Attachment.state == "blocked"))
    assert "dangerous" in set(blocked)
    client.sign_in(practice.user)
    page = client.get(f"/conversations/{practice.conversation.id}").text
    for forbidden in ("<form action=https://evil", "onerror", "evil.example/p.gif", "\0"):
        assert forbidden not in page


@pytest.mark.bad_input(8)
@pytest.mark.requirement("SMT-5")
def test_parts_end_at_a_depth_and_a_number() -> None:
    defects: set[str] = set()
    part, depth = divide(BAD["8 nested multiparts"][0], defects), 0
    while part.get("parts"):
        part, depth = part["parts"][0], depth + 1
    assert (depth, defects) == (MAX_DEPTH, {"too_many_parts"})
    assert len(divide(flat(10_000), set())["parts"]) < MAX_PARTS


@pytest.mark.parametrize(
    ("encoding", "body", "text", "defects"),
    [
        ("quoted-printable", b"Gr=C3=BC=C3=9Fe =\r\n!", "Grüße !", ()),
        ("base64", b"R3LDvMOfZQ==", "Grüße", ()),
        ("base64", b"R3LD!!vMOfZQ", "Grüß", ("base64",)),
        ("8bit", b"Gr\xfc\xdfe", "Grüße", ("charset",)),
        ("X-uuencode", b"begin 644 x\r\n&1W+#O,.?\r\n&~~~~~~~~\r\nend\r\n", "Grüß", ("uuencode",)),
        ("rot13", b"abc", "abc", ("encoding",)),
    ],
)
@pytest.mark.bad_input(21)
def test_transfer_encodings_are_undone_as_far_as_they_can_be(
    encoding: str, body: bytes, text: str, defects: tuple[str, ...]
) -> None:
    read = read_mail(mail(HEAD + f"Content-Transfer-Encoding: {encoding}\r\n", body), now()).mail
    assert read.text.startswith(text)
    assert set(read.defects) >= set(defects)


@pytest.mark.bad_input(23)
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename*=utf-8''%E2%82%AC%20rates.pdf", "€ rates.pdf"),
        ("attachment; filename*0=very; filename*1=long.pdf", "verylong.pdf"),
        ("attachment; filename==?utf-8?B?Li4vLi4vZXRjL3Bhc3N3ZA==?=", "passwd"),
        ("attachment; filename*=foo-bar''%FF.pdf", "ÿ.pdf"),
        ("attachment", "attachment"),
    ],
)
def test_names_of_files_are_read_and_made_safe(field: str, name: str) -> None:
    raw = mail(HEAD + f"{TYPE}application/octet-stream\r\nContent-Disposition: {field}\r\n", "x")
    (file,) = read_mail(raw, now()).mail.files
    assert file.name == name


@pytest.mark.rule("G-22")
def test_a_report_as_long_as_a_book_is_read_in_part() -> None:
    block = "\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: delivered\r\nStatus: 2.0.0"
    body = "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x" + block * 100_000 + "\r\n--b--"
    started = time.monotonic()
    report = read_mail(mail(HEAD + TYPE + "multipart/report; boundary=b\r\n", body), now()).report
    assert report is not None
    assert report.report is Report.DELIVERED
    assert time.monotonic() - started < 2
