"""Each mail leaves exactly once, whatever the provider, the network or the worker do in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal import queues
from portal.database import db
from portal.lib import clock
from portal.models import AuditEvent, Membership, Notice
from portal.sending import outbox, outcomes
from tests.sending.conftest import OWN, Desk

SEND = "*messages/send"
Press = Callable[..., Any]


def later(seconds: int) -> None:
    """Move the portal's clock on."""
    clock.set_offset(clock.offset_seconds() + seconds, allowed=True)


def states(desk: Desk) -> tuple[str, str]:
    """Of the mail in the outbox, and of the message on the page."""
    return desk.mails()[0].state, desk.message().state


@pytest.mark.provider_fault(18)
@pytest.mark.fault(14)
@pytest.mark.fault(16)
@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize(
    "rule",
    [
        {"drop": True, "after_effect": True},
        {"status": 500, "after_effect": True},
        {"truncate": 10},
        {"status": 200, "body": "<html>proxy</html>", "after_effect": True},
    ],
    ids=["dropped", "500", "cut short", "html"],
)
def test_a_lost_answer_is_looked_up_before_anything_is_sent_anew(
    desk: Desk, press: Press, client: Any, rule: dict[str, Any]
) -> None:
    press()
    desk.sandbox.fault(path=SEND, times=1, **rule)
    assert desk.deliver() == ["unknown"]
    page = client.get(f"/conversations/{desk.message().conversation_id}").text
    assert "Perhaps sent" in page
    later(20)
    assert desk.deliver() == ["sent"]
    assert states(desk) == ("sent", "sent")
    assert (len(desk.received()), desk.sends()) == (1, 1)
    assert desk.message().internet_message_id == desk.received()[0]["headers"]["message_id"]


@pytest.mark.provider_fault(18)
@pytest.mark.fault(12)
@pytest.mark.parametrize("rule", [{"drop": True}, {"status": 503}], ids=["dropped", "503"])
def test_what_is_certainly_not_there_is_sent_anew_once(desk: Desk, press: Press, rule: dict[str, Any]) -> None:
    press()
    desk.sandbox.fault(path=SEND, times=1, **rule)
    assert desk.deliver() == ["unknown"]
    assert desk.deliver() == [""]  # not due
    later(20)
    assert desk.deliver() == ["unknown"]  # it is not listed, but may still turn up
    later(41)
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()), desk.sends()) == (1, 2)


@pytest.mark.fault(14)
def test_a_provider_that_does_not_come_to_an_end_is_left(
    desk: Desk, press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    press()
    monkeypatch.setattr(outbox, "SEND_WITHIN", timedelta(seconds=0.3))
    desk.sandbox.fault(path=SEND, times=1, delay_ms=800)
    assert desk.deliver() == ["unknown"]
    monkeypatch.undo()
    while not desk.sent():  # the provider goes on with it
        time.sleep(0.05)
    later(20)
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()), desk.mails()[0].attempts) == (1, 1)


@pytest.mark.fault(12)
@pytest.mark.fault(13)
def test_a_busy_provider_is_waited_for(desk: Desk, press: Press, client: Any) -> None:
    press()
    limit = {"error": {"code": 429, "message": "Too many", "errors": [{"reason": "rateLimitExceeded"}]}}
    desk.sandbox.fault(path=SEND, times=1, status=429, headers={"Retry-After": "90"}, body=limit)
    assert desk.deliver() == ["prepared"]
    assert "tried again by itself" in client.get("/outbox").text
    later(60)
    assert desk.deliver() == [""]
    later(31)
    assert desk.deliver() == ["sent"]
    assert len(desk.received()) == 1


