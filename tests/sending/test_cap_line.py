"""At the cap mail waits in line: nobody overtakes, each leaves when a place frees, and it can be taken back."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import Attachment, AuditEvent, Conversation, Draft, Mention, Message, OutboxMail, Participant
from portal.sending import caps, deliveries, drafts, outbox
from portal.sync.service import sync_mailbox
from tests import factories
from tests.sending.conftest import OWN, SPOUSE, Desk

Press = Callable[..., Any]


def fill_cap(desk: Desk, *hours_ago: float) -> None:
    """Mails of the mailbox that left so long ago."""
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection)
    for hours in hours_ago:
        message = factories.make_message(conversation, direction="outbound", origin="crm", state="sent")
        db.session.add(
            OutboxMail(
                account_id=desk.account.id, user_id=desk.user.id, connection_id=desk.connection.id, mailbox_key=OWN,
                message_id=message.id, form_token=message.id.hex, crm_ref=message.id, state="sent", next_try_at=now(),
                sent_at=now() - timedelta(hours=hours), created_at=now() - timedelta(days=30),
            )
        )  # fmt: skip
    db.session.commit()


def waiting(desk: Desk) -> list[OutboxMail]:
    """The mails in line."""
    return [mail for mail in desk.mails() if mail.waits_for == "reset"]


def look(desk: Desk) -> list[str]:
    """Let the worker try those in line, in the wrong order."""
    ids = [mail.id for mail in reversed(waiting(desk))]
    for mail in desk.mails():
        mail.next_try_at = min(mail.next_try_at, now())
    db.session.commit()
    return [outbox.deliver(mail_id) for mail_id in ids]


def subjects(desk: Desk) -> list[str]:
    """Of what the provider has in Sent, in order."""
    return [mail["headers"]["subject"] for mail in desk.sent()]


@pytest.mark.rule("G-14")
def test_queued_mails_keep_their_order_and_leave_as_places_free_up(desk: Desk, press: Press, client: Any) -> None:
    desk.account.send_cap = 2
    fill_cap(desk, 23, 20)
    for number in range(3):
        answer = press(token=f"t{number}", subject=f"n {number}", action="queue")
        assert answer.status_code == 303
    assert [mail.sent_at for mail in waiting(desk)] == [None] * 3  # they hold no place
    assert desk.deliver()[-3:] == ["", "", ""]
    page = client.get("/outbox").text
    assert page.count("Waits for the cap") == 3
    assert page.count("leaves about") == 3
    desk.pass_time(3700)
    assert look(desk) == ["", "", "sent"]  # the first in line got the one place
    assert subjects(desk) == ["n 0"]
    desk.pass_time(3 * 3600)
    assert look(desk) == ["", "sent"]
    desk.pass_time(20 * 3600)
    assert look(desk) == [""]  # those two count themselves now
    desk.pass_time(2 * 3600)
    assert look(desk) == ["sent"]
    assert subjects(desk) == ["n 0", "n 1", "n 2"]
    message = desk.message()
    assert abs(now() - message.sent_at) < timedelta(seconds=30)  # dated as of when it left
    assert str(message.sent_at.day) in desk.sent()[-1]["headers"]["date"]


@pytest.mark.rule("G-14")
def test_the_next_leaves_at_once_when_several_places_are_free(desk: Desk, press: Press) -> None:
    desk.account.send_cap = 2
    fill_cap(desk, 23, 23)
    for number in range(2):
        press(token=f"t{number}", subject=f"n {number}", action="queue")
    desk.pass_time(3700)
    outbox.sweep()
    assert desk.deliver()[-2:] == ["sent", "sent"]


@pytest.mark.rule("G-14")
def test_nobody_overtakes_those_in_line(desk: Desk, press: Press) -> None:
    desk.account.send_cap = 1
    fill_cap(desk, 23)
    press(token="t1", action="queue")
    desk.pass_time(3700)  # a place is free, and the one in line has not taken it yet
    answer = press(token="t2")
    assert answer.status_code == 409
    assert "would overtake them" in answer.text
    assert "Send when the cap frees up" in answer.text
    assert press(token="t3", action="queue").status_code == 303
    assert len(waiting(desk)) == 2


@pytest.mark.rule("G-14")
def test_what_need_not_wait_leaves_at_once(desk: Desk, press: Press) -> None:
    assert press(action="queue").status_code == 303
    assert desk.deliver() == ["sent"]


@pytest.mark.rule("G-14")
@pytest.mark.rule("TEN-6")
def test_the_line_is_the_mailboxs_over_all_its_accounts(desk: Desk, press: Press, client: Any) -> None:
    desk.account.send_cap = 1
    fill_cap(desk, 23)
    press(token="t1", action="queue")
    other = factories.make_account(send_cap=1)
    factories.make_member(other, user=desk.user)
    there = factories.make_connection(other, desk.user, OWN, grant=desk.connection.grant, is_consumer=True)
    assert caps.cap_of(there).waiting == 1
    assert caps.cap_of(there).must_wait


@pytest.mark.rule("G-14")
@pytest.mark.rule("S-03")
def test_it_can_be_taken_back_and_is_a_draft_again(desk: Desk, press: Press, client: Any) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    desk.account.send_cap = 1
    fill_cap(desk, 1)
    before = len(desk.mails())
    press(action="queue", cc=SPOUSE, bcc="quiet@mail.example", files=[(io.BytesIO(b"hello"), "a.txt")])
    message_id, conversation_id = desk.message().id, desk.message().conversation_id
    page = client.get(f"/conversations/{conversation_id}").text
    assert "Waits for the cap" in page
    assert "Take it back" in page
    answer = client.post(f"/outbox/{waiting(desk)[0].id}/take-back")
    assert answer.headers["Location"].endswith(f"/contacts/{desk.contact.id}/mail")
    kept = drafts.load(desk.user.id, desk.account.id, drafts.purpose_of("new", desk.contact.id))
    assert kept["text"] == "How is it today?"
    assert (kept["subject"], kept["cc"], kept["bcc"]) == ("Swelling", SPOUSE, "quiet@mail.example")
    db.session.expire_all()
    assert db.session.get(Message, message_id) is None
    assert db.session.get(Conversation, conversation_id) is None
    for model in (Attachment, Mention, Participant):
        assert db.session.scalars(select(model).where(model.message_id == message_id)).all() == []
    assert len(desk.mails()) == before
    assert db.session.scalars(select(AuditEvent.object_id).where(AuditEvent.name == "person:mail:cancelled")).all()
    assert desk.received() == []


@pytest.mark.rule("S-03")
def test_a_reply_taken_back_stands_above_what_was_begun_since(desk: Desk, client: Any) -> None:
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection)
    factories.make_message(conversation)
    desk.account.send_cap = 1
    fill_cap(desk, 1)
    client.sign_in(desk.user)
    client.post(f"/conversations/{conversation.id}/reply", data=desk.form(action="queue"))
    client.post(f"/conversations/{conversation.id}/reply", data=desk.form(action="draft", token="t2", text="And?"))
    client.post(f"/outbox/{waiting(desk)[0].id}/take-back")
    kept = drafts.load(desk.user.id, desk.account.id, drafts.purpose_of("reply", conversation.id))
    assert kept["text"] == "How is it today?\n\nAnd?"
    db.session.refresh(conversation)
    assert (conversation.message_count, conversation.last_direction) == (1, "inbound")


@pytest.mark.fault(2)
def test_what_a_worker_has_begun_cannot_be_taken_back(desk: Desk, press: Press, client: Any) -> None:
    press()
    assert outbox.claim_mail(desk.mails()[0].id) is not None
    assert client.post(f"/outbox/{desk.mails()[0].id}/take-back").status_code == 303
    assert (len(desk.mails()), db.session.scalars(select(Draft)).all()) == (1, [])


@pytest.mark.rule("S-01")
@pytest.mark.fault(22)
@pytest.mark.parametrize("end", ["paused", "ended"])
def test_everything_is_checked_again_when_its_place_is_free(desk: Desk, press: Press, end: str) -> None:
    desk.account.send_cap = 1
    fill_cap(desk, 23)
    press(action="queue")
    desk.pass_time(3700)
    if end == "paused":
        desk.connection.state = "paused"
    else:
        desk.message().conversation.state = "ended"
    db.session.commit()
    assert look(desk) == [""]
    assert desk.mails()[-1].state == "failed"
    assert desk.received() == []


@pytest.mark.rule("G-14")
@pytest.mark.provider_fault(19)
def test_the_providers_report_in_the_thread_closes_the_mailbox_for_a_day(desk: Desk, press: Press, client: Any) -> None:
    factories.make_signature(desk.account, desk.user)
    desk.connection.cursor = desk.sandbox.call("GET", f"/mailboxes/{OWN}")["history_id"]
    desk.sandbox.call("POST", "/mailboxes", json={"address": OWN, "send_cap": {"mode": "bounce", "limit": 0}})
    press()
    assert desk.deliver() == ["sent"]  # so it seemed
    db.session.commit()
    assert sync_mailbox(desk.connection.id) == "synced"
    mail = desk.mails()[0]
    assert mail.state == "failed"
    assert "sending limit for this mailbox is reached" in mail.error
    db.session.refresh(desk.connection)
    assert desk.connection.provider_cap_until is not None
    assert timedelta(hours=23) < desk.connection.provider_cap_until - now() <= timedelta(hours=24)
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert "Google takes no more mail of your mailbox for now." in page
    assert press(token="t2").status_code == 409
    assert press(token="t3", action="queue").status_code == 303
    desk.sandbox.call("POST", "/mailboxes", json={"address": OWN, "send_cap": None})
    desk.pass_time(24 * 3600)
    assert look(desk) == ["sent"]


@pytest.mark.rule("G-14")
@pytest.mark.rule("S-02")
def test_bulk_and_workflow_mail_neither_count_nor_wait(desk: Desk, press: Press) -> None:
    desk.account.send_cap = 1
    press()
    assert desk.deliver() == ["sent"]
    assert caps.cap_of(desk.connection).is_reached
    factories.make_relay(desk.account, desk.sandbox.smtp_port)
    campaign = factories.make_campaign(desk.account, desk.user, state="running", total=3)
    for number in range(3):
        factories.make_delivery(campaign, factories.make_contact(desk.account, name=f"Ann{number} Lee"))
    account_id = desk.account.id
    db.session.commit()
    deliveries.run(account_id)
    assert desk.sandbox.sink_count() == 3
    assert caps.cap_of(desk.connection).used == 1


@pytest.mark.rule("G-14")
@pytest.mark.provider_fault(19)
def test_the_providers_refusal_closes_the_mailbox_in_all_accounts_until_its_time(desk: Desk, press: Press) -> None:
    other = factories.make_account()
    factories.make_member(other, user=desk.user)
    there = factories.make_connection(other, desk.user, OWN, grant=desk.connection.grant, is_consumer=True)
    until = (now() + timedelta(hours=7)).replace(microsecond=0)
    message = f"User-rate limit exceeded.  Retry after {until:%Y-%m-%dT%H:%M:%S.000Z} (Mail sending)"
    body = {"error": {"code": 429, "message": message, "errors": [{"reason": "rateLimitExceeded"}]}}
    desk.sandbox.fault(path="*messages/send", times=1, status=429, body=body)
    press()
    assert desk.deliver() == ["failed"]
    for connection in (desk.connection, there):
        db.session.refresh(connection)
        assert connection.provider_cap_until == until
        assert caps.cap_of(connection).next_free_at == until
    told = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "portal:connection:capped")).all()
    assert {event.account_id for event in told} == {desk.account.id, other.id}
