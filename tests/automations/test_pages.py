"""The pages of the automations, as the people use them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from portal.database import db
from portal.models import AuditEvent, Automation, Delivery, MailRelay
from tests import factories
from tests.automations.conftest import House

FORM = {
    "token": "t1", "name": "Welcome", "trigger": "contact_created", "delay": "2", "unit": "hours",
    "subject": "Welcome to {practice}", "text": "Hello {first_name|there}.",
}  # fmt: skip


def the_one() -> Automation:
    db.session.expire_all()
    return db.session.scalars(select(Automation)).one()


def text_of(answer: Any) -> str:
    return " ".join(answer.get_data(as_text=True).split())


def told() -> list[tuple[str, dict[str, Any]]]:
    query = select(AuditEvent.name, AuditEvent.details).where(AuditEvent.name.startswith("person:automation:"))
    return [tuple(row) for row in db.session.execute(query.order_by(AuditEvent.id))]


@pytest.mark.rule("S-02")
def test_one_is_written_looked_at_switched_on_and_off(client: Any, house: House) -> None:
    client.sign_in(house.user)
    factories.make_contact(house.account)
    assert "No automations yet" in text_of(client.get("/automations"))
    for _ in range(2):  # pressed twice
        answer = client.post("/automations/new", data=FORM)
        assert answer.status_code == 302
    row = the_one()
    assert (row.delay_minutes, row.is_on, row.trigger) == (120, False, "contact_created")
    page = text_of(client.get(answer.location))
    assert "The one contact who is there already gets nothing." in page
    assert "Hello Priya." in page
    assert "hello@lumen.example" in page
    assert "Hello there." in text_of(client.get(f"{answer.location}?sample=nameless"))
    client.post(f"{answer.location}/on")
    assert the_one().on_since is not None
    house.contact("priya@mail.example")
    house.decide()
    page = text_of(client.get(answer.location))
    assert "1 mail that waits will not be sent" in page
    assert "priya@mail.example" in page
    answer = client.post(f"{answer.location}/off")
    assert "One mail that waited was not sent." in text_of(client.get(answer.location))
    assert house.states() == {("skipped", "switched_off"): 1}
    assert (the_one().is_on, the_one().on_since) == (False, None)
    assert [name for name, _ in told() if name != "person:automation:read"] == [
        "person:automation:saved", "person:automation:switched", "person:automation:switched",
    ]  # fmt: skip
    assert [details["state"] for name, details in told() if name.endswith("switched")] == ["on", "off"]


@pytest.mark.rule("S-02")
def test_switching_off_and_on_is_a_new_beginning(client: Any, house: House, frozen_clock: Any) -> None:
    client.sign_in(house.user)
    row = house.automation()
    house.contact("first@mail.example")
    client.post(f"/automations/{row.id}/off")
    frozen_clock.shift(60)
    house.contact("between@mail.example")
    frozen_clock.shift(60)
    client.post(f"/automations/{row.id}/on")
    frozen_clock.shift(60)
    client.post(f"/automations/{row.id}/on")  # changes nothing
    house.contact("after@mail.example")
    house.decide()
    assert [delivery.email for delivery in house.rows()] == ["after@mail.example"]


@pytest.mark.rule("S-02")
def test_who_gets_it_changes_for_nobody_who_came_before(client: Any, house: House, frozen_clock: Any) -> None:
    client.sign_in(house.user)
    row = house.automation()
    frozen_clock.shift(60)
    factories.make_contact(house.account, "imported@mail.example", source="import")
    factories.make_contact(house.account, "typed@mail.example")
    frozen_clock.shift(60)
    client.post(f"/automations/{row.id}/edit", data=FORM | {"includes_imported": "y"})
    frozen_clock.shift(60)
    factories.make_contact(house.account, "imported-later@mail.example", source="import")
    house.decide()
    assert {delivery.email for delivery in house.rows()} == {"typed@mail.example", "imported-later@mail.example"}


@pytest.mark.rule("S-02")
def test_a_new_text_counts_for_what_has_not_left(client: Any, house: House) -> None:
    client.sign_in(house.user)
    row = house.automation(subject="Old")
    house.contact("priya@mail.example")
    house.decide()
    client.post(f"/automations/{row.id}/edit", data=FORM | {"subject": "New for {name}", "html": "<p>Hi <b>{name}</b></p>"})
    house.send()
    [mail] = house.sandbox.sink()
    assert dict(mail["headers"])["subject"] == "New for Priya Raman"


@pytest.mark.rule("S-02")
def test_without_a_mail_server_it_is_written_and_not_switched_on(client: Any, house: House) -> None:
    client.sign_in(house.user)
    db.session.scalars(select(MailRelay)).one().is_on = False
    row = house.automation(is_on=False)
    page = text_of(client.get(f"/automations/{row.id}"))
    assert "It cannot be switched on yet" in page
    assert "Switch on<" not in page
    answer = client.post(f"/automations/{row.id}/on")
    assert answer.status_code == 409
    assert "no mail server that works" in text_of(answer)
    assert the_one().is_on is False


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": " "}, "Give it a name"),
        ({"subject": "Hello {firstname}"}, "There is no such field: {firstname}"),
        ({"text": "{appointment_time}"}, "There is no such field: {appointment_time}"),
        ({"subject": "a\r\nBcc: x@y.example"}, "on one line"),
        ({"html": "<p>Hi {first_<b>name</b>}</p>"}, "formatted in part"),
        ({"delay": "-1"}, "Give 0 or more"),
        ({"delay": "91", "unit": "days"}, "Wait at most 90 days"),
        ({"delay": "x"}, "integer"),
        ({"trigger": "appointment_booked"}, "Not a valid choice"),
        ({"unit": "years"}, "Not a valid choice"),
        ({"text": " "}, "Write the text"),
    ],
)
@pytest.mark.requirement("NET-3")
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(
    client: Any, house: House, wrong: dict[str, str], said: str
) -> None:
    client.sign_in(house.user)
    answer = client.post("/automations/new", data=FORM | wrong)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert db.session.scalar(select(func.count()).select_from(Automation)) == 0


def test_uncertain_mails_are_settled_by_a_person(client: Any, house: House) -> None:
    client.sign_in(house.user)
    row = house.automation()
    for number in range(2):
        factories.make_delivery(row, factories.make_contact(house.account), state="unknown", email_key=f"k{number}")
    assert "2 mails have perhaps been sent" in text_of(client.get(f"/automations/{row.id}"))
    client.post(f"/automations/{row.id}/uncertain", data={"said": "nonsense"})
    assert {state for state, _ in house.states()} == {"unknown"}
    client.post(f"/automations/{row.id}/uncertain", data={"said": "again"})
    assert {state for state, _ in house.states()} == {"waiting"}


def test_the_history_is_filtered_and_paged(client: Any, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.automations.queries.HISTORY_PAGE", 2)
    client.sign_in(house.user)
    row = house.automation()
    for number, state in enumerate(("sent", "sent", "sent", "failed")):
        contact = factories.make_contact(house.account, f"p{number}@mail.example")
        factories.make_delivery(row, contact, state=state, error="The address does not exist." if state == "failed" else "")
    page = text_of(client.get(f"/automations/{row.id}"))
    assert "The address does not exist." in page
    assert "p0@mail.example" not in page
    page = text_of(client.get(f"/automations/{row.id}?show=sent"))
    assert "p3@mail.example" not in page
    newest = list(db.session.scalars(select(Delivery.id).order_by(Delivery.id.desc()).limit(3)))
    page = text_of(client.get(f"/automations/{row.id}?show=sent&before={newest[-1]}"))
    assert "p0@mail.example" in page
    assert "p1@mail.example" not in page


@pytest.mark.requirement("WEB-1")
def test_a_formatted_preview_runs_nothing_and_fills_in_nothing_dangerous(client: Any, house: House) -> None:
    client.sign_in(house.user)
    row = house.automation(html='<p>Hi {first_name}</p><script>alert(1)</script><a href="{first_name}">x</a>')
    assert f"/automations/{row.id}/html" in text_of(client.get(f"/automations/{row.id}"))
    answer = client.get(f"/automations/{row.id}/html")
    assert "Hi Priya" in text_of(answer)
    assert "alert" not in text_of(answer)
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


@pytest.mark.rule("A-01")
def test_those_who_treat_see_it_and_may_not_change_it(client: Any, house: House) -> None:
    row = house.automation()
    client.sign_in(factories.make_member(house.account, "provider"))
    page = text_of(client.get(f"/automations/{row.id}"))
    assert "Switch off" not in page.replace("Switched off", "")
    assert client.post(f"/automations/{row.id}/off").status_code == 403
    assert client.get(f"/automations/{row.id}/edit").status_code == 403
