"""The intake's port: whom it lets speak, what it takes, and that it is kept before it is acknowledged."""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.database import db
from portal.intake import service
from portal.intake.smtpd import MAX_BYTES, MOST_RECIPIENTS, MOST_UNKNOWN, Limits
from portal.lib.ids import new_token
from tests import factories
from tests.intake.conftest import DOMAIN, PATIENT, Intake, Practice, answer, listening
from tests.providers.smtp_server import certificate

HELLO, FROM = b"EHLO client.example\r\n", b"MAIL FROM:<priya@mail.example>\r\n"


@pytest.mark.rule("S-01")
@pytest.mark.requirement("SMT-5")
@pytest.mark.requirement("DAT-1")
def test_a_mail_is_kept_sealed_before_it_is_acknowledged(intake: Intake, practice: Practice) -> None:
    raw = practice.mail(text="canary-7f3a91")
    assert intake.send(raw, practice.reply_address) == (250, b"2.0.0 OK, kept")
    (row,) = practice.rows()
    assert (row.kind, row.state, row.size, row.has_null_sender) == ("reply", "received", len(raw), False)
    assert (row.user_id, row.conversation_id) == (practice.user.id, practice.conversation.id)
    assert row.raw is not None
    assert b"canary" not in row.raw


@pytest.mark.requirement("SMT-1")
@pytest.mark.requirement("SMT-3")
@pytest.mark.parametrize(
    "address",
    [
        f"r-{'a2' * 13}@{DOMAIN}",
        f"b-{'b3' * 13}@{DOMAIN}",
        f"postmaster@{DOMAIN}",
        "someone@gmail.com",
        f"victim%gmail.com@{DOMAIN}",
        f"@{DOMAIN}:victim@gmail.com",
        "root",
    ],
)
def test_all_others_get_one_answer(intake: Intake, address: str) -> None:
    with intake.client() as client:
        client.mail(PATIENT)
        assert client.rcpt(address)[0] in ((550, 553) if "@" not in address or ":" in address else (550,))
        assert client.docmd("DATA")[0] == 503


@pytest.mark.requirement("SMT-1")
def test_known_and_unknown_differ_in_the_answer_only(intake: Intake, practice: Practice) -> None:
    with intake.client() as client:
        client.mail(PATIENT)
        answers = {client.rcpt(f"{kind}-{new_token()}@{DOMAIN}") for kind in "rb"} | {client.rcpt("a@gmail.com")}
        assert answers == {(550, b"5.1.1 No such address here")}
        assert client.rcpt(practice.reply_address.upper())[0] == 250
        assert client.rcpt(practice.bounce_address.replace("@", "+tag@"))[0] == 250


@pytest.mark.requirement("SMT-1")
@pytest.mark.requirement("SMT-3")
def test_who_guesses_is_shown_out(intake: Intake, practice: Practice) -> None:
    """Hundreds of guesses: no hit, each visit ends after some, and nothing is kept."""
    codes: list[int] = []
    for _ in range(30):
        with intake.client() as client:
            client.mail(PATIENT)
            found = [client.rcpt(f"r-{new_token()}@{DOMAIN}")[0] for _ in range(MOST_UNKNOWN + 1)]
            codes += found
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.noop()
    assert set(codes) == {550, 421}
    assert codes.count(421) == 30
    assert practice.rows() == []


@pytest.mark.requirement("SMT-3")
def test_some_recipients_are_enough(intake: Intake, practice: Practice) -> None:
    others = [factories.make_conversation(practice.contact, practice.user, reply_token=new_token()) for _ in range(21)]
    addresses = [f"r-{row.reply_token}@{DOMAIN}" for row in others]
    db.session.commit()
    with intake.client() as client:
        client.mail(PATIENT)
        assert [client.rcpt(address)[0] for address in addresses] == [250] * MOST_RECIPIENTS + [452]
        assert client.data(practice.mail())[0] == 250
    assert len(practice.rows()) == MOST_RECIPIENTS


