"""The bad mails of the catalogue, delivered through the stand-in: each ends in a decision, none stops the mailbox."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis

from portal.database import db
from tests import factories
from tests.conftest import Backend
from tests.sync.conftest import COLLEAGUE, OWN, PATIENT, STRANGER, Practice

HEAD = f"From: Priya <{PATIENT}>\r\nTo: {OWN}\r\nSubject: s\r\n"


def mail(head: str = HEAD, body: str | bytes = "Hello.\r\n") -> bytes:
    """Bytes of a mail."""
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + (body if isinstance(body, bytes) else body.encode())


def nested(depth: int) -> bytes:
    """Multiparts in multiparts."""
    lines = [HEAD.rstrip("\r\n")]
    for level in range(depth):
        lines += [f'Content-Type: multipart/mixed; boundary="b{level}"', "", f"--b{level}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "deep", ""]).encode()


# number of the catalogue → (the mail, outcome or "any")
BAD: dict[str, tuple[bytes, str]] = {
    "1 empty message id": (mail(HEAD + "Message-ID: <>\r\n"), "logged"),
    "2 cut message id": (mail(HEAD + "Message-ID: <abc@\r\n"), "logged"),
    "3 unknown charset": (mail(HEAD + 'Content-Type: text/plain; charset="foo-bar"\r\n', b"caf\xe9"), "logged"),
    "4 charset with NUL": (mail(HEAD + 'Content-Type: text/plain; charset="utf-8\0"\r\n', b"caf\xc3\xa9"), "logged"),
    "5 charset idna": (mail(HEAD + 'Content-Type: text/plain; charset="idna"\r\n', "xn--a"), "logged"),
    "5 charset unicode_escape": (mail(HEAD + "Content-Type: text/plain; charset=unicode_escape\r\n", "\\x41"), "logged"),
    "6 comments without end": (mail(f"From: {'(' * 5000}{PATIENT}\r\nTo: {OWN}\r\nSubject: s\r\n"), "unreadable"),
    "7 nested groups": (mail(f"From: {PATIENT}\r\nTo: {'a:' * 500};\r\nSubject: s\r\n"), "any"),
    "8 nested multiparts": (nested(300), "any"),
    "9 20,000 recipients": (
        mail(f"From: {PATIENT}\r\nTo: {', '.join(f'p{n}@x.example' for n in range(20_000))}\r\nSubject: s\r\n"),
        "unreadable",
    ),
    "10 many headers": (mail(HEAD + "".join(f"X-{n}: 1\r\n" for n in range(20_000))), "any"),
    "11 address in an encoded word": (
        mail(f"From: =?utf-8?Q?{PATIENT}?= <{STRANGER}>\r\nTo: {OWN}\r\nSubject: s\r\n"), "left_out",
    ),
    "12 two addresses in one": (mail(f"From: {PATIENT})bob@evil.example\r\nTo: {OWN}\r\nSubject: s\r\n"), "unreadable"),
    "13 two senders": (mail(f"From: {PATIENT}, b@y.example\r\nTo: {OWN}\r\nSubject: s\r\n"), "unreadable"),
    "13 two From headers": (mail(HEAD + "From: b@y.example\r\n"), "unreadable"),
    "14 a name that is an address": (mail(f'From: "{PATIENT}" <{STRANGER}>\r\nTo: {OWN}\r\nSubject: s\r\n'), "left_out"),
    "15 look-alike letters": (mail(f"From: {PATIENT.replace('i', 'ı')}\r\nTo: {OWN}\r\nSubject: s\r\n"), "left_out"),
    "15 full-width at": (mail(f"From: {PATIENT.replace('@', '＠')}\r\nTo: {OWN}\r\nSubject: s\r\n"), "unreadable"),
    "15 mixed case": (mail(f"From: {PATIENT.upper()}\r\nTo: {OWN}\r\nSubject: s\r\n"), "logged"),
    "16 line break in the subject": (
        mail(f"From: {PATIENT}\r\nTo: {OWN}\r\nSubject: =?utf-8?Q?a=0D=0ABcc:_x@evil.example?=\r\n"), "logged",
    ),
    "17 date of nonsense": (mail(HEAD + "Date: 99 Foo 0000 99:99 +9999999\r\n"), "logged"),
    "20 empty": (mail(HEAD, ""), "logged"),
    "20 only NULs": (mail(HEAD, b"\0" * 1000), "logged"),
    "20 8 bit without charset": (mail(HEAD, bytes(range(128, 256))), "logged"),
    "21 base64 of junk": (mail(HEAD + "Content-Transfer-Encoding: base64\r\n", "SGVs!!bG8*==="), "logged"),
    "21 uuencode of garbage": (mail(HEAD + "Content-Transfer-Encoding: x-uuencode\r\n", "begin 644 x\r\n!!"), "logged"),
    "22 multipart without boundary": (mail(HEAD + "Content-Type: multipart/mixed\r\n", "text"), "logged"),
    "22 boundary of 10 KB": (mail(HEAD + f'Content-Type: multipart/mixed; boundary="{"b" * 10_000}"\r\n', "x"), "any"),
    "23 file name with a path": (
        mail(HEAD + 'Content-Type: image/png; name="../../etc/passwd"\r\nContent-Disposition: attachment\r\n', "x"), "any",
    ),
    "24 a header line of 300 KB": (mail(HEAD + f"References: {'<a@b> ' * 50_000}\r\n"), "unreadable"),
    "28 HTML of nested tags": (mail(HEAD + "Content-Type: text/html\r\n", "<div>" * 100_000), "logged"),
    "29 S/MIME": (mail(HEAD + "Content-Type: application/pkcs7-mime; name=smime.p7m\r\n", "MII"), "logged"),
    "29 a calendar request": (mail(HEAD + "Content-Type: text/calendar; method=REQUEST\r\n", "BEGIN:VCALENDAR"), "logged"),
    "32 direction marks": (
        mail(f"From: \u202e\u200b <{PATIENT}>\r\nTo: {OWN}\r\nSubject: \u202efdp.exe \x00\r\n"), "logged",
    ),
}  # fmt: skip


@pytest.mark.rule("E-01")
@pytest.mark.requirement("SMT-5")
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
@pytest.mark.bad_input(20)
@pytest.mark.bad_input(21)
@pytest.mark.bad_input(22)
@pytest.mark.bad_input(23)
@pytest.mark.bad_input(24)
@pytest.mark.bad_input(28)
@pytest.mark.bad_input(29)
@pytest.mark.bad_input(32)
def test_every_bad_mail_ends_in_a_decision(practice: Practice) -> None:
    delivered = practice.sandbox.deliver_many(
        [{"to": [OWN], "raw": base64.urlsafe_b64encode(raw).decode()} for raw, _ in BAD.values()]
    )
    ids = {name: found[OWN] for name, found in zip(BAD, delivered, strict=True)}
    fine = practice.arrives(subject="a good one behind them")
    assert practice.sync() == "synced"
    decisions = practice.decisions()
    assert set(decisions) == {*ids.values(), fine}
    assert decisions[fine].outcome == "logged"
    wrong = {
        name: (decisions[ids[name]].outcome, decisions[ids[name]].reason)
        for name, (_, outcome) in BAD.items()
        if outcome not in ("any", decisions[ids[name]].outcome)
    }
    assert wrong == {}
    assert practice.is_consistent()
    by_id = {m.provider_message_id: m for m in practice.messages()}
    assert by_id[ids["1 empty message id"]].internet_message_id.startswith("<")
    assert "\n" not in practice.subject(by_id[ids["16 line break in the subject"]])
    assert "\0" not in practice.text(by_id[ids["20 only NULs"]])


@pytest.mark.bad_input(18)
def test_the_same_message_id_twice_is_two_messages(practice: Practice) -> None:
    one = practice.arrives(Message_ID="<same@mail.example>", text="one")
    two = practice.arrives(Message_ID="<same@mail.example>", text="two")
    practice.sync()
    assert sorted(practice.text(m).strip() for m in practice.messages()) == ["one", "two"]
    assert practice.reason(one) == "contact_wrote"
    assert practice.decisions()[two].outcome == "logged"


CANARY = "canary-7f3a91"


def everywhere(practice: Practice, app: Flask, backend: Backend) -> list[str]:
    """Where the canary is found: dump of the database, Redis, state folder, temporary folder."""
    db.session.commit()
    found = []
    if db.engine.dialect.name == "sqlite":
        files = Path(app.extensions["settings"].database_url.removeprefix("sqlite:///")).parent.rglob("*")
        found += [str(f) for f in files if f.is_file() and CANARY.encode() in f.read_bytes()]
    for table in db.metadata.sorted_tables:
        for row in db.session.execute(table.select()):
            if any(CANARY in str(value) or (isinstance(value, bytes) and CANARY.encode() in value) for value in row):
                found.append(table.name)
    redis = Redis.from_url(backend.environ["REDIS_URL"])
    for key in redis.scan_iter():
        dump = redis.dump(key)
        if CANARY.encode() in key or (dump and CANARY.encode() in dump):
            found.append(f"redis {key!r}")
    folder = Path(backend.environ["VAR_DIR"])
    for path in [*folder.rglob("*"), *Path(tempfile.gettempdir()).glob("tmp*")]:
        if path.is_file() and os.access(path, os.R_OK) and CANARY.encode() in path.read_bytes():
            found.append(str(path))
    return found


@pytest.mark.requirement("SYN-1")
@pytest.mark.requirement("DAT-1")
@pytest.mark.fault(1)
@pytest.mark.parametrize("crash", ["", "headers-read", "page-written"])
def test_refused_mail_leaves_no_trace(practice: Practice, app: Flask, backend: Backend, crash: str) -> None:
    """Staff-to-staff and a stranger's mail: no word of subject, text, file or third party, also when the worker dies."""
    from tests.sync.test_crashes import run_worker

    factories.make_member(practice.account, email=COLLEAGUE)
    practice.arrives(COLLEAGUE, subject=f"{CANARY} payroll", text=f"{CANARY} salary", Cc=f"{CANARY}@x.example")
    practice.arrives(STRANGER, subject=CANARY, text=CANARY, Reply_To=f"{CANARY}@x.example")
    if crash:
        assert run_worker(backend, practice.connection.id, CRASH_AT=crash).returncode == -9
    else:
        assert practice.sync() == "synced"
        assert {d.reason for d in practice.decisions().values()} == {"crm_user", "no_contact"}
    assert everywhere(practice, app, backend) == []
    assert not [call for call in practice.calls() if "format=full" in str(call)]


@pytest.mark.requirement("DAT-1")
def test_logged_mail_is_sealed_at_rest(practice: Practice, app: Flask, backend: Backend) -> None:
    practice.arrives(subject=f"{CANARY} swelling", text=f"{CANARY} photos")
    practice.sync()
    assert len(practice.messages()) == 1
    assert CANARY in practice.text(practice.messages()[0])
    assert everywhere(practice, app, backend) == []
