"""The outbox page, and whose mail may be tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from portal.database import db
from portal.lib.clock import now
from portal.sending import outcomes
from tests import factories
from tests.sending.conftest import Desk


def test_an_empty_outbox_teaches(desk: Desk, client: Any) -> None:
    client.sign_in(desk.user)
    assert "Mail that you write in the CRM stands here" in client.get("/outbox").text


@pytest.mark.rule("S-03")
def test_it_shows_ones_own_mail_with_state_and_reason_and_the_drafts(
    desk: Desk, press: Callable[..., Any], client: Any
) -> None:
    press()
    press(token="t2", subject="Second")
    outcomes.fail(desk.mails()[1], "refused")
    press(action="draft")
    page = client.get("/outbox").text
    assert page.index("Second") < page.index("Swelling")
    assert "Google refused it." in page
    assert page.count("Try again") == 1
    assert "New mail to Priya Raman" in page
    colleague = factories.make_member(desk.account)
    client.sign_in(colleague)
    page = client.get("/outbox").text
    assert "Swelling" not in page
    assert "New mail to" not in page


@pytest.mark.rule("S-03")
def test_a_mail_that_may_never_leave_has_no_button_for_it(desk: Desk, press: Callable[..., Any], client: Any) -> None:
    press()
    conversation = desk.message().conversation
    outcomes.fail(desk.mails()[0], "refused")
    conversation.state = "ended"
    db.session.commit()
    for page in ("/outbox", f"/conversations/{conversation.id}"):
        text = client.get(page).text
        assert "Google refused it." in text
        assert "Try again" not in text


def test_old_mail_leaves_the_page_once_it_has_left(desk: Desk, press: Callable[..., Any], client: Any) -> None:
    press()
    press(token="t2", subject="Second")
    first, second = desk.mails()
    first.state = "sent"
    first.created_at = first.sent_at = second.created_at = now() - timedelta(days=8)
    page = client.get("/outbox").text
    assert "Second" in page
    assert "Swelling" not in page


@pytest.mark.requirement("TEN-1")
def test_nobody_tries_anothers_mail_again(desk: Desk, press: Callable[..., Any], client: Any) -> None:
    press()
    outcomes.fail(desk.mails()[0], "refused")
    db.session.commit()
    outsider = factories.make_member(factories.make_account(), "owner")
    for person in (factories.make_member(desk.account, "owner"), outsider):
        client.sign_in(person)
        assert client.post(f"/outbox/{desk.mails()[0].id}/retry").status_code == 404
    assert desk.mails()[0].state == "failed"


def test_a_mail_written_for_a_former_mailbox_is_not_sent_from_another(
    desk: Desk, press: Callable[..., Any], client: Any
) -> None:
    press()
    outcomes.fail(desk.mails()[0], "refused")
    desk.connection.disconnected_at, desk.connection.state = now(), "disconnected"
    factories.make_connection(desk.account, desk.user, "other@gmail.example")
    answer = client.post(f"/outbox/{desk.mails()[0].id}/retry")
    assert answer.status_code == 409
    assert "no longer connected" in answer.text
    assert desk.mails()[0].state == "failed"
