"""Bulk and workflow mail leaves through the practice's mail server, each mail once, whatever that server does (S-02)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.audit import events
from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.models import AuditEvent, Membership, Notice, Unsubscribe
from portal.rules.addresses import match_key
from portal.sending import deliveries, delivery_shift
from portal.sending.deliveries import Recipient
from tests import factories
from tests.sending.bulk_desk import Practice


def later(seconds: int) -> None:
    """Move the portal's clock on."""
    clock.set_offset(clock.offset_seconds() + seconds, allowed=True)


def details_of(name: str) -> list[dict[str, Any]]:
    return [event.details for event in db.session.scalars(select(AuditEvent).where(AuditEvent.name == name))]


@pytest.mark.rule("S-02")
@pytest.mark.requirement("NET-4")
def test_everybody_gets_one_filled_in_mail(practice: Practice) -> None:
    campaign = practice.campaign(3, html="<p>Hello <b>{first_name|there}</b>.</p>")
    assert practice.run() == 3
    assert practice.states() == {"sent": 3}
    assert practice.state(campaign) == "done"
    mails = practice.sandbox.sink()
    rows = {row.email: row for row in practice.rows()}
    assert sorted(mail["rcpts"][0] for mail in mails) == sorted(rows)
    for mail in mails:
        row, headers = rows[mail["rcpts"][0]], mail["headers"]
        assert mail["mail_from"] == f"b-{row.token}@replies.demo.example"
        assert headers["from"] == "Lumen Aesthetics Uptown <hello@lumen.example>"
        assert headers["subject"] == f"News for {row.contact.first_name}"
        assert headers["list-unsubscribe"].strip("<>").endswith(f"/unsubscribe/{row.token}")
        assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
        assert headers["precedence"] == "bulk"
        raw = practice.sandbox.sink_raw(mail["id"]).decode()
        assert f"Hello {row.contact.first_name}." in raw
        assert f"<b>{row.contact.first_name}</b>" in raw
        assert "Unsubscribe: http" in raw
    assert details_of(events.DELIVERIES_SENT) == [{"sent": 3, "failed": 0, "skipped": 0, "unknown": 0}]
    assert details_of(events.CAMPAIGN_FINISHED) == [{"sent": 3, "failed": 0, "skipped": 0, "unknown": 0}]


@pytest.mark.rule("S-02")
def test_workflow_mail_goes_first_and_has_no_unsubscribe_line(practice: Practice) -> None:
    practice.campaign(2)
    contact = factories.make_contact(practice.account, "w@mail.example")
    automation = factories.make_automation(practice.account, practice.user, is_on=True, trigger="appointment_booked")
    db.session.add(Unsubscribe(account_id=practice.account.id, email_key="w@mail.example", source="page"))
    added = [
        deliveries.add_deliveries(
            practice.account.id, [Recipient(contact.id, contact.email, contact.email_key)], automation_id=automation.id
        )
        for _ in range(2)
    ]
    assert added == [1, 0]
    assert practice.run() == 3
    first = practice.sandbox.sink()[0]
    assert first["rcpts"] == ["w@mail.example"]
    assert first["headers"]["auto-submitted"] == "auto-generated"
    assert "list-unsubscribe" not in first["headers"]


def test_an_automation_that_is_off_or_waits_sends_nothing(practice: Practice) -> None:
    contact = factories.make_contact(practice.account)
    automation = factories.make_automation(practice.account, practice.user, is_on=False)
    factories.make_delivery(automation, contact)
    assert practice.run() == 0
    (row,) = practice.rows()
    automation.is_on, row.next_try_at = True, now() + timedelta(minutes=5)
    assert practice.run() == 0
    later(301)
    assert practice.run() == 1


@pytest.mark.rule("S-02")
def test_who_changed_meanwhile_is_skipped_with_the_cause(practice: Practice) -> None:
    campaign = practice.campaign(4)
    changed, gone, emptied, _ = practice.rows()
    changed.contact.email_key = match_key("new@mail.example")
    emptied.contact.email_key = ""
    db.session.add(Unsubscribe(account_id=practice.account.id, email_key=gone.email_key, source="one_click"))
    assert practice.run() == 1
    assert [row.cause for row in practice.rows()] == ["address_changed", "unsubscribed", "no_address", ""]
    assert practice.rows()[1].error == "This address wants no campaigns."
    assert practice.state(campaign) == "done"
    assert details_of(events.CAMPAIGN_FINISHED) == [{"sent": 1, "failed": 0, "skipped": 3, "unknown": 0}]


