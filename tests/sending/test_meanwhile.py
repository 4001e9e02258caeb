"""What changed between the press and the moment a mail leaves: it is judged again, and nobody settles another's try."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Event
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Connection, ConversationThread, MailRelay, Membership, Message
from portal.providers.errors import Temporary, Unanswered
from portal.sending import outbox, outcomes, relay_outcomes, relayed
from tests import factories
from tests.sending.conftest import OWN, Desk
from tests.sending.test_cap_line import fill_cap
from tests.sending.test_scheduled import at, tomorrow

Press = Callable[..., Any]
WORDS = {"address": "address was changed", "colleague": "become a CRM user", "ended": "conversation ended"}


def change(desk: Desk, what: str) -> None:
    """The contact is written to otherwise, works here now, or the conversation goes on elsewhere."""
    if what == "address":
        desk.contact.email = desk.contact.email_key = "priya.new@mail.example"
    elif what == "colleague":
        factories.make_member(desk.account, email=desk.contact.email, state="invited")
    else:
        conversation = desk.message().conversation
        conversation.state, conversation.ended_cause, conversation.ended_at = "ended", "continued_elsewhere", now()
    db.session.commit()


@pytest.mark.rule("S-03")
@pytest.mark.rule("G-07")
@pytest.mark.rule("X-02")
@pytest.mark.parametrize("what", WORDS)
@pytest.mark.parametrize("by", ["mailbox", "provider"])
def test_a_mail_that_waited_is_judged_again(desk: Desk, press: Press, client: Any, by: str, what: str) -> None:
    if by == "provider":
        desk.use_relay()
    press(**at(tomorrow()))
    change(desk, what)
    mail_id = desk.mails()[0].id
    now_pressed = client.post(f"/outbox/{mail_id}/now")
    assert now_pressed.status_code == 409
    assert WORDS[what] in now_pressed.text
    assert desk.mails()[0].waits_for == "time"
    desk.pass_time(24 * 3600 + 60)
    assert desk.deliver() == [""]
    assert desk.mails()[0].state == "failed"
    assert WORDS[what] in desk.mails()[0].error
    client.sign_in(desk.user)
    assert client.post(f"/outbox/{mail_id}/retry").status_code == 409
    assert desk.deliver() == [""]
    assert desk.received() == []
    assert desk.sandbox.sink_count() == 0


@pytest.mark.rule("S-01")
@pytest.mark.fault(32)
def test_mail_waits_while_the_mail_server_is_changed_and_leaves_as_it_is_called_then(desk: Desk, press: Press) -> None:
    relay_id = desk.use_relay().id
    press()
    relay = db.session.get_one(MailRelay, relay_id)
    relay.is_on, relay.tested_at, relay.from_email = False, None, "hello@lumen-new.example"
    db.session.commit()
    assert desk.deliver() == [""]
    assert (desk.mails()[0].state, desk.mails()[0].error) == ("prepared", relay_outcomes.UNTESTED)
    db.session.get_one(MailRelay, relay_id).is_on = True
    db.session.commit()
    desk.pass_time(31)
    assert desk.deliver() == ["sent"]
    assert desk.sandbox.sink()[0]["headers"]["from"] == "Tomas Berg <hello@lumen-new.example>"
    assert [row.email for row in desk.message().participants if row.field == "from"] == ["hello@lumen-new.example"]


@pytest.mark.rule("S-03")
@pytest.mark.parametrize("by", ["mailbox", "provider"])
def test_what_is_tried_again_days_later_is_dated_then(desk: Desk, press: Press, client: Any, by: str) -> None:
    relay = desk.use_relay() if by == "provider" else None
    press(**at(tomorrow()))
    membership = db.session.scalars(select(Membership)).one()
    membership.state = "deactivated"
    db.session.commit()
    desk.pass_time(24 * 3600 + 60)
    assert desk.deliver() == [""]
    db.session.scalars(select(Membership)).one().state = "active"
    db.session.commit()
    desk.pass_time(5 * 24 * 3600)
    client.sign_in(desk.user)
    assert client.post(f"/outbox/{desk.mails()[0].id}/retry").status_code == 303
    assert desk.deliver() == ["sent"]
    head = (desk.sandbox.sink() if relay else desk.sent())[0]["headers"]
    assert now().strftime("%a, %d %b %Y %H:") in head["date"]


@pytest.mark.fault(32)
def test_a_scheduled_mail_whose_time_has_passed_says_what_it_waits_for(desk: Desk, press: Press, client: Any) -> None:
    desk.use_relay()
    press(**at(tomorrow()))
    desk.sandbox.smtp_fault("closed")
    desk.pass_time(24 * 3600 + 60)
    desk.deliver()
    desk.pass_time(31)
    desk.deliver()
    client.sign_in(desk.user)
    page = client.get("/outbox").text
    assert relay_outcomes.AWAY in page
    assert "Scheduled" not in page
    assert "Take it back" in page


@pytest.mark.requirement("NET-4")
@pytest.mark.fault(3)
def test_a_try_that_another_has_replaced_settles_nothing(desk: Desk, press: Press) -> None:
    desk.use_relay()
    press()
    slow = outbox.claim_mail(desk.mails()[0].id)
    assert isinstance(slow, relayed.RelayClaim)
    desk.pass_time(101)
    second = outbox.claim_mail(desk.mails()[0].id)
    assert isinstance(second, relayed.RelayClaim)
    relayed._note_handed(second)  # it waits for the answer to the end of its data
    relay_outcomes.settle_relay_trouble(slow.outbox_id, slow.relay_id, Temporary("cut off"), since=slow.since)
    mail = desk.mails()[0]
    assert mail.state == "sending"
    assert mail.handed_at is not None


@pytest.mark.rule("G-22")
@pytest.mark.parametrize("settle", [outcomes.settle_trouble, outcomes.settle_look_failed])
@pytest.mark.parametrize("error", [Unanswered("no answer"), Temporary("503")])
def test_a_bounce_that_overtakes_a_lost_answer_stands(desk: Desk, press: Press, settle: Any, error: Exception) -> None:
    press()
    claim = outbox.claim_mail(desk.mails()[0].id)
    assert claim is not None
    outcomes.settle_bounced(desk.mails()[0])
    db.session.commit()
    assert settle(claim.outbox_id, error) == "failed"
    assert outcomes.settle_looked(claim.outbox_id) == "failed"
    assert desk.message().state == "failed"


@pytest.mark.rule("G-19")
@pytest.mark.fault(14)
@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_the_answer_and_the_sync_meet_the_same_mail_at_the_same_moment(desk: Desk, press: Press, app: Flask) -> None:
    """PostgreSQL ends one of two that wait for each other; SQLite knows one writer only."""
    press()
    claim = outbox.claim_mail(desk.mails()[0].id)
    assert isinstance(claim, outbox.Claim)
    sent = asyncio.run(outbox._send(claim))
    connection_id, message_id, holds = desk.connection.id, desk.message().id, Event()
    db.session.commit()

    def write_page() -> datetime:
        with app.app_context(), transaction():
            db.session.execute(select(Connection.id).where(Connection.id == connection_id).with_for_update())
            holds.set()
            db.session.execute(select(db.func.pg_sleep(0.5)))
            db.session.get_one(Message, message_id).provider_message_id = sent.provider_message_id
            return now()

    def settle() -> str:
        with app.app_context():
            holds.wait(5)
            return outcomes.settle_sent(claim.outbox_id, sent)

    with ThreadPoolExecutor() as both:
        page, settled = both.submit(write_page), both.submit(settle)
        assert settled.result() == "sent"
        page.result()
    assert len(db.session.scalars(select(ConversationThread)).all()) == 1


@pytest.mark.rule("G-14")
def test_a_location_with_a_lower_cap_holds_up_no_other(desk: Desk, press: Press, client: Any) -> None:
    desk.account.send_cap = 1
    fill_cap(desk, 1)
    press(token="t1", action="queue")
    there = factories.make_account(send_cap=5)
    factories.make_member(there, user=desk.user)
    factories.make_connection(there, desk.user, OWN, grant=desk.connection.grant, is_consumer=True)
    contact = factories.make_contact(there, "sam@mail.example", "Sam Ode")
    db.session.commit()
    client.sign_in(desk.user, there.id)
    answer = client.post(f"/contacts/{contact.id}/mail", data=desk.form(token="t2", subject="there"))
    assert answer.status_code == 303
    assert desk.deliver()[-2:] == ["", "sent"]
    assert [mail["headers"]["subject"] for mail in desk.sent()] == ["there"]
