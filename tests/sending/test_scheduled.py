"""Mail for a time: it leaves then, after all checks, and until then can be taken back or sent at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, Membership, Notice
from portal.sending import outbox
from tests.sending.conftest import Desk
from tests.sending.test_cap_line import fill_cap

Press = Callable[..., Any]
CHICAGO = ZoneInfo("America/Chicago")


def at(moment: datetime) -> dict[str, str]:
    """The form's fields for a moment."""
    local = moment.astimezone(CHICAGO)
    return {"action": "later", "send_date": f"{local:%Y-%m-%d}", "send_time": f"{local:%H:%M}"}


def tomorrow() -> datetime:
    """This time tomorrow, to the minute."""
    return (now() + timedelta(days=1)).replace(second=0, microsecond=0)


@pytest.mark.rule("S-03")
@pytest.mark.parametrize("by", ["mailbox", "provider"])
def test_it_leaves_at_its_time_and_not_before(desk: Desk, press: Press, client: Any, by: str) -> None:
    if by == "provider":
        desk.use_relay()
    assert press(**at(tomorrow())).status_code == 303
    mail = desk.mails()[0]
    assert (mail.send_at, mail.sent_at, mail.waits_for) == (tomorrow(), None, "time")
    page = client.get("/outbox").text
    assert "Scheduled" in page
    assert "Send it now" in page
    assert "Take it back" in page
    assert "Scheduled" in client.get("/conversations").text
    assert "Scheduled" in client.get(f"/conversations/{desk.message().conversation_id}").text
    desk.pass_time(23 * 3600)
    assert outbox.sweep() == 0
    assert desk.deliver() == [""]
    desk.pass_time(3700)
    assert outbox.sweep() == 1
    assert desk.deliver() == ["sent"]
    assert (len(desk.received()) if by == "mailbox" else desk.sandbox.sink_count()) == 1
    head = desk.sent()[0]["headers"] if by == "mailbox" else desk.sandbox.sink()[0]["headers"]
    assert now().strftime("%a, %d %b %Y %H:") in head["date"]
    queued = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:mail:queued")).one()
    assert queued.details == {"waits_for": "time"}


@pytest.mark.rule("S-03")
def test_a_time_that_is_filled_in_counts_for_the_plain_send_button_too(desk: Desk, press: Press) -> None:
    press(**(at(tomorrow()) | {"action": "send"}))
    (mail,) = desk.mails()
    assert (mail.waits_for, mail.send_at) == ("time", tomorrow())


@pytest.mark.bad_input(43)
@pytest.mark.parametrize(
    ("day", "clock", "words"),
    [
        ("2026-11-23", "10:00", "This is in the past."),
        ("2026-12-01", "", "Give a time"),
        ("<script>alert(1)</script>", "10:00", "Give a day"),
    ],
)
def test_what_is_no_time_is_said_and_nothing_is_kept_waiting(
    frozen_clock: Any, desk: Desk, press: Press, day: str, clock: str, words: str
) -> None:
    answer = press(action="later", send_date=day, send_time=clock)
    assert answer.status_code == 400
    assert words in answer.text
    assert "Nothing was sent." in answer.text
    assert "How is it today?" in answer.text
    assert "<script>alert" not in answer.text
    assert desk.mails() == []


@pytest.mark.bad_input(43)
def test_an_hour_that_the_clocks_skip_is_refused(desk: Desk, press: Press, frozen_clock: Any, client: Any) -> None:
    desk.account.time_zone = "America/Chicago"
    frozen_clock.move_to(datetime(2027, 3, 1, 12, tzinfo=CHICAGO))
    client.sign_in(desk.user)
    answer = press(action="later", send_date="2027-03-14", send_time="02:30")
    assert answer.status_code == 400
    assert "Clocks go forward that night" in answer.text


@pytest.mark.rule("S-03")
def test_it_can_be_sent_at_once_or_taken_back(desk: Desk, press: Press, client: Any) -> None:
    press(token="t1", **at(tomorrow()))
    press(token="t2", subject="Second", **at(tomorrow()))
    first, second = desk.mails()
    assert client.post(f"/outbox/{first.id}/now").status_code == 303
    assert desk.deliver() == ["sent", ""]
    assert client.post(f"/outbox/{second.id}/take-back").status_code == 303
    assert len(desk.mails()) == 1
    client.post(f"/outbox/{first.id}/now")  # pressed in an old page
    client.post(f"/outbox/{first.id}/take-back")
    desk.pass_time(24 * 3600 + 60)
    assert desk.deliver() == [""]
    assert len(desk.received()) == 1


@pytest.mark.rule("G-14")
def test_at_the_cap_it_joins_the_line_when_its_time_comes(desk: Desk, press: Press, client: Any) -> None:
    desk.account.send_cap = 1
    press(**at(tomorrow()))
    desk.pass_time(23 * 3600)
    fill_cap(desk, 1)
    desk.pass_time(3700)
    assert desk.deliver()[0] == ""
    mail = desk.mails()[0]
    assert (mail.state, mail.waits_for) == ("prepared", "reset")
    client.sign_in(desk.user)
    answer = client.post(f"/outbox/{mail.id}/now")  # an old page's button passes nobody
    assert answer.status_code == 303
    assert desk.received() == []
    desk.pass_time(24 * 3600)
    assert desk.deliver()[0] == "sent"


@pytest.mark.rule("G-14")
def test_send_it_now_is_refused_at_the_cap(desk: Desk, press: Press, client: Any) -> None:
    desk.account.send_cap = 1
    press(**at(tomorrow()))
    fill_cap(desk, 1)
    answer = client.post(f"/outbox/{desk.mails()[0].id}/now")
    assert answer.status_code == 409
    assert "has sent 1 of 1" in answer.text
    assert desk.mails()[0].waits_for == "time"


@pytest.mark.rule("S-01")
@pytest.mark.fault(22)
@pytest.mark.parametrize("end", ["paused", "membership"])
def test_everything_is_checked_again_at_its_time(desk: Desk, press: Press, end: str) -> None:
    press(**at(tomorrow()))
    if end == "paused":
        desk.connection.state = "paused"
    else:
        db.session.scalars(select(Membership)).one().state = "deactivated"
    db.session.commit()
    desk.pass_time(24 * 3600 + 60)
    assert desk.deliver() == [""]
    assert desk.mails()[0].state == "failed"
    assert desk.received() == []
    notice = db.session.scalars(select(Notice)).one()  # nobody is looking at it by then
    assert notice.user_id == desk.user.id
    assert "A mail that waited could not leave." in notice.text
