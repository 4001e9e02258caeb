"""Sessions: new at every sign-in, gone after sign-out, in one location at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal.lib.clock import now
from portal.models import AuditEvent, Membership, User, UserSession
from tests.factories import make_account, make_member, make_user, unknown_id
from tests.services.web_client import PortalClient

STRANGER = "/sign-in"


@pytest.fixture
def person(app: Flask) -> User:
    """A person who works as owner in Uptown and as auditor in Harbor."""
    person = make_member(make_account("uptown"), "owner", email="maren@lumen.example")
    make_member(make_account("harbor", location="Harbor"), "auditor", user=person)
    return person


def place(db_session: Any, slug: str) -> Any:
    return next(row.account for row in db_session.scalars(select(Membership)) if row.account.slug == slug)


def cookie_of(client: PortalClient) -> str:
    cookie = client.get_cookie("portal")
    assert cookie is not None
    return cookie.value


@pytest.mark.requirement("SES-2")
def test_a_copied_cookie_is_a_strangers_after_sign_out(app: Flask, client: PortalClient, person: User) -> None:
    """The session ends on the server, not only in the browser that pressed."""
    thief = app.test_client()
    thief.set_cookie("portal", cookie_of(client.sign_in(person)))
    assert thief.get("/").headers["Location"] == "/conversations"
    answer = client.post("/sign-out")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/sign-in"
    assert "You are signed out." in client.get("/sign-in").text
    for browser in (client, thief):
        assert browser.get("/conversations").headers["Location"].startswith(STRANGER)


def test_a_sign_out_is_recorded(db_session: Any, client: PortalClient, person: User) -> None:
    client.sign_in(person).post("/sign-out")
    event = db_session.scalar(select(AuditEvent))
    assert (event.name, event.details, event.actor_id) == ("person:session:ended", {"cause": "pressed"}, person.id)
    assert event.account_id == place(db_session, "uptown").id
    assert db_session.scalar(select(UserSession)).ended_at is not None


@pytest.mark.requirement("SES-2")
def test_a_fixed_cookie_is_worthless_after_sign_in(db_session: Any, app: Flask, client: PortalClient, person: User) -> None:
    """Signing in over another session gives a new token and ends the old one."""
    client.sign_in(person)
    old = app.test_client()
    old.set_cookie("portal", cookie_of(client))
    from portal.auth.passwords import hash_password

    person.password_hash = hash_password("correct horse battery")
    client.post("/sign-in", data={"email": person.email, "password": "correct horse battery"})
    assert client.get("/").headers["Location"] == "/conversations"
    assert old.get("/").headers["Location"].startswith(STRANGER)


def test_a_session_ends_by_itself(client: PortalClient, person: User) -> None:
    """Twelve hours at most, however busy."""
    with time_machine.travel(now(), tick=False) as moved:
        client.sign_in(person)
        moved.shift(timedelta(hours=11, minutes=59))
        assert client.get("/").headers["Location"] == "/conversations"
        moved.shift(timedelta(minutes=2))
        assert client.get("/").headers["Location"].startswith(STRANGER)


def test_a_deactivated_person_is_out_at_once(client: PortalClient, person: User) -> None:
    client.sign_in(person)
    person.deactivated_at = now()
    assert client.get("/").headers["Location"].startswith(STRANGER)


@pytest.mark.requirement("TEN-1")
def test_switching_the_location_changes_what_one_may(
    db_session: Any, app: Flask, client: PortalClient, person: User
) -> None:
    """New token, other menu, an event in the new location; the old location's pages are gone."""
    harbor = place(db_session, "harbor")
    client.sign_in(person)
    old = app.test_client()
    old.set_cookie("portal", cookie_of(client))
    answer = client.post(f"/accounts/{harbor.id}/switch")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert client.get("/").headers["Location"] == "/acknowledgements"
    assert client.get("/conversations").status_code == 404
    assert old.get("/").headers["Location"].startswith(STRANGER)
    event = db_session.scalar(select(AuditEvent).where(AuditEvent.name == "person:account:switched"))
    assert (event.account_id, event.actor_id) == (harbor.id, person.id)


@pytest.mark.requirement("TEN-1")
@pytest.mark.parametrize("state", ["another's", "invited", "deactivated", "unknown"])
def test_other_peoples_locations_are_not_there(db_session: Any, client: PortalClient, person: User, state: str) -> None:
    """404 alike for a place that is not theirs and for one that does not exist; refused, recorded, nothing changed."""
    account = make_account("elsewhere")
    if state in ("invited", "deactivated"):
        make_member(account, "owner", user=person, state=state)
    wanted = unknown_id() if state == "unknown" else account.id
    answer = client.sign_in(person).post(f"/accounts/{wanted}/switch")
    assert answer.status_code == 404
    assert db_session.scalar(select(UserSession)).account_id == place(db_session, "uptown").id
    (event,) = db_session.scalars(select(AuditEvent))
    assert event.details["cause"] == "account_switch"


@pytest.mark.parametrize(
    "role, first",
    [
        ("owner", "/conversations"), ("provider", "/conversations"), ("front_desk", "/conversations"), ("marketing", "/contacts"),
        ("compliance", "/contacts"), ("auditor", "/acknowledgements"), ("vendor", "/profile"),
    ],
)  # fmt: skip
def test_the_first_page_is_one_that_may_be_opened(client: PortalClient, role: str, first: str) -> None:
    person = make_member(make_account(), role)
    assert client.sign_in(person).get("/").headers["Location"] == first
    page = client.get(first, follow_redirects=True)
    assert page.status_code == 200


def test_a_person_without_a_location_is_told(client: PortalClient) -> None:
    answer = client.sign_in(make_user("lost@lumen.example")).get("/")
    assert answer.status_code == 200
    assert "no place here yet" in answer.text


def test_a_person_whose_place_ended_may_move_on(db_session: Any, client: PortalClient, person: User) -> None:
    """The session stands in a location that is gone: the page offers the other one."""
    client.sign_in(person)
    next(row for row in db_session.scalars(select(Membership)) if row.account.slug == "uptown").state = "deactivated"
    answer = client.get("/")
    assert answer.status_code == 200
    assert f"/accounts/{place(db_session, 'harbor').id}/switch" in answer.text
