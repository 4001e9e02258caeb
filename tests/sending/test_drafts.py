"""What is written and not sent is kept: while it is typed, over a sign-out, and nowhere but with its writer (TEN-4)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.auth import sessions
from portal.database import db
from portal.models import Draft, OutboxMail, UserSession
from portal.sending import drafts
from tests import factories
from tests.sending.conftest import Desk

HERE = {"Origin": "http://localhost"}
TEXT = "Cold compresses, twice a day."


@pytest.fixture
def writer(desk: Desk, client: Any) -> Any:
    """Tomas's browser."""
    return client.sign_in(desk.user)


def kept(desk: Desk, purpose: str) -> dict[str, Any]:
    """Tomas's draft."""
    db.session.expire_all()
    return drafts.load(desk.user.id, desk.account.id, purpose)


def typed(desk: Desk, **values: Any) -> dict[str, Any]:
    """A form as drafts.js sends it."""
    purpose = drafts.purpose_of("new", desk.contact.id)
    return {"purpose": purpose, "token": "t1", "subject": "Swelling", "text": TEXT} | values


@pytest.mark.rule("S-03")
def test_what_is_typed_is_kept_and_stands_in_the_form_again(desk: Desk, writer: Any) -> None:
    answer = writer.post("/drafts", data=typed(desk, token="t1"), headers={"X-Background": "1"})
    assert answer.status_code == 204
    assert answer.headers["X-Kept-At"].endswith("M")
    assert kept(desk, typed(desk)["purpose"]) == {"subject": "Swelling", "text": TEXT}
    assert TEXT.encode() not in db.session.scalars(select(Draft.content)).one()
    assert TEXT in writer.get(f"/contacts/{desk.contact.id}/mail").text
    writer.post("/drafts", data=typed(desk, text="Warm ones."))
    assert kept(desk, typed(desk)["purpose"])["text"] == "Warm ones."
    assert writer.post("/drafts", data=typed(desk, text="", subject="")).headers["X-Kept-At"] == ""
    assert db.session.scalars(select(Draft)).all() == []


def test_a_late_save_does_not_bring_back_what_was_sent(desk: Desk, writer: Any) -> None:
    writer.post("/drafts", data=typed(desk))
    assert writer.post(f"/contacts/{desk.contact.id}/mail", data=desk.form(token="t1")).status_code == 303
    assert db.session.scalars(select(Draft)).all() == []
    assert writer.post("/drafts", data=typed(desk, token="t1")).status_code == 204
    assert db.session.scalars(select(Draft)).all() == []


@pytest.mark.requirement("TEN-4")
def test_drafts_are_for_what_one_may_see_and_seen_by_their_writer_alone(desk: Desk, writer: Any, app: Flask) -> None:
    elsewhere = factories.make_account()
    contact = factories.make_contact(elsewhere)
    for purpose in ("", "new", "new:x", "bulk:" + str(desk.contact.id), f"new:{contact.id}", f"reply:{desk.contact.id}"):
        assert writer.post("/drafts", data=typed(desk, purpose=purpose)).status_code == 404
    assert db.session.scalars(select(Draft)).all() == []
    writer.post("/drafts", data=typed(desk))
    draft = db.session.scalars(select(Draft)).one()
    colleague: Any = app.test_client()
    colleague.sign_in(factories.make_member(desk.account))
    assert TEXT not in colleague.get(f"/contacts/{desk.contact.id}/mail").text
    for call in (colleague.get, colleague.post):
        assert call(f"/drafts/{draft.id}/delete").status_code == 404
    assert "New mail to" not in colleague.get("/outbox").text
    colleague.post("/drafts", data=typed(desk, text="Mine."))
    assert kept(desk, typed(desk)["purpose"])["text"] == TEXT


@pytest.mark.requirement("LIM-2")
def test_a_draft_is_bounded(desk: Desk, writer: Any) -> None:
    huge = typed(desk, text="x" * 150_000, subject="s" * 900, cc="c" * 90_000, people=["p" * 900] * 90)
    assert writer.post("/drafts", data=huge, content_type="multipart/form-data").status_code == 204
    found = kept(desk, typed(desk)["purpose"])
    assert {name: len(value) for name, value in found.items()} == {
        "text": 100_000, "subject": 250, "cc": 20_000, "people": 50,
    }  # fmt: skip
    assert len(found["people"][0]) == 400
    assert writer.post("/drafts", data=typed(desk, text="x" * 3_000_000)).status_code == 413
    assert writer.post("/drafts", json=typed(desk)).status_code == 415


def test_a_draft_is_deleted_for_good(desk: Desk, writer: Any) -> None:
    writer.post("/drafts", data=typed(desk))
    address = f"/drafts/{db.session.scalars(select(Draft.id)).one()}/delete"
    assert address in writer.get("/outbox").text
    page = writer.get(address)
    assert "New mail to Priya Raman" in page.text
    assert "This cannot be undone." in page.text
    assert len(db.session.scalars(select(Draft)).all()) == 1
    assert writer.post(address).headers["Location"] == "/outbox"
    assert db.session.scalars(select(Draft)).all() == []
    assert writer.post(address).status_code == 404


def test_a_draft_outlives_what_it_was_for(desk: Desk, writer: Any) -> None:
    gone = factories.unknown_id()
    for kind in ("new", "reply", "forward"):
        drafts.save(desk.user.id, desk.account.id, drafts.purpose_of(kind, gone), {"text": TEXT})
    page = writer.get("/outbox")
    assert page.status_code == 200
    assert page.text.count("What it was for is no longer here.") == 3
    assert writer.get(f"/contacts/{gone}/mail").status_code == 404


