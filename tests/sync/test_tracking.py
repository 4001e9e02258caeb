"""Contacts tracked by BCC Sync: with a connected Gmail mailbox their mail syncs both ways, whoever began it (B-03, G-05)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from portal.database import db
from portal.lib.clock import now
from portal.models import Contact, TrackedContact, User
from tests import factories
from tests.sync.conftest import OTHER, PATIENT, Practice


def track(contact: Contact, user: User, since: datetime | None = None) -> TrackedContact:
    """As if the user had put their BCC address into a mail to this contact, an hour ago."""
    row = TrackedContact(
        account_id=contact.account_id, user_id=user.id, contact_id=contact.id, since=since or now() - timedelta(hours=1)
    )
    db.session.add(row)
    db.session.flush()
    return row


@pytest.mark.rule("B-03")
@pytest.mark.rule("G-05")
def test_a_thread_begun_in_gmail_is_logged_both_ways(practice: Practice) -> None:
    track(practice.contact, practice.user)
    begun = practice.writes(PATIENT, text="See you at nine.")
    practice.sync()
    assert practice.reason(begun["id"]) == "tracked_written"
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT)
    practice.replies(begun["id"], text="And bring your card.")
    practice.sync()
    [conversation] = practice.conversations()
    assert (conversation.contact_id, conversation.started_by) == (practice.contact.id, "user")
    assert [m.direction for m in practice.messages()] == ["outbound", "inbound", "outbound"]
    assert practice.text(practice.messages()[0]).strip() == "See you at nine."
    assert practice.is_consistent()


@pytest.mark.rule("B-03")
def test_only_from_then_on_until_it_is_stopped_and_for_this_pair(practice: Practice) -> None:
    before = practice.writes(PATIENT)
    row = track(practice.contact, practice.user, now() + timedelta(hours=1))
    practice.sync()
    assert practice.reason(before["id"]) == "started_in_mailbox"
    row.since, row.stopped_at = now() - timedelta(hours=1), now()
    colleague = factories.make_member(practice.account)
    track(practice.contact, colleague)
    factories.make_contact(practice.account, OTHER, "Anil Raman")
    stopped, other = practice.writes(PATIENT), practice.writes(OTHER)
    practice.sync()
    assert practice.reason(stopped["id"]) == practice.reason(other["id"]) == "started_in_mailbox"
    row.stopped_at = None
    again = practice.replies(before["id"])  # a thread that began before they were tracked
    practice.sync()
    assert practice.reason(again["id"]) == "tracked_written"
    assert len(practice.messages()) == 1