@pytest.mark.provider_fault(19)
def test_the_providers_own_cap_fails_the_mail_and_it_can_be_tried_again(
    desk: Desk, press: Press, client: Any
) -> None:
    press()
    desk.sandbox.call("POST", "/mailboxes", json={"address": OWN, "send_cap": {"mode": "429", "limit": 0}})
    assert desk.deliver() == ["failed"]
    mail = desk.mails()[0]
    assert "sending limit for this mailbox is reached" in mail.error
    assert mail.sent_at is None  # its place under our own cap is given back
    page = client.get(f"/conversations/{desk.message().conversation_id}").text
    assert "Not sent" in page
    assert "Send when the cap frees up" in page
    desk.sandbox.call("POST", "/mailboxes", json={"address": OWN, "send_cap": None})
    assert client.post(f"/outbox/{mail.id}/retry").status_code == 409  # the provider said when: not before
    assert client.post(f"/outbox/{mail.id}/retry", data={"action": "queue"}).status_code == 303
    assert desk.deliver() == [""]
    later(24 * 3600 + 1)
    assert desk.deliver() == ["sent"]
    assert (states(desk), len(desk.received())) == (("sent", "sent"), 1)
    client.post(f"/outbox/{mail.id}/retry")  # pressed in an old page
    assert desk.deliver() == [""]


@pytest.mark.provider_fault(21)
def test_what_the_provider_finds_too_large_fails(desk: Desk, press: Press) -> None:
    press()
    desk.sandbox.fault(path=SEND, times=1, status=413, body={"error": {"code": 413, "message": "too large"}})
    assert desk.deliver() == ["failed"]
    assert desk.mails()[0].error == "Google refused it as too large."


@pytest.mark.rule("G-18")
@pytest.mark.fault(21)
@pytest.mark.provider_fault(6)
@pytest.mark.provider_fault(13)
@pytest.mark.parametrize("loss", ["revoke", "change-password", "scope"])
def test_a_lost_consent_fails_the_mail_and_is_told(desk: Desk, press: Press, loss: str) -> None:
    press()
    if loss == "scope":
        body = {"error": {"code": 403, "message": "x", "errors": [{"reason": "insufficientPermissions"}]}}
        desk.sandbox.fault(path=SEND, status=403, body=body)
    else:
        desk.sandbox.call("POST", f"/users/{OWN}/{loss}", json={})
    assert desk.deliver() == ["failed"]
    assert "needs attention" in desk.mails()[0].error
    db.session.refresh(desk.connection)
    assert desk.connection.state == "needs_attention"
    assert db.session.scalars(select(Notice.user_id)).all() == [desk.user.id]
    assert desk.received() == []


@pytest.mark.fault(17)
@pytest.mark.provider_fault(12)
def test_an_expired_token_is_refreshed_once(desk: Desk, press: Press) -> None:
    press()
    desk.deliver()
    desk.sandbox.call("POST", f"/users/{OWN}/expire-access")
    press(token="t2")
    assert desk.deliver() == ["", "sent"]
    refreshes = [call for call in desk.sandbox.requests(path="/google/token") if call["status"] == 200]
    assert len(refreshes) == 2
    assert len(desk.received()) == 2


@pytest.mark.fault(2)
def test_a_worker_killed_after_the_send_leaves_no_second_mail(desk: Desk, press: Press) -> None:
    press()
    claim = outbox.claim_mail(desk.mails()[0].id)
    assert claim is not None
    asyncio.run(outbox._send(claim))  # and then the power goes
    assert states(desk) == ("sending", "sending")
    assert outbox.sweep() == 0
    later(101)
    assert outbox.sweep() == 1
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()), desk.sends()) == (1, 1)


@pytest.mark.fault(2)
def test_a_worker_killed_before_the_send_loses_no_mail(desk: Desk, press: Press) -> None:
    press()
    assert outbox.claim_mail(desk.mails()[0].id) is not None
    later(101)
    assert desk.deliver() == ["sending"]
    assert desk.message().state == "unknown"
    later(200)
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()), desk.sends()) == (1, 1)


@pytest.mark.fault(3)
def test_two_workers_with_one_mail_send_it_once(desk: Desk, press: Press) -> None:
    press()
    mail_id = desk.mails()[0].id
    assert outbox.claim_mail(mail_id) is not None
    assert outbox.claim_mail(mail_id) is None
    later(301)
    slow, quick = outbox.claim_mail(mail_id), None
    later(101)  # the first has not come to an end, and a second one looks too
    quick = outbox.claim_mail(mail_id)
    assert slow is not None
    assert quick is not None
    assert outbox._begin_anew(quick)
    assert not outbox._begin_anew(slow)


