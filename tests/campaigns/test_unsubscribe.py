"""The page behind the unsubscribe link, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from portal.campaigns.unsubscribing import mask, unsubscribed_keys
from portal.database import db
from portal.lib.ids import new_token
from portal.models import AuditEvent, Delivery, Unsubscribe
from tests import factories

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def a_mail(email: str = "priya@mail.example") -> Delivery:
    account = factories.make_account(name="Lumen Aesthetics", location="Uptown")
    campaign = factories.make_campaign(account, factories.make_member(account, "marketing"))
    return factories.make_delivery(campaign, factories.make_contact(account, email), state="sent")


def press(client: Any, mail: Delivery, more: str = "", **values: Any) -> Any:
    return client.post(f"/unsubscribe/{mail.token}{more}", csrf=False, **values)


def keys_of(mail: Delivery) -> list[str]:
    return list(db.session.scalars(unsubscribed_keys(mail.account_id)))


def test_looking_at_the_page_changes_nothing(client: Any) -> None:
    mail = a_mail()
    for method in ("GET", "HEAD"):
        page = client.open(f"/unsubscribe/{mail.token}", method=method)
        assert page.status_code == 200
        assert "Set-Cookie" not in page.headers
    text = client.get(f"/unsubscribe/{mail.token}").get_data(as_text=True)
    assert "Lumen Aesthetics, Uptown" in text
    assert "p•••@m•••.example" in text
    assert "priya@mail.example" not in text
    assert "/sign-in" not in text
    assert keys_of(mail) == []


def test_the_page_unsubscribes_and_subscribes_again(client: Any) -> None:
    mail = a_mail()
    answer = press(client, mail)
    assert (answer.status_code, answer.location) == (303, f"/unsubscribe/{mail.token}")
    assert keys_of(mail) == ["priya@mail.example"]
    assert "You are unsubscribed" in client.get(answer.location).get_data(as_text=True)
    assert press(client, mail, "/again").status_code == 303
    assert keys_of(mail) == []
    told = db.session.execute(select(AuditEvent.name, AuditEvent.details, AuditEvent.object_type, AuditEvent.object_id)
                              .order_by(AuditEvent.id)).all()  # fmt: skip
    assert [tuple(row) for row in told] == [
        ("recipient:campaigns:unsubscribed", {"source": "page"}, "delivery", mail.id),
        ("recipient:campaigns:subscribed-again", {"source": "page"}, "delivery", mail.id),
    ]


@pytest.mark.requirement("WEB-1")
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_mail_programs_one_click_needs_no_cookie_and_meets_no_redirect(client: Any, content_type: str) -> None:
    mail = a_mail()
    answer = press(client, mail, data=ONE_CLICK, content_type=content_type)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert db.session.scalar(select(Unsubscribe.source)) == "one_click"
    assert press(client, mail, data=ONE_CLICK).status_code == 200  # twice is once
    assert keys_of(mail) == ["priya@mail.example"]
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == 1


@pytest.mark.requirement("WEB-1")
def test_only_the_token_of_a_campaign_mail_opens_anything(client: Any) -> None:
    account = factories.make_account()
    user = factories.make_member(account)
    contact = factories.make_contact(account)
    workflow = factories.make_delivery(factories.make_automation(account, user), contact, state="sent")
    shown = set()
    for token in (workflow.token, new_token(), "short", "x" * 26, "%00" * 26, "a" * 25 + "%0a"):
        for more in ("", "/again"):
            answer = client.post(f"/unsubscribe/{token}{more}", csrf=False, data=ONE_CLICK)
            assert answer.status_code == 404
            shown.add(answer.get_data(as_text=True).replace(answer.headers["X-Request-Id"], "").split("<main")[1])
        assert client.get(f"/unsubscribe/{token}").status_code == 404
    assert len(shown) == 1
    assert db.session.scalar(select(func.count()).select_from(Unsubscribe)) == 0


@pytest.mark.rule("S-02")
def test_it_holds_for_the_address_in_this_account_alone_and_for_its_next_record(client: Any) -> None:
    mail = a_mail()
    elsewhere = factories.make_account()
    stranger = factories.make_contact(elsewhere, "priya@mail.example")
    press(client, mail)
    assert list(db.session.scalars(unsubscribed_keys(elsewhere.id))) == []
    contact = mail.contact
    contact.email, contact.email_key = "", ""  # the record goes on without it; another one gets the address
    again = factories.make_contact(db.session.get_one(type(elsewhere), mail.account_id), "Priya@MAIL.example")
    reader = factories.make_member(db.session.get_one(type(elsewhere), mail.account_id))
    client.sign_in(reader)
    assert "Wants no campaigns since" in client.get(f"/contacts/{again.id}").get_data(as_text=True)
    assert "Wants no campaigns since" not in client.get(f"/contacts/{contact.id}").get_data(as_text=True)
    client.sign_in(factories.make_member(elsewhere))
    assert "Wants no campaigns since" not in client.get(f"/contacts/{stranger.id}").get_data(as_text=True)


def test_a_link_is_not_pressed_without_end(client: Any) -> None:
    mail, other = a_mail(), a_mail()
    answers = [press(client, mail, data=ONE_CLICK).status_code for _ in range(25)]
    assert answers == [200] * 20 + [429] * 5
    assert press(client, other, data=ONE_CLICK).status_code == 200  # a provider presses for many people


@pytest.mark.parametrize(
    ("email", "shown"),
    [("priya@mail.example", "p•••@m•••.example"), ("p@x.example", "p•••@x•••.example"), ("ä@ö.co.uk", "ä•••@ö•••.uk")],
)
def test_an_address_is_masked(email: str, shown: str) -> None:
    assert mask(email) == shown