@pytest.mark.requirement("SMT-5")
def test_a_mail_to_two_of_our_addresses_is_kept_for_each(intake: Intake, practice: Practice) -> None:
    intake.send(practice.mail(), practice.reply_address, practice.bounce_address, practice.reply_address)
    assert sorted(row.kind for row in practice.rows()) == ["bounce", "reply"]


@pytest.mark.fault(30)
def test_after_a_lost_250_the_same_mail_is_kept_once(intake: Intake, practice: Practice) -> None:
    raw = practice.mail(Message_ID="<once@mail.example>")
    assert intake.send(raw, practice.reply_address)[0] == 250
    assert practice.file_all() == ["routed_reply"]
    again = b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0000\r\n" + raw
    assert intake.send(again, practice.reply_address) == (250, b"2.0.0 OK, kept")
    assert len(practice.rows()) == 1
    assert len(practice.answers()) == 1


@pytest.mark.fault(30)
def test_two_tries_of_one_mail_at_once_are_one(intake: Intake, practice: Practice) -> None:
    raw = practice.mail()
    db.session.commit()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: intake.send_beside(raw, practice.reply_address)[0], range(4)))
    assert answers == [250] * 4
    assert len(practice.rows()) == 1


@pytest.mark.fault(30)
@pytest.mark.requirement("SMT-5")
def test_a_client_that_drops_in_the_data_leaves_nothing(intake: Intake, practice: Practice) -> None:
    with intake.in_data(practice.reply_address) as wire:
        wire.sendall(practice.mail()[:50])
    time.sleep(0.2)
    assert practice.rows() == []
    assert intake.send(practice.mail(), practice.reply_address)[0] == 250


