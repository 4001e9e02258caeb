"""Keys are rotated while the portal runs: afterwards everything opens with the new key alone."""

from __future__ import annotations

import os
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import LargeBinary

from portal.connections import rotation, service
from portal.conversations import store
from portal.database import db
from portal.lib.crypto import Envelope
from portal.lib.ids import new_id
from portal.models import Attachment, AuditEvent, Connection, Conversation, Grant, Message, MessageBody
from portal.sealing import open_text, seal_text
from tests.factories import (
    make_account,
    make_connection,
    make_contact,
    make_conversation,
    make_grant,
    make_member,
    make_message,
)

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
CONSENT = "1//refresh-token"


@pytest.fixture
def keys(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`keys(NEW, OLD)` gives the application these keys, the first being the one that seals."""

    def use(*pairs: tuple[str, bytes]) -> None:
        monkeypatch.setitem(app.extensions, "envelope", Envelope(pairs))

    use(OLD)
    return use


def test_every_sealed_column_of_the_models_is_rotated() -> None:
    sealed = {
        (mapper.class_, attribute.key)
        for mapper in db.Model.registry.mappers
        for attribute in mapper.column_attrs
        if isinstance(attribute.columns[0].type, LargeBinary)
    }
    assert sealed == {(column.model, column.name) for column in rotation.COLUMNS}


def write_everything() -> dict[str, Any]:
    account = make_account()
    user = make_member(account)
    grant = make_grant(user, "owen@lumen.example", refresh_token=CONSENT)
    grant.access_token = seal_text("ya29", "grant.access_token", f"google:{grant.subject}", grant.id)
    connection = make_connection(account, user, "owen@lumen.example", grant=grant)
    conversation = make_conversation(make_contact(account), user, connection, subject="Swelling")
    message = make_message(conversation, "It feels softer today.", html="<p>It feels softer today.</p>")
    file_id = new_id()
    file = Attachment(
        id=file_id, account_id=account.id, message_id=message.id, conversation_id=conversation.id,
        name=seal_text("photo.jpg", "attachment.name", account.id, file_id), content_type="image/jpeg", size=5, state="stored",
        store_key=store.put(account.id, file_id, b"bytes"),
    )  # fmt: skip
    db.session.add(file)
    db.session.commit()
    return {"account": account, "grant": grant, "conversation": conversation, "message": message, "file": file}


def read_everything(rows: dict[str, Any]) -> list[Any]:
    db.session.expire_all()
    account_id, message, file = rows["account"].id, rows["message"], rows["file"]
    grant, body = rows["grant"], db.session.get_one(MessageBody, rows["message"].id)
    place = f"google:{grant.subject}"
    return [
        open_text(rows["conversation"].subject, "conversation.subject", account_id, rows["conversation"].id),
        open_text(message.subject, "message.subject", account_id, message.id),
        open_text(message.snippet, "message.snippet", account_id, message.id),
        open_text(body.text, "message_body.text", account_id, body.id),
        open_text(body.html, "message_body.html", account_id, body.id),
        open_text(file.name, "attachment.name", account_id, file.id),
        open_text(grant.refresh_token, "grant.refresh_token", place, grant.id),
        open_text(grant.access_token, "grant.access_token", place, grant.id),
        store.read(account_id, file.id, file.store_key),
    ]


@pytest.mark.requirement("OAU-7")
@pytest.mark.requirement("DAT-1")
@pytest.mark.fault(26)
def test_after_a_rotation_the_old_key_is_not_needed(app: Flask, keys: Any) -> None:
    rows = write_everything()
    before = read_everything(rows)
    keys(NEW, OLD)
    said: list[str] = []
    found = rotation.rotate(said.append)
    assert (found.sealed, found.unopened) == (9, ())
    assert "stored attachments: 1" in said
    keys(NEW)
    assert read_everything(rows) == before
    event = db.session.query(AuditEvent).filter_by(name="operator:keys:rotated").one()
    assert event.details == {"key": "new", "count": 9}
    assert rotation.rotate().sealed == 0  # repeated, it has nothing to do


@pytest.mark.fault(26)
def test_a_value_sealed_meanwhile_is_kept(app: Flask, keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write_everything()
    keys(NEW, OLD)
    grant = rows["grant"]
    kept = rotation._resealed

    def slow(old: bytes, where: str) -> bytes | None:
        if "refresh_token" in where:  # another worker stores a new consent between reading and writing
            fresh = seal_text("1//newer", "grant.refresh_token", f"google:{grant.subject}", grant.id)
            table = Grant.__table__
            db.session.execute(table.update().where(table.c.id == grant.id).values(refresh_token=fresh))
        return kept(old, where)

    monkeypatch.setattr(rotation, "_resealed", slow)
    rotation.rotate()
    db.session.expire_all()
    assert open_text(grant.refresh_token, "grant.refresh_token", f"google:{grant.subject}", grant.id) == "1//newer"


def test_what_waits_for_its_revocation_is_rotated_too(app: Flask, keys: Any) -> None:
    rows = write_everything()
    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    keys(NEW, OLD)
    assert rotation.rotate().unopened == ()
    keys(NEW)
    grant = rows["grant"]
    db.session.expire_all()
    assert open_text(grant.access_token, "grant.revoke_token", f"google:{grant.subject}", grant.id) == CONSENT


@pytest.mark.fault(27)
def test_what_does_not_open_is_named_and_the_rest_is_done(app: Flask, keys: Any) -> None:
    rows = write_everything()
    message_id, file = rows["message"].id, rows["file"]
    path = app.extensions["settings"].attachment_path / file.store_key[:2] / file.store_key
    os.remove(path)
    db.session.get_one(Conversation, rows["conversation"].id).subject = b"not sealed at all, but long enough"
    db.session.commit()
    keys(NEW, OLD)
    result = app.test_cli_runner().invoke(args=["keys", "rotate"])
    assert result.exit_code == 1
    assert f"conversation.subject {rows['conversation'].id}" in result.output
    assert f"attachment.content {file.id}" in result.output
    assert "7 sealed anew, 2 left" in result.output
    keys(NEW)
    db.session.expire_all()
    message = db.session.get_one(Message, message_id)
    assert open_text(message.subject, "message.subject", message.account_id, message.id) == "Swelling, day 2"


def test_the_command_says_when_the_old_key_may_go(app: Flask, keys: Any) -> None:
    write_everything()
    keys(NEW, OLD)
    result = app.test_cli_runner().invoke(args=["keys", "rotate"])
    assert result.exit_code == 0
    assert "The other keys are no longer needed." in result.output