@pytest.mark.provider_fault(40)
@pytest.mark.fault(22)
@pytest.mark.parametrize("end", ["disconnected", "paused", "left"])
def test_what_was_pressed_before_the_end_does_not_leave_after_it(desk: Desk, press: Press, end: str) -> None:
    press()
    if end == "left":
        db.session.scalars(select(Membership)).one().state = "deactivated"
    else:
        desk.connection.state = end
        desk.connection.disconnected_at = clock.now() if end == "disconnected" else None
    db.session.commit()
    assert desk.deliver() == [""]
    assert states(desk) == ("failed", "failed")
    assert desk.sends() == 0


@pytest.mark.fault(22)
def test_an_uncertain_mail_of_a_closed_mailbox_says_so_and_is_looked_for_first(
    desk: Desk, press: Press, client: Any
) -> None:
    press()
    desk.sandbox.fault(path=SEND, times=1, drop=True, after_effect=True)
    desk.deliver()
    desk.connection.state = "paused"
    db.session.commit()
    later(20)
    desk.deliver()
    mail = desk.mails()[0]
    assert "Look into the Sent folder" in mail.error
    desk.connection.state = "connected"
    client.post(f"/outbox/{mail.id}/retry")
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()), desk.sends()) == (1, 1)


@pytest.mark.fault(5)
@pytest.mark.fault(4)
def test_what_redis_has_lost_is_enqueued_again(desk: Desk, press: Press) -> None:
    press()
    queues.redis().flushall()
    assert queues.queue(queues.SENDING).count == 0
    assert outbox.sweep() == 1
    assert outbox.sweep() == 1
    assert queues.queue(queues.SENDING).job_ids == [f"send-{desk.mails()[0].id}"]


@pytest.mark.rule("G-22")
@pytest.mark.provider_fault(19)
def test_a_mail_that_came_back_is_written_again_not_sent_again(desk: Desk, press: Press, client: Any) -> None:
    press(cc="anil@mail.example")
    desk.deliver()
    outcomes.settle_bounced(desk.mails()[0])
    db.session.commit()
    page = client.get(f"/conversations/{desk.message().conversation_id}").text
    assert "It came back" in page
    client.post(f"/outbox/{desk.mails()[0].id}/retry")
    assert desk.deliver() == [""]
    page = client.get(f"/conversations/{desk.message().conversation_id}").text
    assert ">\r\nHow is it today?</textarea>" in page or ">How is it today?</textarea>" in page
    assert len(desk.received()) == 1


@pytest.mark.rule("G-22")
def test_a_bounce_that_overtakes_the_answer_stands(desk: Desk, press: Press) -> None:
    press()
    claim = outbox.claim_mail(desk.mails()[0].id)
    assert claim is not None
    sent = asyncio.run(outbox._send(claim))
    outcomes.settle_bounced(desk.mails()[0])
    db.session.commit()
    assert outcomes.settle_sent(claim.outbox_id, sent) == "failed"
    assert desk.message().provider_message_id == sent.provider_message_id


@pytest.mark.rule("G-19")
def test_a_sent_copy_that_the_sync_met_first_settles_the_mail(desk: Desk, press: Press) -> None:
    press()
    desk.sandbox.fault(path=SEND, times=1, drop=True, after_effect=True)
    desk.deliver()
    desk.message().provider_message_id = desk.sent()[0]["id"]
    db.session.commit()
    later(20)
    assert desk.deliver() == [""]
    assert states(desk) == ("sent", "sent")
    assert desk.sends() == 1


@pytest.mark.fault(12)
def test_a_provider_that_stays_away_fails_the_mail_in_the_end(desk: Desk, press: Press) -> None:
    press()
    limit = {"error": {"code": 429, "message": "Too many", "errors": [{"reason": "rateLimitExceeded"}]}}
    desk.sandbox.fault(path=SEND, status=429, body=limit)
    for _ in range(outcomes.TRIES):
        assert states(desk)[0] == "prepared"
        desk.deliver()
        later(601)
    assert states(desk) == ("failed", "failed")
    assert "could not be reached for some time" in desk.mails()[0].error
    failed = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "portal:mail:failed")).one()
    assert failed.details == {"cause": "unreachable"}