@pytest.mark.fault(30)
def test_without_a_database_the_sender_tries_later(
    app: Flask, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    with listening(app) as intake:
        monkeypatch.setattr(service, "insert_new", away)
        assert intake.send(practice.mail(), practice.reply_address) == (
            451, b"4.3.0 Not possible at the moment, try again later",
        )  # fmt: skip
        monkeypatch.setattr(service, "reading", away)
        assert intake.send(practice.mail(), practice.reply_address)[0] == 451
        monkeypatch.undo()
        assert intake.send(practice.mail(), practice.reply_address)[0] == 250
    assert len(practice.rows()) == 1


@pytest.mark.requirement("SMT-3")
def test_what_is_not_offered_is_refused(intake: Intake) -> None:
    with intake.client() as client:
        assert (client.does_esmtp, client.esmtp_features["size"]) == (True, str(MAX_BYTES))
        assert not {"auth", "help", "starttls"} & set(client.esmtp_features)
        assert client.verify(PATIENT)[0] == 502
        assert client.expn("staff")[0] == 502
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 500
        assert client.mail(PATIENT, [f"SIZE={MAX_BYTES + 1}"])[0] == 552
        assert client.docmd("RCPT", "TO:<" + "(" * 480 + "a@b>")[0] in (500, 501, 503, 553)
        assert client.noop()[0] == 250


@pytest.mark.requirement("NET-2")
def test_with_a_certificate_it_offers_tls(app: Flask, practice: Practice, tmp_path: Path) -> None:
    _, public = certificate(tmp_path)
    own = app.extensions["settings"]
    app.extensions["settings"] = replace(own, intake_tls_cert=str(public), intake_tls_key=str(public.with_suffix(".key")))
    try:
        with listening(app) as intake, intake.client() as client:
            assert client.has_extn("starttls")
            client.starttls(context=ssl.create_default_context(cafile=str(public)))
            client.ehlo()
            assert not {"auth", "starttls"} & set(client.esmtp_features)
            client.mail(PATIENT)
            client.rcpt(practice.reply_address)
            assert client.data(practice.mail())[0] == 250
    finally:
        app.extensions["settings"] = own


@pytest.mark.requirement("SMT-3")
def test_a_mail_that_is_too_large_is_refused_and_the_next_taken(intake: Intake, practice: Practice) -> None:
    with intake.client() as client:
        client.mail(PATIENT)
        client.rcpt(practice.reply_address)
        assert client.data(practice.mail() + b"x" * MAX_BYTES)[0] == 552
        client.mail(PATIENT)
        client.rcpt(practice.reply_address)
        assert client.data(practice.mail(text="y" * 3_000_000))[0] == 250  # one very long line is taken
    assert [row.size > 3_000_000 for row in practice.rows()] == [True]


@pytest.mark.requirement("SMT-3")
@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\n\n.\r\n", b"\r\n.\r"])
def test_nothing_but_a_dot_between_line_ends_ends_the_data(intake: Intake, practice: Practice, ending: bytes) -> None:
    smuggled = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<" + practice.bounce_address.encode() + b">\r\nDATA\r\nowned\r\n"
    to = f"RCPT TO:<{practice.reply_address}>\r\n".encode()
    heard = intake.speak(HELLO, FROM, to, b"DATA\r\n", practice.mail() + b"one" + ending + smuggled + b"\r\n.\r\n")
    assert heard.count(b"OK, kept") == 1
    assert [row.kind for row in practice.rows()] == ["reply"]


@pytest.mark.requirement("SMT-3")
def test_data_is_taken_byte_by_byte_as_it_was(intake: Intake, practice: Practice) -> None:
    """Doubled dots are undone, also in the first line and where the end is cut into pieces."""
    to = f"RCPT TO:<{practice.reply_address}>\r\n".encode()
    with intake.in_data(practice.reply_address) as wire:
        for piece in (b"..a: b\r", b"\n\r\n..\r\n.", b".c\r\n", b".", b"\r", b"\n"):
            wire.sendall(piece)
            time.sleep(0.03)
        assert answer(wire).startswith(b"250")
    (row,) = practice.rows()
    assert service.envelope().open(row.raw or b"", service.place(service.RAW, row.account_id, row.id)) == (
        b".a: b\r\n\r\n.\r\n.c\r\n"
    )
    assert intake.speak(HELLO, FROM, to, b"DATA\r\n", b".\r\n").endswith(b"250 2.0.0 OK, kept\r\n")


@pytest.mark.requirement("SMT-3")
def test_who_speaks_before_the_answer_to_data_is_shown_out(intake: Intake, practice: Practice) -> None:
    to = f"RCPT TO:<{practice.reply_address}>\r\n".encode()
    assert b"503 5.5.0" in intake.speak(HELLO, FROM, to, b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n")
    assert practice.rows() == []


@pytest.mark.requirement("SMT-3")
@pytest.mark.parametrize(
    ("limits", "talk"),
    [
        (Limits(idle_seconds=0.4), lambda intake: intake.speak(HELLO, b"NOOP\r\n", pause=1.0)),
        (Limits(total_seconds=0.8), lambda intake: intake.speak(*[b"NOOP\r\n"] * 20, pause=0.1)),
    ],
    ids=["idle", "endless"],
)
def test_slow_callers_are_shown_out(
    app: Flask, practice: Practice, limits: Limits, talk: Callable[[Intake], bytes]
) -> None:
    with listening(app, limits) as intake:
        started = time.monotonic()
        assert talk(intake).count(b"250 OK") < 15
        assert time.monotonic() - started < 4
        assert intake.send(practice.mail(), practice.reply_address)[0] == 250


@pytest.mark.requirement("SMT-3")
def test_a_mail_that_comes_slowly_is_taken_while_it_moves(app: Flask, practice: Practice) -> None:
    with listening(app, Limits(idle_seconds=0.5)) as intake, intake.in_data(practice.reply_address) as wire:
        for piece in (b"Subject: slow\r\n", b"\r\n", b"a\r\n", b"b\r\n", b".\r\n"):
            wire.sendall(piece)
            time.sleep(0.25)
        assert answer(wire).startswith(b"250")


@pytest.mark.requirement("SMT-3")
def test_one_caller_gets_so_many_connections(app: Flask, practice: Practice) -> None:
    db.session.commit()
    with listening(app, Limits(per_address=3)) as intake:
        clients = [intake.client() for _ in range(3)]
        with pytest.raises(smtplib.SMTPConnectError, match="421"):
            intake.client()
        clients.pop().quit()
        time.sleep(0.1)
        intake.client().quit()
        for client in clients:
            client.quit()
