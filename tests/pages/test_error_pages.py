"""Error pages: what happened, whether anything was lost, the request's id; with the menu only where it can be read."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import select

from portal.auth import sessions
from portal.error_pages import show_crash
from portal.models import AuditEvent
from tests.factories import make_account, make_member
from tests.services.web_client import PortalClient

MULTIPART = "multipart/form-data"


def test_a_stranger_and_a_person_see_that_there_is_nothing(app: Flask, client: PortalClient) -> None:
    """The same words with and without a session; the menu only with one."""
    person = make_member(make_account(), "owner")
    stranger = client.get("/no-such-page")
    known = client.sign_in(person).get("/no-such-page")
    for answer in (stranger, known):
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text
        assert answer.headers["X-Request-Id"] in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    assert "Sign out" not in stranger.text
    assert "Sign out" in known.text


def test_a_wrong_method_is_said_plainly(client: PortalClient) -> None:
    answer = client.post("/healthz")
    assert answer.status_code == 405
    assert "not used that way" in answer.text


@pytest.mark.requirement("WEB-1")
def test_a_stale_form_changes_nothing_and_keeps_the_menu(db_session: Any, client: PortalClient) -> None:
    """A refused token has a request id and a person, although the check runs first of all."""
    person = make_member(make_account(), "owner")
    answer = client.sign_in(person).post("/sign-out", csrf=False)
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.text
    assert answer.headers["X-Request-Id"] in answer.text
    assert "Sign out" in answer.text
    assert client.get("/").headers.get("Location", "") != "/sign-in"


def test_a_large_upload_is_refused_before_it_is_read(app: Flask, client: PortalClient) -> None:
    answer = client.post("/sign-in", data={"email": "x" * (3 * 1024 * 1024)}, content_type=MULTIPART, csrf=False)
    assert answer.status_code == 413
    assert "Nothing was stored" in answer.text


def test_too_many_parts_are_refused(client: PortalClient) -> None:
    answer = client.post("/sign-in", data={f"f{n}": "x" for n in range(600)}, content_type=MULTIPART, csrf=False)
    assert answer.status_code == 413


@pytest.mark.rule("A-01")
def test_a_refusal_of_a_role_is_recorded(db_session: Any, client: PortalClient) -> None:
    """Hidden pages answer 404, and the trail says who tried."""
    person = make_member(make_account(), "vendor")
    answer = client.sign_in(person).get("/conversations")
    assert answer.status_code == 404
    event = db_session.scalar(select(AuditEvent).where(AuditEvent.name == "person:page:refused"))
    assert event.actor_id == person.id
    assert event.details == {"endpoint": "conversations.list_conversations", "cause": "conversations.read"}


def test_a_crash_shows_nothing_of_itself(lonely: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and a number for the person, the trace for the log."""
    monkeypatch.setitem(lonely.config, "TESTING", False)
    with lonely.test_request_context("/x"):
        g.request_id = "abc123"
        try:
            raise RuntimeError("secret of the inside")
        except RuntimeError as error:
            text, status = show_crash(error)
    assert status == 500
    assert "abc123" in text
    assert "Nothing was half-saved" in text
    assert "secret" not in text


@pytest.mark.fault(8)
def test_without_a_database_the_page_still_speaks(lonely: Flask) -> None:
    """A person with a cookie gets a 503 in words, from an application whose database is not there."""
    browser = lonely.test_client()
    with browser.session_transaction() as cookie:
        cookie[sessions.TOKEN] = "a token of better days"
    for path in ("/conversations", "/", "/no-such-page"):
        answer = browser.get(path)
        assert answer.status_code == 503, path
        assert "cannot reach its database" in answer.text
        assert answer.headers["X-Request-Id"] in answer.text
        assert "default-src" in answer.headers["Content-Security-Policy"]
    assert browser.get("/healthz").status_code == 200


@pytest.mark.requirement("WEB-1")
def test_a_form_is_accepted_over_https_from_our_own_pages_only(client: PortalClient) -> None:
    """The referrer that our own policy lets through is what the check over https asks for."""
    client.sign_in(make_member(make_account(), "owner"))
    place = {"base_url": "https://portal.example"}
    token = client.form_token()
    client.set_cookie(*_session_cookie(client), domain="portal.example")
    for referrer, status in (("", 400), ("https://evil.example/x", 400), ("https://portal.example/conversations", 303)):
        headers = {"X-CSRFToken": token, "Referer": referrer}
        assert client.post("/sign-out", headers=headers, csrf=False, **place).status_code == status, referrer


def _session_cookie(client: PortalClient) -> tuple[str, str]:
    cookie = client.get_cookie("portal")
    assert cookie is not None
    return cookie.key, cookie.value


def test_headers_stand_on_every_answer(client: PortalClient) -> None:
    """Errors, redirects and files too (WEB-2)."""
    for path in ("/sign-in", "/no-such-page", "/", "/static/css/tokens.css"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "unsafe" not in headers["Content-Security-Policy"]
