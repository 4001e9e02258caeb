"""Ways in that were tried from outside and are closed: each is what somebody would really send."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from config import Settings
from portal.auth.passwords import hash_password
from portal.connections import attempts
from portal.connections.attempts import MayNotConnect
from portal.connections.tokens import _Step
from portal.database import db
from portal.lib.clock import now
from portal.models import Acknowledgement, AuditEvent, Decision, User
from portal.providers.types import Tokens
from portal.rules.acknowledgement import RISKS
from portal.sending.queries import may_still_send
from tests import factories
from tests.services.web_client import PortalClient

SECRET = "canary-9f31-not-for-logs"


@pytest.fixture
def client(sqlite_app: Flask) -> Any:
    return sqlite_app.test_client()


@pytest.fixture
def person(sqlite_app: Flask) -> User:
    """A provider with a password."""
    user = factories.make_member(factories.make_account(), "provider", name="Owen Castellano", email="owen@lumen.example")
    user.password_hash = hash_password("a long enough password")
    db.session.commit()
    return user


@pytest.mark.requirement("SES-7")
@pytest.mark.bad_input(33)
def test_another_spelling_of_an_address_gives_no_more_tries(client: PortalClient, person: User) -> None:
    """Blanks before it and NULs in it were other people to the limiter and the same person to the form."""
    spellings = [" " * (310 - number) + "owen@lumen.example" for number in range(6)]
    spellings += ["ow\0en@lumen.example", "owen@lumen.example\0", "OWEN@lumen.example", "owen@lumen.example "]
    for spelling in spellings:
        assert client.post("/sign-in", data={"email": spelling, "password": "wrong"}).status_code == 422
    answer = client.post("/sign-in", data={"email": "owen@lumen.example", "password": "a long enough password"})
    assert answer.status_code == 429


@pytest.mark.requirement("SES-2")
def test_a_failed_sign_in_does_not_end_the_session_one_has(client: PortalClient, person: User) -> None:
    client.sign_in(person)
    assert client.post("/sign-in", data={"email": "owen@lumen.example", "password": "wrong"}).status_code == 422
    assert client.get("/profile").status_code == 200


@pytest.mark.requirement("OAU-4")
@pytest.mark.bad_input(39)
def test_the_look_does_not_lead_away_by_our_own_referrer(client: PortalClient, person: User, sqlite_app: Flask) -> None:
    client.sign_in(person)
    base = sqlite_app.extensions["settings"].base_url
    for path in ("//evil.example/x", "/\\evil.example", "///evil.example", "/%2f/evil.example"):
        answer = client.post("/profile/theme", data={"theme": "dark"}, headers={"Referer": base + path})
        assert answer.location == "/profile"


@pytest.mark.requirement("SES-1")
@pytest.mark.requirement("WEB-7")
def test_an_export_is_not_kept_by_the_browser(client: PortalClient, sqlite_app: Flask) -> None:
    officer = factories.make_member(factories.make_account(), "compliance")
    answer = client.sign_in(officer).get("/acknowledgements/export")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.requirement("WEB-1")
@pytest.mark.requirement("AUD-4")
@pytest.mark.bad_input(40)
def test_a_forged_form_is_an_audit_event(client: PortalClient, person: User) -> None:
    client.sign_in(person)
    assert client.post("/profile/theme", data={"theme": "dark"}, csrf=False).status_code == 400
    (event,) = db.session.scalars(select(AuditEvent).where(AuditEvent.outcome == "refused"))
    assert (event.actor_id, event.details) == (person.id, {"endpoint": "profile.change_theme", "cause": "form_token"})


@pytest.mark.requirement("WEB-9")
@pytest.mark.bad_input(44)
def test_a_forged_host_stands_in_no_answer(client: PortalClient, person: User) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "6.6.6.6"}
    for path in ("/sign-in", "/", "/profile", "/contacts/..;/admin", "/nowhere"):
        answer = client.get(path, headers=headers)
        assert "evil.example" not in answer.text + str(answer.headers)
    assert client.open("/profile", method="TRACE").status_code == 405


@pytest.mark.requirement("RBA-5")
def test_who_was_deactivated_on_the_way_connects_and_sends_nothing(sqlite_app: Flask, person: User) -> None:
    """The place may still be active: a deactivated login counts everywhere."""
    account = factories.make_account()
    factories.make_member(account, "provider", user=person)
    factories.make_signature(account, person)
    attempts.require_allowed(person.id, account.id, "google")
    mail = type("Mail", (), {"account_id": account.id, "user_id": person.id})()
    assert may_still_send(mail)
    person.deactivated_at = now()
    db.session.flush()
    assert not may_still_send(mail)
    with pytest.raises(MayNotConnect):
        attempts.require_allowed(person.id, account.id, "google")


@pytest.mark.requirement("ACK-1")
@pytest.mark.requirement("ACK-6")
def test_a_page_from_before_a_new_text_signs_nothing(client: PortalClient, person: User) -> None:
    client.sign_in(person)
    form = {"risk": list(RISKS), "typed_name": person.name, "purpose": "connect"}
    page = client.get("/connections/google/risks").text
    assert 'name="shown" value="2"' in page
    answer = client.post("/connections/google/risks", data=form | {"shown": "1"})
    assert answer.status_code == 409
    assert "has changed since you opened the page" in answer.text
    assert db.session.scalar(select(func.count()).select_from(Acknowledgement)) == 0
    assert client.post("/connections/google/risks", data=form | {"shown": "2"}).status_code == 303


@pytest.mark.requirement("RBA-2")
def test_without_conversations_ones_own_decisions_name_nobody(client: PortalClient, sqlite_app: Flask) -> None:
    """Somebody who was moved to a role without clinical access keeps a mailbox until it is disconnected."""
    account = factories.make_account()
    user = factories.make_member(account, "vendor")
    contact = factories.make_contact(account, name="Canary Ptosis")
    connection = factories.make_connection(account, user)
    conversation = factories.make_conversation(contact, user, connection)
    moment = now()
    db.session.add(
        Decision(
            account_id=account.id, connection_id=connection.id, provider_message_id="m1", direction="inbound",
            outcome="logged", reason="contact_wrote", contact_id=contact.id, conversation_id=conversation.id,
            received_at=moment, decided_at=moment,
        )
    )  # fmt: skip
    client.sign_in(user)
    for path in ("/profile/email", "/profile/email/decisions"):
        page = client.get(path).text
        assert "wrote to you from their primary address" in page
        assert "Canary" not in page
        assert str(conversation.id) not in page


@pytest.mark.requirement("AUD-6")
@pytest.mark.requirement("OAU-8")
def test_a_crash_leaves_its_text_out_of_the_log(
    sqlite_app: Flask, client: PortalClient, person: User, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    """PostgreSQL's own message of a doubled key quotes the row; a parser's quotes the mail."""

    def breaks() -> str:
        raise IntegrityError(f"insert {SECRET}", {"email": SECRET}, ValueError(f"Key (email)=({SECRET})"))

    client.sign_in(person)
    monkeypatch.setattr(sqlite_app, "testing", False)
    monkeypatch.setitem(sqlite_app.view_functions, "profile.show_profile", breaks)
    breaks.declared_access = "signed in"  # type: ignore[attr-defined]
    with caplog.at_level(logging.DEBUG):
        answer = client.get("/profile")
    assert answer.status_code == 500
    assert "IntegrityError at" in caplog.text
    assert SECRET not in caplog.text + answer.text
    with sqlite_app.test_request_context(), caplog.at_level(logging.DEBUG):
        g.request_id = "r1"
        exc_info: Any = (ValueError, ValueError(SECRET), None)
        sqlite_app.log_exception(exc_info)
    assert SECRET not in caplog.text


@pytest.mark.requirement("OAU-8")
@pytest.mark.requirement("CFG-2")
def test_what_holds_a_secret_does_not_show_it_in_its_name(sqlite_app: Flask) -> None:
    settings = Settings(
        secret_key=SECRET, sealing_keys=(("k", SECRET.encode()),), audit_key=SECRET, google_client_secret=SECRET,
        database_url=f"postgresql://portal:{SECRET}@db/portal", redis_url=f"redis://:{SECRET}@redis/0",
    )  # fmt: skip
    tokens = Tokens(SECRET, 3600, SECRET, "openid", SECRET)
    for thing in (settings, tokens, _Step("google", SECRET, SECRET)):
        assert SECRET not in repr(thing)
