"""From a new contact to its mail at the practice's mail server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import func, select

from portal import queues
from portal.automations import due
from portal.database import db
from portal.jobs import workflows
from portal.lib.clock import now
from portal.models import Contact, Conversation, Message
from tests import factories
from tests.automations.conftest import House


@pytest.mark.rule("S-02")
@pytest.mark.rule("G-07")
@pytest.mark.requirement("NET-3")
def test_a_new_contact_gets_the_mail_once_and_it_is_no_message(house: House) -> None:
    house.automation(subject="Welcome, {first_name|you}", text="Hello {first_name|there}, {practice} {location}.")
    house.contact("priya@mail.example", "Priya{x} Raman")
    assert house.decide() == 1
    assert house.decide() == 0
    assert house.send() == 1
    assert house.send() == 0
    [mail] = house.sandbox.sink()
    headers = {name.lower(): value for name, value in dict(mail["headers"]).items()}
    assert mail["rcpts"] == ["priya@mail.example"]
    assert headers["subject"] == "Welcome, Priya{x}"
    assert "hello@lumen.example" in headers["from"]
    assert headers["auto-submitted"] == "auto-generated"
    assert "list-unsubscribe" not in headers
    assert mail["mail_from"].startswith("b-")
    assert house.states() == {("sent", ""): 1}
    assert db.session.scalar(select(func.count()).select_from(Message)) == 0
    assert db.session.scalar(select(func.count()).select_from(Conversation)) == 0


@pytest.mark.rule("S-02")
def test_only_those_who_may_get_it_get_it_and_each_has_its_reason(house: House) -> None:
    house.automation()
    factories.make_unsubscribe(house.account, "no-more@mail.example")
    old = factories.make_contact(house.account, "old@mail.example", created_at=now() - timedelta(hours=2))
    for source in ("import", "demo"):
        factories.make_contact(house.account, f"{source}@mail.example", source=source)
    shared = {"created_at": now() + timedelta(seconds=5)}
    house.contact("Priya@mail.example")
    factories.make_contact(house.account, "priya@mail.example", "Her Twin", **shared)
    factories.make_contact(house.account, "nora@lumen.example")
    factories.make_contact(house.account, "no-more@mail.example")
    factories.make_contact(house.account, "x", email_key="")
    factories.make_contact(factories.make_account(), "elsewhere@mail.example")
    assert house.decide() == 5
    assert house.states() == {
        ("waiting", ""): 1, ("skipped", "twice"): 1, ("skipped", "colleague"): 1, ("skipped", "unsubscribed"): 1,
        ("skipped", "no_address"): 1,
    }  # fmt: skip
    assert all(row.error for row in house.rows() if row.state == "skipped")
    assert old.id not in {row.contact_id for row in house.rows()}


@pytest.mark.rule("S-02")
def test_imported_contacts_count_where_the_automation_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "BATCH", 3)
    house.automation(includes_imported=True)
    for number in range(7):
        factories.make_contact(house.account, f"p{number}@mail.example", source="import")
    assert house.decide() == 7
    assert house.send() == 7


@pytest.mark.rule("S-02")
def test_two_runs_at_once_decide_once(app: Flask, house: House) -> None:
    house.automation()
    for number in range(20):
        factories.make_contact(house.account, f"p{number}@mail.example")
    db.session.commit()
    account_id, start = house.account.id, Barrier(4)
    db.session.rollback()

    def decide() -> int:
        with app.app_context():
            start.wait()
            return due.make_due_deliveries(account_id)

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(decide) for _ in range(4)]
        assert sum(run.result() for run in runs) == 20
    assert house.states() == {("waiting", ""): 20}


@pytest.mark.rule("S-02")
def test_the_mail_waits_as_long_as_it_says(house: House, frozen_clock: Any) -> None:
    house.automation(delay_minutes=60)
    house.contact("priya@mail.example")
    house.decide()
    frozen_clock.shift(3500)
    assert house.send() == 0
    frozen_clock.shift(101)
    assert house.send() == 1


@pytest.mark.rule("S-02")
def test_an_automation_that_is_off_sends_nothing(house: House) -> None:
    house.automation(is_on=False)
    house.contact("priya@mail.example")
    assert (house.decide(), house.send()) == (0, 0)
    assert house.rows() == []


def test_a_new_contact_wakes_the_automations_and_so_does_the_schedule(house: House) -> None:
    name = f"workflows-{house.account.id}"
    house.automation()
    house.contact("priya@mail.example")
    assert Job.fetch(name, connection=queues.redis(), serializer=JSONSerializer).args == [str(house.account.id)]
    queues.redis().flushall()  # Redis forgets everything
    workflows.sweep()
    job = Job.fetch(name, connection=queues.redis(), serializer=JSONSerializer)
    workflows.run(*job.args)
    assert house.states() == {("waiting", ""): 1}
    bulk = Job.fetch(f"bulk-{house.account.id}", connection=queues.redis(), serializer=JSONSerializer)
    assert bulk.func_name == "portal.jobs.bulk.run"


@pytest.mark.fault(12)
def test_a_mail_server_that_is_away_makes_it_wait_and_not_vanish(house: House, frozen_clock: Any) -> None:
    house.automation()
    house.contact("priya@mail.example")
    house.decide()
    house.sandbox.smtp_fault("closed", times=1)
    assert house.send() == 0
    assert house.states()[("waiting", "")] + house.states()[("waiting", "put_off")] == 1
    frozen_clock.shift(3600)
    assert house.send() == 1


@pytest.mark.rule("S-02")
@pytest.mark.rule("G-07")
def test_it_is_judged_again_when_it_leaves(house: House, frozen_clock: Any) -> None:
    house.automation(delay_minutes=60)
    for name in ("works-here", "no-more", "moved", "priya"):
        house.contact(f"{name}@mail.example")
    assert house.decide() == 4
    factories.make_member(house.account, email="works-here@mail.example", state="invited")
    factories.make_unsubscribe(house.account, "no-more@mail.example")
    moved = db.session.scalars(select(Contact).where(Contact.email_key == "moved@mail.example")).one()
    moved.email = moved.email_key = "moved-on@mail.example"
    frozen_clock.shift(3601)
    assert house.send() == 1
    assert [mail["rcpts"] for mail in house.sandbox.sink()] == [["priya@mail.example"]]
    assert {row.email.partition("@")[0]: row.cause for row in house.rows()} == {
        "works-here": "colleague", "no-more": "unsubscribed", "moved": "address_changed", "priya": "",
    }  # fmt: skip