@pytest.mark.rule("S-02")
@pytest.mark.parametrize(("fault", "words"), [("refuse_recipient", "does not exist"), ("refuse_data", "refused it")])
def test_what_the_mail_server_refuses_fails_alone(practice: Practice, fault: str, words: str) -> None:
    campaign = practice.campaign(3)
    practice.sandbox.smtp_fault(fault, times=1)
    assert practice.run() == 2
    assert practice.states() == {"sent": 2, "failed": 1}
    (failed,) = [row for row in practice.rows() if row.state == "failed"]
    assert words in failed.error
    assert practice.state(campaign) == "done"


@pytest.mark.fault(13)
@pytest.mark.parametrize("fault", ["defer_recipient", "defer_data"])
def test_what_is_put_off_waits_alone_and_is_tried_again(practice: Practice, fault: str) -> None:
    campaign = practice.campaign(3)
    practice.sandbox.smtp_fault(fault, times=1)
    assert practice.run() == 2
    assert practice.states() == {"sent": 2, "waiting": 1}
    assert practice.state(campaign) == "running"
    assert practice.run() == 0
    later(31)
    assert practice.run() == 1
    assert practice.state(campaign) == "done"
    assert max(Counter(practice.recipients()).values()) == 1


@pytest.mark.fault(13)
def test_what_is_put_off_for_ever_fails(practice: Practice) -> None:
    practice.campaign(1)
    practice.rows()[0].attempts = 9
    practice.sandbox.smtp_fault("defer_recipient", times=1)
    practice.run()
    assert practice.states() == {"failed": 1}
    assert "again and again" in practice.rows()[0].error


@pytest.mark.fault(2)
@pytest.mark.fault(14)
@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize(("fault", "arrived"), [("drop_after_accept", 3), ("drop_before_accept", 2)])
def test_a_lost_answer_is_never_sent_again_by_itself(practice: Practice, fault: str, arrived: int) -> None:
    campaign = practice.campaign(3)
    practice.sandbox.smtp_fault(fault, times=1)
    assert practice.run() == 2
    assert practice.states() == {"sent": 2, "unknown": 1}
    assert practice.state(campaign) == "done"
    later(86_400)
    deliveries.sweep()
    assert practice.run() == 0
    assert practice.sandbox.sink_count() == arrived
    assert max(Counter(practice.recipients()).values()) == 1


@pytest.mark.fault(12)
@pytest.mark.rule("S-02")
def test_a_mail_server_that_is_away_makes_everything_wait_and_says_so(practice: Practice, client: Any) -> None:
    campaign = practice.campaign(3)
    practice.sandbox.smtp_fault("closed")
    assert practice.run() == 0
    assert practice.states() == {"waiting": 3}
    assert {row.attempts for row in practice.rows()} == {0}
    client.sign_in(practice.user)
    assert "It waits for the mail server" in client.get(f"/campaigns/{campaign.id}").text
    practice.sandbox.clear_smtp_faults()
    assert practice.run() == 0  # not before it is time
    assert deliveries.sweep() == 0
    later(61)
    assert deliveries.sweep() == 1
    db.session.rollback()
    assert practice.run() == 3
    assert (practice.relay.trouble, practice.relay.retry_at) == ("", None)


@pytest.mark.fault(12)
def test_a_mail_server_that_breaks_off_each_time_is_left_alone(practice: Practice) -> None:
    """At most two mails become uncertain, not all of them."""
    practice.campaign(10)
    practice.sandbox.smtp_fault("drop_before_accept")
    practice.run()
    assert practice.states() == {"unknown": 2, "waiting": 8}
    db.session.refresh(practice.relay)
    assert practice.relay.trouble


