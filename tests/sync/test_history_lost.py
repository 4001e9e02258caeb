"""Nothing older than the connection ever comes in, whatever happens to the provider's history (G-03, SYN-3)."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, SyncGap
from tests.sync.conftest import OWN, PATIENT, Practice


def old_mails(practice: Practice, count: int, *, days: int = 30) -> None:
    """Mail of the contact from before the connection."""
    at = int((practice.connection.connected_at - timedelta(days=days)).timestamp() * 1000)
    practice.sandbox.deliver_many(
        [
            {
                "to": [OWN],
                "raw": base64.urlsafe_b64encode(
                    f"From: {PATIENT}\r\nTo: {OWN}\r\nSubject: old {number}\r\n\r\nlong ago\r\n".encode()
                ).decode(),
                "internal_date": at + number,
            }
            for number in range(count)
        ]
    )


@pytest.mark.rule("G-03")
@pytest.mark.requirement("SYN-3")
@pytest.mark.fault(18)
@pytest.mark.provider_fault(14)
def test_history_404_imports_nothing_old_and_misses_nothing_new(practice: Practice) -> None:
    old_mails(practice, 600)
    fresh = [practice.arrives(subject=f"new {number}") for number in range(3)]
    practice.sandbox.call("POST", f"/users/{OWN}/history-floor", json={})
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(fresh)
    assert len(practice.messages()) == 3
    [gap] = db.session.scalars(select(SyncGap))
    assert (gap.found, gap.cause) == (3, "cursor_expired")
    assert gap.from_at == practice.connection.connected_at
    [event] = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "portal:gap:recorded"))
    assert event.details == {"cause": "cursor_expired", "found": 3}
    assert practice.is_consistent()
    later = practice.arrives()  # and it goes on from the new cursor, by history again
    asked = len(practice.calls("/gmail/v1/users/me/messages"))
    assert practice.sync() == "synced"
    assert practice.reason(later) == "contact_replied" or practice.reason(later) == "contact_wrote"
    assert not [c for c in practice.calls("/gmail/v1/users/me/messages")[asked:] if c["path"].endswith("/messages")]


@pytest.mark.rule("G-03")
@pytest.mark.provider_fault(37)
def test_the_providers_clock_counts_not_the_mails_own(practice: Practice) -> None:
    """Old by the provider's receive time, new by its Date header, and the other way round."""
    before = int((practice.connection.connected_at - timedelta(seconds=5)).timestamp() * 1000)
    old = practice.arrives(internal_date=str(before))
    new = practice.arrives(Date="Mon, 01 Jan 2001 00:00:00 +0000")
    practice.sync()
    assert (practice.reason(old), practice.reason(new)) == ("before_connection", "contact_wrote")


@pytest.mark.rule("G-03")
def test_quoted_members_of_a_thread_stay_where_they_are(practice: Practice) -> None:
    """The contact answers an old thread: that answer is logged, what it answers is not."""
    before = int((practice.connection.connected_at - timedelta(days=2)).timestamp() * 1000)
    old = practice.arrives(Message_ID="<old@mail.example>", internal_date=str(before))
    answer = practice.arrives(subject="Re: Swelling", In_Reply_To="<old@mail.example>", References="<old@mail.example>")
    practice.sync()
    assert practice.reason(old) == "before_connection"
    assert practice.reason(answer) == "contact_wrote"
    assert [m.provider_message_id for m in practice.messages()] == [answer]
    assert not practice.calls("threads")


@pytest.mark.rule("G-20")
def test_a_catch_up_begins_an_hour_before_the_last_good_sync(practice: Practice) -> None:
    """Reconnected after a break: the gap is filled, and what was met already is not asked for again."""
    practice.connection.connected_at = now() - timedelta(days=20)
    met = practice.arrives()
    practice.sync()
    assert practice.connection.last_success_at is not None
    practice.connection.last_success_at = now() - timedelta(days=9)
    db.session.commit()
    missed = practice.arrives(internal_date=str(int((now() - timedelta(days=8)).timestamp() * 1000)))
    too_old = practice.arrives(internal_date=str(int((now() - timedelta(days=12)).timestamp() * 1000)))
    practice.sandbox.call("POST", f"/users/{OWN}/history-floor", json={})
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == {met, missed}
    assert too_old not in practice.decisions()
    [gap] = db.session.scalars(select(SyncGap))
    assert gap.found == 1


@pytest.mark.provider_fault(14)
def test_a_cursor_of_another_world_heals(practice: Practice) -> None:
    """A cursor ahead of the mailbox's history is as lost as one behind it."""
    practice.connection.cursor = "99999999999"
    mail = practice.arrives()
    assert practice.sync() == "synced"
    assert practice.reason(mail) == "contact_wrote"
    assert int(practice.connection.cursor) < 99999999999
