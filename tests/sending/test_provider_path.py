"""Individual mail through the practice's mail server: answers come back, and each is sent once or shown as uncertain."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal import queues
from portal.database import db
from portal.models import AuditEvent, Conversation, MailRelay, Membership, Notice, Participant
from portal.sending import outbox, outcomes
from tests import factories
from tests.sending.conftest import OWN, PATIENT, SPOUSE, Desk

Press = Callable[..., Any]
ROUTED = re.compile(r"([rb])-([a-z2-7]{26})@replies\.demo\.example")


def page_of(desk: Desk, client: Any) -> str:
    """The conversation of the newest mail."""
    text: str = client.get(f"/conversations/{desk.message().conversation_id}").text
    return text


def events(name: str) -> list[dict[str, Any]]:
    """Details of the audit events of a kind."""
    return [row.details for row in db.session.scalars(select(AuditEvent).where(AuditEvent.name == name))]


@pytest.mark.rule("S-01")
@pytest.mark.requirement("SMT-3")
def test_without_a_mailbox_it_leaves_through_the_provider_and_answers_have_an_address(
    desk: Desk, press: Press, client: Any
) -> None:
    desk.use_relay()
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert "This leaves through the practice’s mail server; answers come back here." in page
    assert "Tomas Berg" in page
    assert "hello@lumen.example" in page
    assert press(cc=SPOUSE, bcc="quiet@mail.example").status_code == 303
    assert desk.deliver() == ["sent"]
    (mail,) = desk.sandbox.sink()
    kind, token = ROUTED.fullmatch(mail["headers"]["reply-to"]).groups()
    assert (kind, token) == ("r", db.session.scalars(select(Conversation.reply_token)).one())
    assert ROUTED.fullmatch(mail["mail_from"]).groups() == ("b", desk.mails()[0].bounce_token)
    assert mail["headers"]["from"] == "Tomas Berg <hello@lumen.example>"
    assert sorted(mail["rcpts"]) == sorted([PATIENT, SPOUSE, "quiet@mail.example"])
    assert b"quiet@" not in desk.sandbox.sink_raw(mail["id"])
    assert (desk.message().state, desk.message().connection_id) == ("sent", None)
    assert db.session.scalars(select(Participant.email).where(Participant.field == "from")).one() == "hello@lumen.example"
    assert (desk.mails()[0].raw, desk.mails()[0].mailbox_key) == (None, "")
    assert events("portal:mail:sent") == [{"path": "provider"}]
    page = page_of(desk, client)
    assert "Answers come back here" in page
    assert "Not connected" not in page
    assert "sent by the practice’s mail server" in page


@pytest.mark.rule("S-01")
@pytest.mark.parametrize(("state", "words"), [("needs_attention", "needs attention"), ("paused", "is paused")])
def test_while_the_mailbox_stands_replies_leave_through_the_provider_in_the_thread(
    desk: Desk, client: Any, state: str, words: str
) -> None:
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection)
    factories.make_message(conversation, internet_message_id="<wire@mail.example>", references="<first@mail.example>")
    desk.use_relay(state)
    client.sign_in(desk.user)
    page = client.get(f"/conversations/{conversation.id}").text
    assert f"Your mailbox {words}, so this leaves through the practice’s mail server; answers come back here." in page
    for token in ("t1", "t2"):
        assert client.post(f"/conversations/{conversation.id}/reply", data=desk.form(token=token)).status_code == 303
    assert desk.deliver() == ["sent", "sent"]
    first, second = desk.sandbox.sink()
    assert first["headers"]["in-reply-to"] == "<wire@mail.example>"
    assert first["headers"]["references"].split() == ["<first@mail.example>", "<wire@mail.example>"]
    assert first["headers"]["reply-to"] == second["headers"]["reply-to"]  # the conversation's own address
    assert first["mail_from"] != second["mail_from"]  # each mail's own
    assert desk.sends() == 0


@pytest.mark.requirement("NET-4")
@pytest.mark.bad_input(41)
def test_a_second_press_is_the_same_mail_here_too(desk: Desk, press: Press) -> None:
    desk.use_relay()
    press()
    press()
    desk.deliver()
    press()
    desk.deliver()
    assert desk.sandbox.sink_count() == 1


@pytest.mark.requirement("NET-4")
@pytest.mark.bad_input(41)
def test_two_presses_at_the_same_moment_are_one_mail_without_a_mailbox_too(desk: Desk, app: Flask) -> None:
    desk.use_relay()
    clients = [app.test_client().sign_in(desk.user) for _ in range(4)]
    address = f"/contacts/{desk.contact.id}/mail"
    db.session.commit()

    def press_in_thread(client: Any) -> int:
        with app.app_context():
            status: int = client.post(address, data=desk.form()).status_code
            return status

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(press_in_thread, clients)) == [303] * 4
    assert len(desk.mails()) == 1


@pytest.mark.fault(14)
@pytest.mark.requirement("NET-4")
def test_a_lost_answer_leaves_it_perhaps_sent_and_nothing_happens_by_itself(
    desk: Desk, press: Press, client: Any
) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("drop_after_accept", times=1)
    assert desk.deliver() == ["unknown"]
    desk.pass_time(24 * 3600)
    assert outbox.sweep() == 0
    assert desk.deliver() == [""]
    assert desk.sandbox.sink_count() == 1
    client.sign_in(desk.user)
    page = page_of(desk, client)
    assert "Perhaps sent" in page
    assert "it may arrive twice" in page
    assert "It arrived" in client.get("/outbox").text
    assert client.post(f"/outbox/{desk.mails()[0].id}/declare", data={"action": "arrived"}).status_code == 303
    assert (desk.mails()[0].state, desk.message().state) == ("sent", "sent")
    assert events("person:mail:declared") == [{"said": "arrived"}]
    client.post(f"/outbox/{desk.mails()[0].id}/declare", data={"action": "send_again"})  # pressed in an old page
    assert desk.deliver() == [""]
    assert desk.sandbox.sink_count() == 1


@pytest.mark.fault(14)
@pytest.mark.requirement("NET-4")
def test_what_never_arrived_is_sent_again_when_its_writer_says_so(desk: Desk, press: Press, client: Any) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("drop_before_accept", times=1)
    assert desk.deliver() == ["unknown"]
    client.post(f"/outbox/{desk.mails()[0].id}/declare", data={"action": "send_again"})
    assert desk.deliver() == ["sent"]
    assert desk.sandbox.sink_count() == 1
    assert events("person:mail:declared") == [{"said": "send_again"}]


@pytest.mark.rule("S-03")
@pytest.mark.requirement("NET-4")
def test_what_may_have_left_once_cannot_be_taken_back(desk: Desk, press: Press, client: Any) -> None:
    """Its conversation must stand: the first copy may have arrived, and may be answered."""
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("drop_after_accept", times=1)
    assert desk.deliver() == ["unknown"]
    client.post(f"/outbox/{desk.mails()[0].id}/declare", data={"action": "send_again"})
    assert client.post(f"/outbox/{desk.mails()[0].id}/take-back").status_code == 303
    assert [mail.state for mail in desk.mails()] == ["prepared"]
    assert desk.deliver() == ["sent"]


@pytest.mark.rule("G-22")
def test_a_delivery_report_settles_what_was_uncertain(desk: Desk, press: Press, client: Any) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("drop_after_accept", times=1)
    desk.deliver()
    outcomes.settle_bounced(desk.mails()[0], "The mailbox is full.")
    db.session.commit()
    page = page_of(desk, client)
    assert "It came back. The mailbox is full." in page
    assert "Write it again" in page
    assert "It arrived" not in page


@pytest.mark.fault(12)
@pytest.mark.parametrize("kind", ["defer_recipient", "defer_data"])
def test_a_server_that_asks_to_wait_gets_it_later(desk: Desk, press: Press, client: Any, kind: str) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault(kind, times=1)
    assert desk.deliver() == ["prepared"]
    assert "tried again by itself" in client.get("/outbox").text
    assert desk.deliver() == [""]
    desk.pass_time(601)
    assert desk.deliver() == ["sent"]
    assert desk.sandbox.sink_count() == 1


@pytest.mark.fault(12)
def test_a_server_that_never_takes_it_fails_it_in_the_end(desk: Desk, press: Press) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("defer_data")
    for _ in range(outcomes.TRIES):
        desk.deliver()
        desk.pass_time(601)
    assert desk.mails()[0].state == "failed"
    assert "did not take it for some time" in desk.mails()[0].error


@pytest.mark.rule("S-03")
@pytest.mark.parametrize(
    ("kind", "words"), [("refuse_recipient", "The address does not exist."), ("refuse_data", "refused it by its own rules")]
)
def test_a_refusal_is_said_in_words_and_can_be_tried_again(
    desk: Desk, press: Press, client: Any, kind: str, words: str
) -> None:
    desk.use_relay()
    press(cc=SPOUSE)
    desk.sandbox.smtp_fault(kind, times=1)
    assert desk.deliver() == ["failed"]
    assert words in desk.mails()[0].error
    assert desk.sandbox.sink_count() == 0  # all or nobody
    assert client.post(f"/outbox/{desk.mails()[0].id}/retry").status_code == 303
    assert desk.deliver() == ["sent"]
    assert desk.sandbox.sink_count() == 1


@pytest.mark.fault(12)
@pytest.mark.fault(32)
def test_while_the_server_is_away_mail_waits_and_leaves_in_order_when_it_is_back(
    desk: Desk, press: Press, client: Any
) -> None:
    relay = desk.use_relay()
    for number in range(3):
        press(token=f"t{number}", subject=f"n {number}")
    desk.sandbox.smtp_fault("closed")
    assert desk.deliver() == ["prepared", "", ""]  # one look at the server, not three
    relay_id = relay.id
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert "cannot be reached right now" in page
    for _ in range(outcomes.TRIES + 2):  # however long it takes: nothing is given up
        desk.pass_time(121)
        desk.deliver()
    assert {mail.state for mail in desk.mails()} == {"prepared"}
    desk.sandbox.call("DELETE", "/smtp-faults")
    desk.pass_time(121)
    assert queues.QUEUES.index(queues.SENDING) < queues.QUEUES.index(queues.BULK)  # people before campaigns
    assert outbox.sweep() == 3
    assert queues.queue(queues.SENDING).job_ids == [f"send-{mail.id}" for mail in desk.mails()]
    assert desk.deliver() == ["sent", "sent", "sent"]
    assert [mail["headers"]["subject"] for mail in desk.sandbox.sink()] == ["n 0", "n 1", "n 2"]
    relay = db.session.get_one(MailRelay, relay_id)
    assert (relay.trouble, relay.retry_at) == ("", None)


@pytest.mark.fault(21)
def test_a_refused_sign_in_waits_and_is_told_once(desk: Desk, press: Press) -> None:
    desk.use_relay()
    owner = factories.make_member(desk.account, "owner")
    press()
    desk.sandbox.smtp_fault("auth_required")
    for _ in range(3):
        assert desk.deliver() == ["prepared"]
        desk.pass_time(601)
    assert desk.mails()[0].state == "prepared"
    assert db.session.scalars(select(Notice.user_id)).all() == [owner.id]
    desk.sandbox.call("DELETE", "/smtp-faults")
    assert desk.deliver() == ["sent"]
    assert db.session.scalars(select(Notice.read_at)).one() is not None


@pytest.mark.fault(22)
@pytest.mark.parametrize("end", ["relay", "membership"])
def test_what_was_pressed_before_the_end_does_not_leave_after_it(
    desk: Desk, press: Press, client: Any, end: str
) -> None:
    relay = desk.use_relay()
    press()
    if end == "relay":
        db.session.delete(relay)
    else:
        db.session.scalars(select(Membership)).one().state = "deactivated"
    db.session.commit()
    assert desk.deliver() == [""]
    assert desk.mails()[0].state == "failed"
    assert desk.sandbox.sink_count() == 0
    if end == "relay":
        assert client.post(f"/outbox/{desk.mails()[0].id}/retry").status_code == 409


@pytest.mark.rule("G-14")
def test_at_the_cap_of_the_mailbox_nothing_falls_over_to_the_provider(desk: Desk, press: Press) -> None:
    desk.use_relay("connected")
    desk.account.send_cap = 1
    db.session.commit()
    assert press().status_code == 303
    answer = press(token="t2")
    assert answer.status_code == 409
    assert "has sent 1 of 1" in answer.text
    assert desk.deliver() == ["sent"]
    assert (desk.sandbox.sink_count(), len(desk.sent())) == (0, 1)
    assert desk.mails()[0].mailbox_key == OWN


@pytest.mark.requirement("TEN-1")
def test_nobody_else_says_what_became_of_a_mail(desk: Desk, press: Press, client: Any) -> None:
    desk.use_relay()
    press()
    desk.sandbox.smtp_fault("drop_after_accept", times=1)
    desk.deliver()
    client.sign_in(factories.make_member(desk.account, "owner"))
    for action in ("declare", "take-back", "now", "retry"):
        assert client.post(f"/outbox/{desk.mails()[0].id}/{action}", data={"action": "arrived"}).status_code == 404
    assert desk.mails()[0].state == "unknown"
