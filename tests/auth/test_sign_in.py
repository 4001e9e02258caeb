"""The front door: who gets in, what a failure tells, what the trail keeps, and how many tries there are."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.auth import sessions
from portal.auth.passwords import hash_password
from portal.lib.clock import now
from portal.models import AuditEvent, User, UserSession
from tests.factories import make_account, make_member
from tests.services.web_client import PortalClient

PASSWORD = "correct horse battery"
# Made once and cheaply: what is under test is the door, not the lock.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
REFUSAL = "Email and password do not belong together."


@pytest.fixture(autouse=True)
def person(app: Flask) -> User:
    """An owner with a password."""
    person = make_member(make_account(), "owner", email="Maren@Lumen.example", name="Maren Holt, NP")
    person.password_hash = CHEAP
    return person


def enter(client: PortalClient, email: str = "maren@lumen.example", password: str = PASSWORD, **more: Any) -> TestResponse:
    """Press the button of the sign-in page."""
    query = more.pop("query", "")
    return client.post("/sign-in" + query, data={"email": email, "password": password}, **more)


def trail(db_session: Any) -> list[tuple[str, str, dict[str, Any]]]:
    rows = db_session.scalars(select(AuditEvent).order_by(AuditEvent.created_at, AuditEvent.id))
    return [(row.name, row.outcome, row.details) for row in rows]


def test_the_right_password_opens_the_first_page(db_session: Any, client: PortalClient, person: User) -> None:
    """Spelling of the address does not matter; the trail names the person, session and location."""
    answer = enter(client, " MAREN@lumen.EXAMPLE ")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/"
    assert client.get("/").headers["Location"] == "/conversations"
    event = db_session.scalar(select(AuditEvent))
    session = db_session.scalar(select(UserSession))
    assert (event.name, event.actor_id, event.object_id) == ("person:session:started", person.id, session.id)
    assert event.account_id == session.account_id is not None
    assert sessions.token_hash("x") != session.token_hash


def test_a_stranger_is_brought_back_to_the_page_they_wanted(client: PortalClient) -> None:
    wanted = client.get("/contacts?q=priya")
    assert wanted.headers["Location"] == "/sign-in?next=/contacts?q%3Dpriya"
    answer = enter(client, query="?next=/contacts?q%3Dpriya")
    assert answer.headers["Location"] == "/contacts?q=priya"


@pytest.mark.requirement("OAU-4")
@pytest.mark.parametrize(
    "place", ["//evil.example", "/%5Cevil.example", "https:evil.example", "%2F%2Fevil.example", "/%252fevil"]
)
def test_a_sign_in_never_leads_away(client: PortalClient, place: str) -> None:
    """Neither after the password nor for a person who is signed in already, whatever the Host header says."""
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    assert enter(client, query=f"?next={place}").headers["Location"] == "/"
    assert client.get(f"/sign-in?next={place}").headers["Location"] == "/"
    assert client.get(f"/sign-in?next={place}", headers={"X-Forwarded-Host": evil["Host"]}).headers["Location"] == "/"


@pytest.mark.requirement("SES-7")
def test_a_failure_tells_nothing(db_session: Any, client: PortalClient, person: User) -> None:
    """Wrong password, unknown person, no address at all, deactivated: one answer. The trail keeps no typed address."""
    answers = [
        enter(client, password="wrong"),
        enter(client, "stranger@evil.example"),
        enter(client, "not an address"),
        enter(client, "nul\0byte@lumen.example"),
    ]
    person.deactivated_at = now()
    answers.append(enter(client))
    assert {answer.status_code for answer in answers} == {422}
    assert all(REFUSAL in answer.text for answer in answers)
    assert "wrong" not in answers[0].text
    kept = trail(db_session)
    assert [details["cause"] for _, _, details in kept] == [
        "wrong_password", "unknown_person", "unknown_person", "unknown_person", "deactivated",
    ]  # fmt: skip
    assert all((name, outcome) == ("person:session:refused", "refused") for name, outcome, _ in kept)
    assert "evil" not in str(kept)
    assert client.get("/").headers["Location"].startswith("/sign-in")


def test_empty_fields_are_named(client: PortalClient) -> None:
    answer = enter(client, "", "")
    assert answer.status_code == 422
    assert "2 things have to be mended" in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_an_old_hash_is_made_anew(db_session: Any, client: PortalClient, person: User) -> None:
    enter(client)
    assert person.password_hash != CHEAP
    assert enter(client).status_code == 303


@pytest.mark.requirement("SES-7")
def test_ten_wrong_passwords_are_enough(client: PortalClient, person: User) -> None:
    """For one person, from wherever; other people still get in, and a right password does not count as a try."""
    other = make_member(make_account(), "provider", email="owen@lumen.example")
    other.password_hash = hash_password(PASSWORD)
    for _ in range(3):
        assert enter(client).status_code == 303
    tries = [enter(client, password=f"guess {n}", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(10)]
    assert {answer.status_code for answer in tries} == {422}
    locked = enter(client, "MAREN@lumen.example")
    assert locked.status_code == 429
    assert "Too many tries" in locked.text
    assert int(locked.headers["Retry-After"]) <= 600
    assert enter(client, other.email).status_code == 303


@pytest.mark.requirement("SES-7")
def test_one_address_may_not_try_everybody(client: PortalClient) -> None:
    """Sixty tries a minute from one IP; a forged X-Forwarded-For makes no other one of it."""
    token = {"X-CSRFToken": client.form_token()}
    answers = [
        enter(client, f"person-{n}@lumen.example", "", csrf=False, headers=token | {"X-Forwarded-For": f"10.0.0.{n}"})
        for n in range(61)
    ]
    assert {answer.status_code for answer in answers[:60]} == {422}
    assert answers[60].status_code == 429


@pytest.mark.requirement("WEB-1")
def test_a_sign_in_needs_its_token(db_session: Any, client: PortalClient) -> None:
    assert enter(client, csrf=False).status_code == 400
    assert trail(db_session) == []
