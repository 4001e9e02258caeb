"""Lines for one person: shown on every page until read, and only to them."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from portal.connections import service
from portal.database import db
from portal.models import Notice
from portal.notices.queries import unread_notices
from portal.notices.service import notify
from tests.factories import make_account, make_connection, make_member


@pytest.mark.rule("G-18")
@pytest.mark.requirement("ACK-3")
def test_trouble_is_shown_to_the_owner_and_the_officers_until_it_is_over(app: Flask, client: Any) -> None:
    account = make_account()
    owner = make_member(account, "provider", name="Hana Roth")
    told = [make_member(account, role) for role in ("owner", "compliance")]
    others = [make_member(account, role) for role in ("provider", "marketing", "auditor")]
    connection = make_connection(account, owner, "hana@lumen.example")
    service.needs_attention(connection, "revoked")
    client.sign_in(owner)
    page = client.get("/profile").text
    assert "hana@lumen.example needs attention: Google no longer accepts the access" in page
    assert 'href="/profile/email"' in page
    assert [len(unread_notices(user.id, account.id)) for user in told + others] == [1, 1, 0, 0, 0]
    client.sign_in(told[1])
    assert "Hana Roth&#39;s mailbox needs attention." in client.get("/profile").text
    service.resolve_attention(connection)
    assert [unread_notices(user.id, account.id) for user in (owner, *told)] == [[], [], []]
    assert "needs attention" not in client.get("/profile").text


def test_a_notice_is_put_away_by_its_person_alone(app: Flask, client: Any) -> None:
    account = make_account()
    person, other = make_member(account), make_member(account)
    notice = notify(person.id, account.id, "test", "Something stands.", "/profile/email")
    db.session.flush()
    client.sign_in(other)
    assert client.post(f"/notices/{notice.id}/read").status_code == 404
    client.sign_in(person)
    assert "Something stands." in client.get("/profile").text
    assert client.post(f"/notices/{notice.id}/read").status_code == 303
    assert "Something stands." not in client.get("/profile").text


def test_a_notice_of_another_account_is_not_shown_here(app: Flask, client: Any) -> None:
    first, second = make_account(), make_account()
    person = make_member(first)
    make_member(second, user=person)
    notify(person.id, second.id, "test", "Something stands.")
    client.sign_in(person, first.id)
    assert "Something stands." not in client.get("/profile").text


def test_the_newest_of_a_kind_replaces_the_one_before_for_that_person_alone(app: Flask) -> None:
    account = make_account()
    one, two = make_member(account), make_member(account)
    connection = make_connection(account, one)
    for user, text in ((one, "first"), (two, "other"), (one, "second")):
        notify(user.id, account.id, "kind", text, object_id=connection.id)
    db.session.flush()
    assert [row.text for row in unread_notices(one.id, account.id)] == ["second"]
    assert [row.text for row in unread_notices(two.id, account.id)] == ["other"]
    assert db.session.query(Notice).count() == 3
