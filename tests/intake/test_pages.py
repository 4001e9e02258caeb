"""The page of what came to one's own addresses: one's own only, each with its reason, unreadable ones with a way on."""

from __future__ import annotations

from typing import Any

import pytest

from portal.database import db
from portal.intake import views
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import IntakeMail
from tests import factories
from tests.intake.conftest import Practice

PAGE = "/profile/email/answers"


def make_row(practice: Practice, reason: str = "routed_reply", outcome: str = "logged", **values: Any) -> IntakeMail:
    """A decided mail of the practice's conversation."""
    row = IntakeMail(
        **{
            "account_id": practice.account.id, "user_id": practice.user.id, "kind": "reply", "token": "t",
            "conversation_id": practice.conversation.id, "digest": new_id().hex, "state": "decided", "outcome": outcome,
            "reason": reason, "next_try_at": now(), "decided_at": now(),
        } | values
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    return row


@pytest.mark.rule("E-01")
@pytest.mark.rule("S-01")
def test_each_mail_stands_there_with_its_reason(practice: Practice, client: Any) -> None:
    make_row(practice)
    make_row(practice, "unknown_sender", "left_out")
    make_row(practice, "", "", state="received")
    make_row(practice, "unverified", "held", state="unverified", kind="bcc", conversation_id=None)
    client.sign_in(practice.user)
    page = client.get(PAGE).text
    assert "Priya Raman answered a mail that left through the practice’s mail server." in page
    assert "Somebody whom this conversation does not know wrote to its address." in page
    assert "It has just come and is being read." in page
    assert f"/conversations/{practice.conversation.id}" in page
    assert "It says that it comes from you, and nothing proves it. You decide." in page
    assert 'href="/profile/email/bcc/waiting">Decide</a>' in page
    left_out = client.get(f"{PAGE}?show=left_out").text
    assert "Priya Raman answered" not in left_out
    assert "No such mail yet" in client.get(f"{PAGE}?show=unreadable").text


@pytest.mark.rule("A-01")
def test_it_shows_ones_own_only(practice: Practice, client: Any) -> None:
    make_row(practice)
    colleague = factories.make_member(practice.account, "provider")
    db.session.commit()
    client.sign_in(colleague)
    assert "No such mail yet" in client.get(PAGE).text


def test_it_goes_on_page_by_page(practice: Practice, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make_row(practice) for _ in range(3)]
    monkeypatch.setattr(views, "PAGE", 2)
    client.sign_in(practice.user)
    assert f"before={rows[1].id}" in client.get(PAGE).text
    rest = client.get(f"{PAGE}?before={rows[1].id}").text
    assert rest.count("answered a mail") == 1
    assert "before=" not in rest


@pytest.mark.requirement("SMT-5")
def test_an_unreadable_mail_can_be_tried_again(practice: Practice, client: Any) -> None:
    row = make_row(practice, "unreadable_mail", "unreadable", state="unreadable", attempts=3)
    colleague = factories.make_member(practice.account, "provider")
    db.session.commit()
    assert client.sign_in(colleague).post(f"{PAGE}/{row.id}/again").status_code == 404
    client.sign_in(practice.user)
    page = client.get(PAGE).text
    assert "It could not be read. It is kept here, sealed, as it came." in page
    assert "Try again" in page
    assert client.post(f"{PAGE}/{row.id}/again").status_code == 302
    db.session.expire_all()
    assert (row.state, row.attempts, row.reason) == ("received", 0, "")
    assert client.post(f"{PAGE}/{row.id}/again").status_code == 404
