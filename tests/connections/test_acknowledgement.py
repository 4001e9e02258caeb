"""The risks: what the page says, who may sign, what is stored for good, and where the gate stands."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update
from sqlalchemy.exc import DBAPIError

from portal.connections import acknowledgements, service
from portal.connections.acknowledgements import current_text, may_sync, standing, text_hash
from portal.database import db
from portal.lib.clock import now
from portal.models import (
    Account,
    Acknowledgement,
    AcknowledgementText,
    AuditEvent,
    Connection,
    Membership,
    OAuthAttempt,
    User,
)
from portal.rules.acknowledgement import RISKS, Standing
from portal.rules.reasons import Cause
from tests.connections.people import MAILBOX, connect, live, make_signature, make_signer, sign_form
from tests.factories import make_account, make_connection, make_contact, make_conversation, make_member, make_message
from tests.services.programs import Sandbox

RISKS_PAGE = "/connections/google/risks"
NEWEST = 2
PUBLISHED = {
    1: "f09818eeee85d0824915f1d98ccb190da15363261e2a81db9770f9521ca8bcf6",
    2: "3c1030275e743b1bd79f44f970c4a28a624c87fc2033502f1b0f9f194a7430a8",
}
"""The hash of every text that was ever shown: a text is never changed, a new one gets the next number."""


@pytest.mark.requirement("ACK-2")
@pytest.mark.rule("H-06")
def test_a_published_text_is_never_changed(app: Flask) -> None:
    folder = acknowledgements._files()
    assert {version: text_hash(path.read_text("utf-8")) for version, path in folder.items()} == PUBLISHED


@pytest.fixture
def person(app: Flask, client: Any) -> User:
    """Somebody who may connect and has signed nothing, signed in."""
    user = make_member(make_account(), "provider", name="Owen Castellano")
    client.sign_in(user)
    return user


def events(user: User, *names: str) -> list[AuditEvent]:
    query = db.session.query(AuditEvent).filter(AuditEvent.actor_id == user.id, AuditEvent.name.in_(names))
    return list(query.order_by(AuditEvent.created_at, AuditEvent.id))


@pytest.mark.rule("H-01")
@pytest.mark.rule("H-02")
@pytest.mark.rule("H-03")
@pytest.mark.rule("H-04")
@pytest.mark.rule("H-05")
@pytest.mark.requirement("ACK-7")
@pytest.mark.parametrize(
    "words",
    [
        "We advise against two-way sync for most medical-aesthetics practices.",
        "A practice has more colleagues than CRM users",
        "The built-in filter knows CRM users only, and most practices have far more staff than users.",
        "A colleague is saved as a contact, and you write to them.",
        "Someone replies to all and a contact is among them: the whole thread comes in.",
        "A talk about HR, performance, payroll or money includes a contact’s address",
        "Treatment details, symptoms, photos, attachments and complaints",
        "by marketing freelancers and vendors too",
        "What was synced stays after you disconnect",
        "cleaning up is work by hand",
        "Individual mail leaves through your own mailbox",
        "bulk and workflow mail takes another path",
        "A cap of about 500 mails in 24 hours can stop your sends",
        "sees no error",
        "The same mailbox in two accounts splits conversations",
        "Standard email from the CRM",
        "Write from inside the CRM",
        "Log single threads with BCC Sync",
        "A CRM-routed reply address",
        "Lead forms, a mail parser or an integration",
        "the practice’s own BAA with its mail provider",
        "the CRM’s BAA",
        "review first who can open what",
    ],
)
def test_the_text_says_what_it_must(words: str) -> None:
    """The file itself; that the page shows its every byte is proven below."""
    folder = Path(acknowledgements.__file__).parents[1] / "templates" / "acknowledgement"
    text = (folder / f"{NEWEST}.html").read_text("utf-8")
    assert words in text


@pytest.mark.rule("H-01")
@pytest.mark.rule("H-02")
@pytest.mark.rule("G-02")
def test_the_page_shows_text_boxes_and_the_name_to_expect(person: User, client: Any) -> None:
    page = client.get(RISKS_PAGE).text
    assert page.count('type="checkbox"') == 6
    assert page.count(" checked") == 0
    assert all(f'id="risk-{risk}"' in page and f'for="risk-{risk}"' in page for risk in RISKS)
    assert "<strong>Aesthetix Mail Sync</strong>" in page
    assert "Keep standard email" in page
    assert "Owen Castellano" in page
    assert [event.details for event in events(person, "person:acknowledgement:shown")] == [
        {"provider": "google", "version": NEWEST}
    ]


@pytest.mark.requirement("ACK-1")
@pytest.mark.rule("H-06")
def test_what_is_shown_is_what_is_hashed(person: User, client: Any) -> None:
    page, text = client.get(RISKS_PAGE).text, current_text()
    assert hashlib.sha256(text.html.encode()).hexdigest() == text.sha256
    at = 0
    for part in re.split(r"<!-- \w+:\w+ -->", text.html):
        found = page.find(part, at)
        assert found >= 0, part
        at = found + len(part)


@pytest.mark.rule("H-06")
@pytest.mark.requirement("ACK-1")
def test_a_signature_is_stored_whole_and_the_browser_has_no_say(person: User, client: Any, sandbox: Sandbox) -> None:
    account = db.session.get_one(Account, _account_id(person))
    other = make_member(account, "provider", name="Hana Roth")
    lies = {
        "version": "99", "text_version": "99", "sha256": "0" * 64, "text_sha256": "0" * 64, "ip": "9.9.9.9",
        "user_id": str(other.id), "account_id": str(make_account().id), "created_at": "2001-01-01", "provider": "evil",
    }  # fmt: skip
    before = now()
    answer = client.post(
        RISKS_PAGE, data=sign_form("owen  castellano") | lies, query_string=lies, headers={"User-Agent": "Test/1.0 (x)"}
    )
    assert answer.status_code == 303
    assert answer.location.startswith(f"{sandbox.url}/google/o/oauth2/v2/auth?")
    row, text = db.session.query(Acknowledgement).one(), current_text()
    assert (row.user_id, row.account_id, row.provider) == (person.id, account.id, "google")
    assert (row.text_version, row.text_sha256, row.items) == (NEWEST, text.sha256, list(RISKS))
    assert (row.typed_name, row.ip, row.browser) == ("owen castellano", "127.0.0.1", "Test/1.0 (x)")
    assert row.session_id is not None
    assert before <= row.created_at <= now()
    signed = events(person, "person:acknowledgement:signed")
    assert [event.details["sha256"] for event in signed] == [text.sha256]


def _account_id(user: User) -> Any:
    return db.session.query(Membership).filter_by(user_id=user.id).one().account_id


@pytest.mark.rule("H-02")
@pytest.mark.rule("H-07")
@pytest.mark.bad_input(34)
@pytest.mark.parametrize(
    ("form", "words"),
    [
        (sign_form("Owen Castellano", risks=("a", "b", "c", "d")), "tick risks E and F."),
        (sign_form(""), "type Owen Castellano."),
        (sign_form("Hana Roth"), "type Owen Castellano."),
        (sign_form("Owen Castellano", risks=("a",) * 6), "tick risks B, C, D, E and F."),
        (sign_form("x" * 500), "200 characters"),
        ({}, "tick risks A, B, C, D, E and F, then type Owen Castellano."),
    ],
    ids=str,
)
def test_what_is_missing_is_listed_and_what_was_given_is_kept(
    person: User, client: Any, form: dict[str, Any], words: str
) -> None:
    answer = client.post(RISKS_PAGE, data=form)
    assert answer.status_code == 400
    assert words in answer.text
    assert answer.text.count(" checked") == len(set(form.get("risk", [])))
    assert db.session.query(Acknowledgement).count() == db.session.query(OAuthAttempt).count() == 0


@pytest.mark.requirement("ACK-7")
def test_declining_is_recorded_and_connects_nothing(person: User, client: Any) -> None:
    answer = client.post(f"{RISKS_PAGE}/decline")
    assert (answer.status_code, answer.location) == (303, "/profile/email")
    assert len(events(person, "person:acknowledgement:declined")) == 1
    assert (db.session.query(Acknowledgement).count(), live(person)) == (0, None)


@pytest.mark.rule("H-07")
@pytest.mark.requirement("ACK-5")
@pytest.mark.parametrize("purpose", ["connect", "reconnect", "update"])
@pytest.mark.parametrize("case", ["none", "stale", "other_account", "other_person", "other_provider"])
def test_the_start_refuses_without_the_newest_signature_of_this_very_person(
    person: User, client: Any, sandbox: Sandbox, purpose: str, case: str
) -> None:
    account = db.session.get_one(Account, _account_id(person))
    if purpose != "connect":
        make_connection(account, person, MAILBOX)
    if case == "stale":
        make_signature(person, account)
        db.session.add(AcknowledgementText(version=NEWEST + 1, html="<p>two</p>", sha256=text_hash("<p>two</p>")))
    elif case == "other_account":
        make_signature(person, make_account())
    elif case == "other_person":
        make_signature(make_member(account, name="Hana Roth"), account)
    elif case == "other_provider":
        make_signature(person, account, provider="microsoft")
    answer = client.post("/connections/google/begin", data={"purpose": purpose})
    assert answer.status_code == 403
    assert "Read the risks first" in answer.text
    assert f'href="{RISKS_PAGE}"' in answer.text
    assert db.session.query(OAuthAttempt).count() == 0
    assert sandbox.requests(path="/google/") == []
    refused = events(person, "person:page:refused")
    assert [event.details["cause"].startswith("acknowledgement_") for event in refused] == [True]


@pytest.mark.requirement("ACK-2")
@pytest.mark.rule("H-06")
@pytest.mark.parametrize("model", [Acknowledgement, AcknowledgementText])
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_text_and_signature_cannot_be_changed(app: Flask, model: Any, verb: str) -> None:
    make_signer()
    db.session.commit()
    change = update(model).values(created_at=now()) if verb == "update" else delete(model)
    with pytest.raises(DBAPIError, match="append-only"):
        db.session.execute(change)
    db.session.rollback()


@pytest.mark.rule("H-06")
@pytest.mark.rule("H-07")
@pytest.mark.requirement("ACK-3")
def test_a_new_text_leaves_a_grace_period_and_signing_it_goes_on(app: Flask, client: Any, frozen_clock: Any) -> None:
    account, user = make_signer()
    connection = make_connection(account, user, MAILBOX)
    assert (standing(user.id, account.id, "google"), may_sync(connection)) == (Standing.CURRENT, True)
    db.session.add(AcknowledgementText(version=NEWEST + 1, html=current_text().html + "<p>two</p>", sha256="2" * 64))
    db.session.flush()
    assert (standing(user.id, account.id, "google"), may_sync(connection)) == (Standing.OUTDATED_IN_GRACE, True)
    frozen_clock.shift(14 * 86400)
    assert (standing(user.id, account.id, "google"), may_sync(connection)) == (Standing.OUTDATED_EXPIRED, False)
    service.pause(connection, Cause.ACKNOWLEDGEMENT_MISSING)
    cursor = connection.cursor
    client.sign_in(user)
    assert "Sign, and keep syncing" in client.get(RISKS_PAGE).text
    answer = client.post(RISKS_PAGE, data=sign_form(user.name, purpose="renew"))
    assert (answer.status_code, answer.location) == (303, "/profile/email")
    assert (connection.state, connection.cursor, connection.disconnected_at) == ("connected", cursor, None)
    assert may_sync(connection)
    assert connection.next_poll_at == now()
    assert app.extensions["redis"].exists(f"rq:job:sync-{connection.id}")


@pytest.mark.rule("H-06")
def test_the_grace_is_the_accounts_setting(app: Flask, frozen_clock: Any) -> None:
    account, user = make_signer()
    account.acknowledgement_grace_days = 2
    db.session.add(AcknowledgementText(version=NEWEST + 1, html="two", sha256="2" * 64))
    db.session.flush()
    ends = acknowledgements.grace_ends(user.id, account.id, "google")
    assert ends == now() + timedelta(days=2)


@pytest.mark.rule("H-07")
def test_a_signature_elsewhere_carries_no_sync(app: Flask) -> None:
    first, user = make_signer()
    second = make_account()
    make_member(second, user=user)
    connection = make_connection(second, user, MAILBOX)
    assert not may_sync(connection)
    assert may_sync(make_connection(first, user, "b@lumen.example", grant=connection.grant))


@pytest.mark.rule("H-02")
def test_who_has_signed_goes_on_without_signing_again(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    page = client.get(RISKS_PAGE).text
    assert f"You have read, ticked and signed version {NEWEST}" in page
    assert 'action="/connections/google/begin"' in page
    assert connect(client, sandbox).status_code == 303


@pytest.mark.rule("P-06")
def test_a_role_the_practice_keeps_out_has_nothing_to_sign(app: Flask, client: Any) -> None:
    account = make_account(connect_roles="owner")
    user = make_member(account, "provider", name="Owen Castellano")
    client.sign_in(user)
    page = client.get(RISKS_PAGE).text
    assert "do not let your role connect" in page
    assert "Continue to Google" not in page
    assert client.post(RISKS_PAGE, data=sign_form(user.name)).status_code == 403
    assert db.session.query(Acknowledgement).count() == 0


@pytest.mark.rule("H-02")
def test_the_figures_are_the_practices_own(app: Flask, client: Any) -> None:
    account = make_account(location="Uptown", send_cap=400)
    user = make_member(account, "provider", name="Owen Castellano", email="owen.c@lumen.example")
    make_member(account, "front_desk", email="desk@lumen.example")
    make_member(account, "marketing", email="mark.eting@gmail.com")
    for email in ("nurse@lumen.example", "desk@lumen.example", "marketing+x@gmail.com", "p@mail.example", "q@mail.example"):
        make_contact(account, email)
    harbor = make_account(location="Harbor")
    make_member(harbor, user=user)
    make_contact(harbor, "p@mail.example")
    old = make_connection(account, user, "old@lumen.example", disconnected_at=now(), state="disconnected")
    make_message(make_conversation(make_contact(account, "r@mail.example"), user, old))
    client.sign_in(user, account.id)
    page = " ".join(client.get(RISKS_PAGE).text.split())
    assert "<strong>3 of your 6 contacts look like staff.</strong>" in page
    assert "Only 2 of them are CRM users, so the filter would miss 1." in page
    assert "<strong>2 people in 2 roles could read these mails:</strong> Provider 1, Front desk 1." in page
    assert "<strong>1 mail from 1 disconnected mailbox</strong> is still in Uptown’s records." in page
    assert "<strong>You sent 0 individual mails in the last 30 days.</strong>" in page
    assert "<strong>Your busiest day in the last 90 was 0 mails.</strong> The cap here is 400" in page
    assert "<strong>1 contact exists in Uptown and in Harbor,</strong> and you work in both." in page


@pytest.mark.requirement("ACK-4")
@pytest.mark.rule("P-03")
@pytest.mark.parametrize(("role", "status"), [("compliance", 403), ("auditor", 403), ("marketing", 403), ("vendor", 403)])
def test_roles_without_a_mailbox_cannot_sign_or_connect(app: Flask, client: Any, role: str, status: int) -> None:
    user = make_member(make_account(), role, name="Ada Admin")
    client.sign_in(user)
    assert client.get(RISKS_PAGE).status_code == status
    assert client.post(RISKS_PAGE, data=sign_form(user.name)).status_code == status
    assert client.post("/connections/google/begin", data={"purpose": "connect"}).status_code == status
    assert db.session.query(Connection).count() == 0
