"""Words planted once by real flows are afterwards found nowhere but on the pages of those who may read them (OAU-8, DAT-1, SYN-1)."""

from __future__ import annotations

import base64
import logging
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import select

from portal.connections import tokens
from portal.database import db
from portal.models import Attachment, Connection, Conversation, Decision, Grant, Message, OutboxMail
from portal.sealing import open_text
from portal.sending import outbox
from portal.sync import service
from tests.connections.consent import callback_path, consent
from tests.connections.people import make_signer, start
from tests.factories import make_contact, make_member
from tests.services.programs import Sandbox

OWN, PATIENT, STRANGER = "owen@gmail.example", "priya@mail.example", "stranger@elsewhere.example"
LOGGED = ("CanarySubjectA1", "CanaryBodyB2", "CanaryHtmlC3", "CanaryFileD4", "CanaryBytesE5")
REFUSED = ("CanaryRefusedSubjectF6", "CanaryRefusedBodyG7", "CanaryRefusedFileH8")
SENT = ("CanarySentSubjectI9", "CanarySentBodyJ0", "CanarySentFileK1")


def letter(sender: str, subject: str, text: str, html: str = "", file: tuple[str, bytes] | None = None) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, OWN, subject, make_msgid(domain="mail.example")
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    if file:
        mail.add_attachment(file[1], maintype="text", subtype="plain", filename=file[0])
    return bytes(mail)


def redis_content(url: str) -> bytes:
    """Every key and value, as Redis would dump it and as it is."""
    store, parts = Redis.from_url(url), []
    for key in store.keys("*"):
        kind = store.type(key)
        value: Any = {
            b"string": lambda k: store.get(k), b"hash": store.hgetall, b"set": store.smembers,
            b"list": lambda k: store.lrange(k, 0, -1), b"zset": lambda k: store.zrange(k, 0, -1, withscores=True),
            b"stream": lambda k: store.xrange(k),
        }[kind](key)  # fmt: skip
        parts.append(key + repr(value).encode())
    return b"\n".join(parts)


def hidden_forms(word: str) -> list[bytes]:
    """A word as text, and in base64 at each of its three offsets."""
    forms = [word.encode()]
    for offset in range(3):
        forms.append(base64.b64encode(b"\0" * offset + word.encode())[4 if offset else 0 : -4])
    return forms


def found_in(place: bytes, words: list[str]) -> list[str]:
    return [word for word in words if any(form in place for form in hidden_forms(word))]


@pytest.mark.requirement("OAU-8")
@pytest.mark.requirement("DAT-1")
@pytest.mark.requirement("SYN-1")
@pytest.mark.requirement("RBA-2")
@pytest.mark.requirement("AUD-6")
@pytest.mark.requirement("CFG-4")
def test_planted_words_are_nowhere_but_where_they_belong(
    sqlite_app: Flask, sqlite_backend: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for address, name in ((OWN, "Owen"), (PATIENT, "Priya"), (STRANGER, "Stranger")):
        sandbox.add_mailbox(address, name)
    account, user = make_signer()
    contact = make_contact(account, PATIENT)
    officer, marketing = make_member(account, "compliance"), make_member(account, "marketing")
    vendor, auditor = make_member(account, "vendor"), make_member(account, "auditor")
    client = sqlite_app.test_client().sign_in(user)

    callback = callback_path(consent(sandbox, start(client), OWN))
    caplog.clear()  # until here the test's own browser wrote of Google's pages
    assert client.get(callback).status_code == 303
    pages = [client.get(callback).text]  # once more: refused
    connection_id = db.session.scalars(select(Connection.id)).one()
    db.session.commit()

    sandbox.deliver(
        letter(PATIENT, LOGGED[0], LOGGED[1], f"<p>{LOGGED[2]}</p>", (f"{LOGGED[3]}.txt", LOGGED[4].encode() * 20)), OWN, PATIENT
    )  # fmt: skip
    sandbox.deliver(letter(STRANGER, REFUSED[0], REFUSED[1], file=(f"{REFUSED[2]}.txt", b"x")), OWN, STRANGER)
    assert service.sync_mailbox(connection_id) == "synced"
    sandbox.fault(path="messages/send", status=500, times=1)
    form = {"token": "t1", "action": "send", "subject": SENT[0], "text": SENT[1]}
    answer = client.post(f"/contacts/{contact.id}/mail", data=form)
    assert answer.status_code == 303, answer.text
    for mail_id in db.session.scalars(select(OutboxMail.id)).all():
        db.session.commit()
        outbox.deliver(mail_id)

    # It has happened, so that finding nothing means something.
    db.session.expire_all()
    outcomes = {row.reason: row.outcome for row in db.session.scalars(select(Decision))}
    assert outcomes["contact_wrote"] == "logged"
    assert "left_out" in outcomes.values()
    attachment = db.session.scalars(select(Attachment)).one()
    assert attachment.state == "stored"
    grant = db.session.scalars(select(Grant)).one()
    secrets = [
        open_text(grant.refresh_token, tokens.REFRESH_TOKEN, tokens.owner_of(grant), grant.id),
        open_text(grant.access_token, tokens.ACCESS_TOKEN, tokens.owner_of(grant), grant.id),
        *(form for name, word in parse_qsl(callback.partition("?")[2]) if name in ("code", "state") for form in (word, quote(word, safe=""))),
    ]  # fmt: skip
    conversation = db.session.scalars(select(Conversation)).first()
    message = db.session.scalars(select(Message)).first()
    assert conversation is not None and message is not None  # noqa: PT018
    read = "".join(
        client.get(path).text
        for path in ("/conversations", f"/conversations/{conversation.id}", f"/messages/{message.id}/html", "/outbox")
    )
    assert LOGGED[0] in read
    assert LOGGED[1] in read

    words = [*secrets, *LOGGED, *REFUSED, *SENT]
    folder = Path(sqlite_backend.environ["VAR_DIR"])
    disk = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    database = Path(sqlite_backend.environ["DATABASE_URL"].partition(":///")[2])
    disk += b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*") if path.is_file())
    assert attachment.store_key in {path.name for path in folder.rglob("*")}
    assert contact.email.encode() in disk  # the right files were read
    assert found_in(disk, words) == []
    assert found_in(redis_content(sqlite_backend.environ["REDIS_URL"]), words) == []
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("tests"))
    assert found_in(ours.encode(), words) == []

    ids = {
        "conversation_id": conversation.id, "contact_id": contact.id, "message_id": message.id,
        "attachment_id": attachment.id, "connection_id": connection_id,
    }  # fmt: skip
    for person in (officer, marketing, vendor, auditor):
        other = sqlite_app.test_client().sign_in(person)
        pages += [str(other.get(path).data) for path in _addresses(sqlite_app, ids)]
    pages += [read, client.get("/profile/email").text, client.get("/profile/email/decisions").text]
    owner_pages = "".join(pages[-3:])
    assert found_in("".join(pages[:-3]).encode(), words) == []
    assert found_in(owner_pages.encode(), [*secrets, *REFUSED]) == []


def _addresses(app: Flask, ids: dict[str, Any]) -> list[str]:
    """Every page of the application that can be asked for with these ids."""
    found = []
    with app.test_request_context():
        adapter = app.url_map.bind("")
        for rule in app.url_map.iter_rules():
            if "GET" in (rule.methods or ()) and rule.endpoint != "static" and rule.arguments <= set(ids):
                found.append(adapter.build(rule.endpoint, {name: ids[name] for name in rule.arguments}))
    return found