@pytest.mark.bad_input(40)
@pytest.mark.rule("S-03")
def test_a_press_after_the_session_ended_leads_to_sign_in_and_back(desk: Desk, writer: Any) -> None:
    """The session has ended, by time or at another machine; the cookie and its form token are still there."""
    writer.post("/drafts", data=typed(desk))
    token = writer.form_token()
    db.session.scalars(select(UserSession)).one().ended_at = db.session.scalars(select(Draft.updated_at)).one()
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection)
    pressed = {f"/contacts/{desk.contact.id}/mail": f"/contacts/{desk.contact.id}/mail",
               f"/conversations/{conversation.id}/reply": f"/conversations/{conversation.id}%23reply"}  # fmt: skip
    for address, back in pressed.items():
        answer = writer.post(address, data=desk.form(), headers=HERE | {"X-CSRFToken": token}, csrf=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={back}")
    assert "Nothing was sent." in writer.get(answer.headers["Location"]).text
    writer.sign_in(desk.user)
    assert TEXT in writer.get(f"/contacts/{desk.contact.id}/mail").text
    assert db.session.scalars(select(OutboxMail)).all() == []


@pytest.mark.bad_input(40)
def test_a_press_without_any_cookie_leads_to_sign_in_and_back(desk: Desk, client: Any) -> None:
    """Signed out in another tab: even the form token is gone. Another site's form gets no cookie for its answer."""
    address = f"/contacts/{desk.contact.id}/mail"
    answer = client.post(address, data=desk.form(), headers=HERE, csrf=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={address}")
    foreign = client.post(address, data=desk.form(), headers={"Origin": "https://evil.example"}, csrf=False)
    assert "Set-Cookie" not in foreign.headers
    assert client.post("/settings/nothing", csrf=False).status_code in (400, 404)
    assert db.session.scalars(select(Draft)).all() == []


@pytest.mark.bad_input(40)
@pytest.mark.rule("S-03")
def test_a_stale_form_of_the_same_person_is_kept_as_a_draft(desk: Desk, writer: Any) -> None:
    """Signed out and in again in another tab: the session is new, the form's token is of the old one."""
    address = f"/contacts/{desk.contact.id}/mail"
    stale = desk.form(csrf_token="of-yesterday", writer=str(desk.user.id), text=TEXT)
    answer = writer.post(address, data=stale, headers=HERE, csrf=False)
    assert answer.status_code == 400
    assert "You were signed out in between" in answer.text
    assert "Nothing was sent; your text is kept as a draft." in answer.text
    assert f'href="{address}"' in answer.text
    assert kept(desk, typed(desk)["purpose"])["text"] == TEXT
    assert TEXT in writer.get(address).text
    assert db.session.scalars(select(OutboxMail)).all() == []


@pytest.mark.bad_input(40)
def test_nobody_else_can_leave_a_draft(desk: Desk, writer: Any, app: Flask) -> None:
    """Another person's form in the same browser, another site's form, a form for somebody else's contact."""
    address = f"/contacts/{desk.contact.id}/mail"
    stranger = factories.make_contact(factories.make_account())
    mine = desk.form(writer=str(desk.user.id))
    for url, data, headers in (
        (address, desk.form(writer=str(factories.unknown_id())), HERE),
        (address, desk.form(), HERE),
        (address, mine, {}),
        (address, mine, {"Origin": "null"}),
        (address, mine, {"Origin": "https://evil.example"}),
        (address, mine, {"Origin": "http://localhost.evil.example"}),
        (f"/contacts/{stranger.id}/mail", mine, HERE),
    ):
        answer = writer.post(url, data=data, headers=headers, csrf=False)
        assert answer.status_code == 400
        assert "This form is no longer valid" in answer.text
    reader = factories.make_member(desk.account, "marketing")  # may not write mail
    theirs: Any = app.test_client()
    theirs.sign_in(reader).post(address, data=desk.form(writer=str(reader.id)), headers=HERE, csrf=False)
    assert db.session.scalars(select(Draft)).all() == []


@pytest.mark.bad_input(41)
@pytest.mark.rule("S-03")
def test_a_form_of_one_account_is_refused_in_another(desk: Desk, writer: Any) -> None:
    """Two tabs: the account was switched in the other one. Nothing is sent from there, the draft stays where it is."""
    other = factories.make_account()
    factories.make_member(other, user=desk.user)
    factories.make_contact(other, desk.contact.email)
    writer.post("/drafts", data=typed(desk))
    assert writer.post(f"/accounts/{other.id}/switch").status_code == 303
    assert writer.post(f"/contacts/{desk.contact.id}/mail", data=desk.form()).status_code == 404
    assert writer.post("/drafts", data=typed(desk, text="Typed on in the old tab.")).status_code == 404
    assert db.session.scalars(select(OutboxMail)).all() == []
    draft = db.session.scalars(select(Draft)).one()
    assert (draft.account_id, kept(desk, draft.purpose)["text"]) == (desk.account.id, TEXT)
    assert "New mail to" not in writer.get("/outbox").text


@pytest.mark.bad_input(40)
def test_signing_in_again_leads_to_the_location_worked_in_last(desk: Desk, app: Flask) -> None:
    """So that the form that one comes back to is found, also where one works in several."""
    other = factories.make_account()
    factories.make_member(other, user=desk.user)
    with app.test_request_context():
        for place in (other, desk.account):
            row = sessions.begin(desk.user, ip="", browser="")
            row.account_id = place.id
            db.session.flush()
            sessions.end(row)
            assert sessions.begin(desk.user, ip="", browser="").account_id == place.id
