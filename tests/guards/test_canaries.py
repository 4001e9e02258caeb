"""Words planted once by real flows are afterwards found nowhere but on the pages of those who may read them (OAU-8, DAT-1, SYN-1)."""

from __future__ import annotations

import base64
import logging
from email.message import EmailMessage
from email.utils import make_msgid
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import select

from portal.connections import tokens
from portal.database import db
from portal.models import Account, Attachment, Connection, Contact, Conversation, Decision, Grant, Message, OutboxMail
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
    store: Any = Redis.from_url(url)
    parts: list[bytes] = []
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


def let_it_happen(client: Any, sandbox: Sandbox, contact: Contact, connection: Connection) -> None:
    """A contact's mail with a file arrives, so does a stranger's; the person answers with a file of their own."""
    file = (f"{LOGGED[3]}.txt", LOGGED[4].encode() * 20)
    sandbox.deliver(letter(PATIENT, LOGGED[0], LOGGED[1], f"<p>{LOGGED[2]}</p>", file), OWN, PATIENT)
    sandbox.deliver(letter(STRANGER, REFUSED[0], REFUSED[1], file=(f"{REFUSED[2]}.txt", b"x")), OWN, STRANGER)
    assert service.sync_mailbox(connection.id) == "synced"
    own_file = (BytesIO(SENT[1].encode() * 3), f"{SENT[2]}.txt")
    form = {"token": "t1", "action": "send", "subject": SENT[0], "text": SENT[1], "files": own_file}
    assert client.post(f"/contacts/{contact.id}/mail", data=form).status_code == 303
    mail_id = db.session.scalars(select(OutboxMail.id)).one()
    db.session.commit()
    assert outbox.deliver(mail_id) == "sent"
    db.session.expire_all()
    outcomes = {row.reason: row.outcome for row in db.session.scalars(select(Decision))}
    assert outcomes["contact_wrote"] == "logged"
    assert "left_out" in outcomes.values()
    assert {row.state for row in db.session.scalars(select(Attachment))} == {"stored"}


def secrets_of(callback: str) -> list[str]:
    """The tokens that are kept, and what the callback brought, as text and as it stands in an address."""
    grant = db.session.scalars(select(Grant)).one()
    places = ((grant.refresh_token, tokens.REFRESH_TOKEN), (grant.access_token, tokens.ACCESS_TOKEN))
    brought = [word for name, word in parse_qsl(callback.partition("?")[2]) if name in ("code", "state")]
    kept = [open_text(sealed, kind, tokens.owner_of(grant), grant.id) for sealed, kind in places]
    return [*kept, *brought, *(quote(word, safe="") for word in brought)]


def disk_content(environ: dict[str, str]) -> bytes:
    """The database with its write-ahead log, the attachment store, and whatever else lies there."""
    folder, database = Path(environ["VAR_DIR"]), Path(environ["DATABASE_URL"].partition(":///")[2])
    paths = {*folder.rglob("*"), *database.parent.glob(f"{database.name}*")}
    assert {row.store_key for row in db.session.scalars(select(Attachment))} <= {path.name for path in paths}
    return b"".join(path.read_bytes() for path in sorted(paths) if path.is_file())


def pages_without_access(app: Flask, account: Account, ids: dict[str, Any]) -> str:
    """Every page with these ids, exports included, of everybody who may not read conversations."""
    people = [make_member(account, role) for role in ("compliance", "marketing", "vendor", "auditor")]
    found = []
    for person in people:
        client: Any = app.test_client()
        client.sign_in(person)
        found += [str(client.get(path).data) for path in _addresses(app, ids)]
    return "".join(found)


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
    for address in (OWN, PATIENT, STRANGER):
        sandbox.add_mailbox(address)
    account, user = make_signer()
    contact = make_contact(account, PATIENT)
    client: Any = sqlite_app.test_client()
    client.sign_in(user)
    callback = callback_path(consent(sandbox, start(client), OWN))
    caplog.clear()  # until here the test's own browser wrote of Google's pages
    assert client.get(callback).status_code == 303
    refused_again = client.get(callback).text
    connection = db.session.scalars(select(Connection)).one()
    let_it_happen(client, sandbox, contact, connection)

    secrets = secrets_of(callback)
    words = [*secrets, *LOGGED, *REFUSED, *SENT]
    ids = {
        "provider": "google", "contact_id": contact.id, "connection_id": connection.id,
        "conversation_id": db.session.scalars(select(Conversation.id).order_by(Conversation.id)).first(),
        "message_id": db.session.scalars(select(Message.id).order_by(Message.id)).first(),
        "attachment_id": db.session.scalars(select(Attachment.id).order_by(Attachment.id)).first(),
    }  # fmt: skip
    own_pages = "".join(str(client.get(path).data) for path in _addresses(sqlite_app, ids))
    assert found_in(own_pages.encode(), list(LOGGED)) == list(LOGGED)  # so that finding nothing means something
    assert found_in(own_pages.encode(), [*secrets, *REFUSED]) == []
    others = refused_again + pages_without_access(sqlite_app, account, ids)
    assert found_in(others.encode(), words) == []
    disk = disk_content(sqlite_backend.environ)
    assert found_in(disk, [contact.email, *words]) == [contact.email]
    assert found_in(redis_content(sqlite_backend.environ["REDIS_URL"]), words) == []
    assert found_in("\n".join(record.getMessage() for record in caplog.records).encode(), words) == []


def _addresses(app: Flask, ids: dict[str, Any]) -> list[str]:
    """Every page of the application that can be asked for with these ids."""
    found = []
    with app.test_request_context():
        adapter = app.url_map.bind("")
        for rule in app.url_map.iter_rules():
            if "GET" in (rule.methods or ()) and rule.endpoint != "static" and rule.arguments <= set(ids):
                found.append(adapter.build(rule.endpoint, {name: ids[name] for name in rule.arguments}))
    return found
