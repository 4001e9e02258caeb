"""Files of logged mail: stored sealed, or named with the reason why not."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.models import Attachment
from portal.rules.sending import MAX_FILE_BYTES
from portal.sealing import open_text
from portal.sync import files
from tests.sync.conftest import OWN, PATIENT, STRANGER, Practice

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


def with_files(*attached: tuple[str, bytes], sender: str = PATIENT) -> bytes:
    """A mail with files."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, OWN, "Photos"
    mail.set_content("Here they are.")
    for name, data in attached:
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def attachments() -> list[tuple[str, str, str, str]]:
    """(name, state, reason, sniffed type) in order."""
    rows = db.session.scalars(select(Attachment).order_by(Attachment.position))
    return [(open_text(r.name, "attachment.name", r.account_id, r.id), r.state, r.reason, r.content_type) for r in rows]


def stored(app: Flask) -> list[Path]:
    """Every file in the store."""
    folder: Path = app.extensions["settings"].attachment_path
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def empty_store(app: Flask) -> None:
    """Nothing of an earlier test."""
    for path in stored(app):
        path.unlink()


@pytest.mark.rule("G-13")
@pytest.mark.requirement("ATT-1")
@pytest.mark.bad_input(31)
def test_files_are_stored_or_named(practice: Practice) -> None:
    practice.sandbox.deliver(
        with_files(("scan.png", PNG), ("bill.exe", b"MZ\0\0"), ("photo.jpg", b"<html><script>x</script>")), OWN
    )
    practice.sync()
    assert attachments() == [
        ("scan.png", "stored", "", "image/png"),
        ("bill.exe", "blocked", "dangerous", "application/x-msdownload"),
        ("photo.jpg", "blocked", "disguised", "text/html"),
    ]
    row = db.session.scalars(select(Attachment).where(Attachment.state == "stored")).one()
    assert store.read(row.account_id, row.id, row.store_key) == PNG
    assert len(stored(practice_app(practice))) == 1


def practice_app(_practice: Practice) -> Flask:
    """The running application."""
    from flask import current_app

    return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.rule("G-13")
def test_of_a_larger_mail_the_text_is_logged_and_the_left_out_file_named(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundredth of the real limit, which costs the same code a hundredth of the time."""
    monkeypatch.setattr(files, "MAX_FILE_BYTES", MAX_FILE_BYTES // 100)
    practice.sandbox.deliver(with_files(("a.bin", b"a" * 240_000), ("b.bin", b"b" * 24_000)), OWN)
    assert practice.sync() == "synced"
    assert [(name, state, reason) for name, state, reason, _ in attachments()] == [
        ("a.bin", "stored", ""), ("b.bin", "left_out", "too_large"),
    ]  # fmt: skip
    [message] = practice.messages()
    assert practice.text(message).strip() == "Here they are."
    assert message.attachment_count == 2


@pytest.mark.provider_fault(17)
def test_a_file_that_the_provider_does_not_hand_over_is_named(practice: Practice) -> None:
    practice.sandbox.deliver(with_files(("scan.png", PNG)), OWN)
    practice.sandbox.fault(path="*/attachments/*", status=404, body={"error": {"code": 404, "message": "Not Found"}})
    assert practice.sync() == "synced"
    assert [row[1:3] for row in attachments()] == [("left_out", "not_fetched")]


@pytest.mark.fault(12)
def test_files_of_a_page_that_fails_leave_the_store(practice: Practice, app: Flask) -> None:
    """The second file cannot be had: nothing is logged yet, the first file is taken out again, the next run has both."""
    practice.sandbox.deliver(with_files(("one.png", PNG), ("two.png", PNG)), OWN)
    practice.sandbox.fault(path="*/attachments/*", skip=1, times=1, status=503)
    assert practice.sync() == "delayed"
    assert not practice.messages()
    assert not stored(app)
    assert practice.sync() == "synced"
    assert [row[1] for row in attachments()] == ["stored", "stored"]
    assert len(stored(app)) == 2


@pytest.mark.fault(27)
def test_a_store_that_takes_nothing_costs_no_text(practice: Practice, app: Flask) -> None:
    folder = app.extensions["settings"].attachment_path
    folder.parent.mkdir(parents=True, exist_ok=True)
    moved = folder.with_suffix(".aside")
    if folder.exists():
        folder.rename(moved)
    folder.write_text("not a folder")
    try:
        practice.sandbox.deliver(with_files(("scan.png", PNG)), OWN)
        assert practice.sync() == "synced"
    finally:
        folder.unlink()
        if moved.exists():
            moved.rename(folder)
    assert [row[1:3] for row in attachments()] == [("left_out", "not_stored")]
    assert len(practice.messages()) == 1


@pytest.mark.requirement("SYN-1")
def test_files_of_refused_mail_are_never_asked_for(practice: Practice, app: Flask) -> None:
    practice.sandbox.deliver(with_files(("scan.png", PNG), sender=STRANGER), OWN)
    practice.sync()
    assert not stored(app)
    assert not practice.calls("attachments")
