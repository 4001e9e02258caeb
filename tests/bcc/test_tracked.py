"""Whom a person tracks by BCC Sync: begun by a mail with the address, listed, stopped one by one (B-03)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from portal.audit import events
from portal.bcc import queries, service
from portal.database import db
from portal.lib.clock import now
from portal.models import TrackedContact
from tests import factories
from tests.bcc.conftest import Desk

PAGE = "/profile/email/bcc/tracked"


@pytest.mark.rule("B-03")
def test_the_first_mail_begins_it_and_further_ones_change_nothing(desk: Desk, frozen_clock: Any) -> None:
    contact = factories.make_contact(desk.account)
    first = service.track(desk.account.id, desk.person.id, contact.id)
    since = first.since
    frozen_clock.shift(timedelta(hours=1))
    again = service.track(desk.account.id, desk.person.id, contact.id)
    assert (again.id, again.since) == (first.id, since)
    assert len(desk.audited(events.TRACKING_BEGUN)) == 1
    assert queries.tracked_count(desk.account.id, desk.person.id) == 1


@pytest.mark.rule("B-03")
def test_one_that_was_stopped_begins_again_with_the_next_mail(desk: Desk, frozen_clock: Any) -> None:
    row = factories.make_tracked(factories.make_contact(desk.account), desk.person)
    assert service.stop_tracking(row)
    assert not service.stop_tracking(row)  # pressed twice
    assert queries.tracked_count(desk.account.id, desk.person.id) == 0
    frozen_clock.shift(timedelta(hours=1))
    again = service.track(desk.account.id, desk.person.id, row.contact_id)
    assert (again.id, again.since, again.stopped_at) == (row.id, now(), None)
    assert (len(desk.audited(events.TRACKING_STOPPED)), len(desk.audited(events.TRACKING_BEGUN))) == (1, 1)


@pytest.mark.rule("B-03")
def test_the_list_shows_each_and_each_can_be_stopped(desk: Desk) -> None:
    assert "Nobody is tracked" in desk.page(PAGE)
    priya, jonah = (factories.make_contact(desk.account, name=name) for name in ("Priya Raman", "Jonah Whitfield"))
    row = factories.make_tracked(priya, desk.person)
    factories.make_tracked(jonah, desk.person)
    factories.make_tracked(factories.make_contact(desk.account, name="Not Mine"), factories.make_member(desk.account))
    assert ">2 tracked contacts<" in desk.page("/profile/email")
    page = desk.page(PAGE)
    assert f'href="/contacts/{priya.id}"' in page
    assert "Jonah Whitfield" in page
    assert "Not Mine" not in page
    answer = desk.client.post(f"{PAGE}/{row.id}/stop", follow_redirects=True)
    assert "Priya Raman is no longer tracked. What was logged stays." in answer.text
    assert f'href="/contacts/{priya.id}"' not in answer.text
    assert "Priya Raman" in desk.page(f"{PAGE}?show=stopped")
    assert "Nothing was changed." in desk.client.post(f"{PAGE}/{row.id}/stop", follow_redirects=True).text


@pytest.mark.rule("B-03")
def test_a_long_list_is_read_page_by_page(desk: Desk) -> None:
    for number in range(queries.PAGE + 2):
        factories.make_tracked(factories.make_contact(desk.account, name=f"Patient {number:03}"), desk.person)
    first = desk.page(PAGE)
    older = first.partition("before=")[2].partition('"')[0]
    second = desk.page(f"{PAGE}?before={older}")
    assert (first.count("Stop tracking"), second.count("Stop tracking")) == (queries.PAGE, 2)
    assert "before=" not in second


@pytest.mark.requirement("TEN-1")
def test_nobody_else_stops_what_i_track(desk: Desk, app: Flask) -> None:
    row = factories.make_tracked(factories.make_contact(desk.account), desk.person)
    colleague: Any = app.test_client().sign_in(factories.make_member(desk.account, "owner"))
    assert colleague.post(f"{PAGE}/{row.id}/stop").status_code == 404
    assert db.session.get_one(TrackedContact, row.id).stopped_at is None


@pytest.mark.rule("B-03")
def test_the_contacts_record_says_who_tracks_it(desk: Desk) -> None:
    contact = factories.make_contact(desk.account)
    factories.make_tracked(contact, desk.person)
    factories.make_tracked(contact, factories.make_member(desk.account, name="Not Any More"), stopped_at=now())
    assert "Tracked by BCC Sync: Maren Holt." in desk.page(f"/contacts/{contact.id}")