@pytest.mark.fault(21)
def test_a_refused_sign_in_fails_no_mail(practice: Practice) -> None:
    practice.campaign(2)
    practice.sandbox.smtp_fault("auth_required")
    practice.run()
    assert practice.states() == {"waiting": 2}
    db.session.refresh(practice.relay)
    assert practice.relay.trouble
    later(601)
    practice.sandbox.clear_smtp_faults()
    assert practice.run() == 2


def test_without_a_mail_server_everything_waits(practice: Practice) -> None:
    campaign = practice.campaign(1)
    practice.relay.is_on = False
    assert practice.run() == 0
    assert practice.state(campaign) == "running"
    practice.relay.is_on = True
    assert practice.run() == 1


@pytest.mark.rule("S-02")
def test_a_pause_bites_at_the_next_mail(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = practice.campaign(5)
    real, met = delivery_shift.crash_point, []

    def pause_at_the_second(name: str) -> None:
        met.append(name)
        if met.count("mail-taken") == 2 and name == "mail-taken":
            campaign.state = "paused"
            db.session.commit()
        real(name)

    monkeypatch.setattr(delivery_shift, "crash_point", pause_at_the_second)
    assert practice.run() == 2
    assert practice.states() == {"sent": 2, "waiting": 3}
    campaign.state = "running"
    assert practice.run() == 3
    assert max(Counter(practice.recipients()).values()) == 1


@pytest.mark.rule("S-02")
def test_a_campaign_whose_writer_left_pauses_itself(practice: Practice) -> None:
    campaign = practice.campaign(2)
    db.session.scalars(select(Membership)).one().state = "deactivated"
    assert practice.run() == 0
    assert (practice.state(campaign), campaign.paused_because) == ("paused", "membership")
    assert [notice.kind for notice in db.session.scalars(select(Notice))] == ["campaign_paused"]


@pytest.mark.rule("O-07")
def test_a_campaign_whose_sender_was_disconnected_pauses_itself(practice: Practice) -> None:
    connection = factories.make_connection(practice.account, practice.user, "tomas@gmail.example")
    campaign = practice.campaign(1, sender="own", connection_id=connection.id)
    connection.disconnected_at = now()
    assert practice.run() == 0
    assert (practice.state(campaign), campaign.paused_because) == ("paused", "sender")


@pytest.mark.fault(32)
def test_a_run_ends_in_time_and_hands_itself_over(practice: Practice, app: Any) -> None:
    from portal import queues

    campaign = practice.campaign(60)
    practice.sandbox.smtp_fault("stall", seconds=0.05)  # so that no machine is fast enough to end in one run
    assert 0 < practice.run(1) < 60
    practice.sandbox.clear_smtp_faults()
    assert practice.states()["sending"] == 0
    assert queues.queue(queues.BULK).job_ids == [f"bulk-{practice.account.id}"]
    while practice.state(campaign) == "running":
        practice.run(0.5)
    assert Counter(practice.recipients()).total() == 60
    assert max(Counter(practice.recipients()).values()) == 1


@pytest.mark.rule("G-22")
def test_a_delivery_report_turns_it_into_failed(practice: Practice) -> None:
    practice.campaign(1)
    practice.run()
    (row,) = practice.rows()
    deliveries.settle_delivery_bounced(row, "The address does not exist.")
    db.session.commit()
    (row,) = practice.rows()
    assert (row.state, row.cause, row.error) == ("failed", "bounced", "It came back. The address does not exist.")
    waiting = factories.make_delivery(factories.make_campaign(practice.account, practice.user), row.contact)
    deliveries.settle_delivery_bounced(waiting)
    assert waiting.state == "waiting"


@pytest.mark.requirement("NET-3")
def test_a_name_cannot_write_headers(practice: Practice) -> None:
    campaign = factories.make_campaign(practice.account, practice.user, state="running", subject="News for {first_name}")
    contact = factories.make_contact(practice.account, "p@mail.example", first_name="P\r\nBcc: all@mail.example", last_name="=?x?=")
    factories.make_delivery(campaign, contact)
    assert practice.run() == 1
    (mail,) = practice.sandbox.sink()
    assert mail["rcpts"] == ["p@mail.example"]
    assert not mail["headers"]["bcc"]
    assert b"Bcc" not in practice.sandbox.sink_raw(mail["id"]).replace(b"P Bcc: all@mail.example", b"")
