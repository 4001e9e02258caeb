"""Workflow mail: whom a new contact's mail concerns, who gets it, when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.rules.workflows import OFFERED, NotSent, Trigger, delay_in_words, due_at, is_due, split_delay, why_not

ON = datetime(2026, 11, 24, 15, tzinfo=UTC)
LATER, EARLIER = ON + timedelta(seconds=1), ON - timedelta(seconds=1)


@pytest.mark.rule("S-02")
@pytest.mark.parametrize(
    ("created_at", "source", "on_since", "includes_imported", "expected"),
    [
        (LATER, "manual", ON, False, True),
        (LATER, "manual", ON, True, True),
        (LATER, "bcc_sync", ON, False, True),
        (ON, "manual", ON, True, False),
        (EARLIER, "manual", ON, True, False),
        (LATER, "manual", None, True, False),
        (LATER, "import", ON, False, False),
        (LATER, "import", ON, True, True),
        (EARLIER, "import", ON, True, False),
        (LATER, "demo", ON, True, False),
    ],
)
def test_only_new_contacts_concern_it(
    created_at: datetime, source: str, on_since: datetime | None, includes_imported: bool, expected: bool
) -> None:
    assert is_due(created_at, source, on_since, includes_imported=includes_imported) is expected


@pytest.mark.rule("S-02")
@pytest.mark.rule("G-07")
@pytest.mark.parametrize(
    ("key", "trigger", "expected"),
    [
        ("new@mail.example", Trigger.CONTACT_CREATED, None),
        ("", Trigger.CONTACT_CREATED, NotSent.NO_ADDRESS),
        ("jürgen@mail.example", Trigger.CONTACT_CREATED, NotSent.UNREACHABLE),
        ("nora@lumen.example", Trigger.CONTACT_CREATED, NotSent.COLLEAGUE),
        ("n.ora+x@gmail.com", Trigger.CONTACT_CREATED, NotSent.COLLEAGUE),
        ("nora@lumen.example", Trigger.APPOINTMENT_BOOKED, NotSent.COLLEAGUE),
        ("no-more@mail.example", Trigger.CONTACT_CREATED, NotSent.UNSUBSCRIBED),
        ("no-more@mail.example", Trigger.APPOINTMENT_BOOKED, None),
        ("known@mail.example", Trigger.CONTACT_CREATED, NotSent.TWICE),
        ("known@mail.example", Trigger.HOURS_BEFORE_APPOINTMENT, None),
    ],
)
def test_who_gets_it(key: str, trigger: Trigger, expected: NotSent | None) -> None:
    colleagues, unsubscribed = {"nora@lumen.example", "nora@gmail.com"}, {"no-more@mail.example"}
    found = why_not(key, trigger, colleagues=colleagues, unsubscribed=unsubscribed, taken={"known@mail.example"})
    assert found is expected


def test_every_reason_and_trigger_has_its_words_and_only_what_works_is_offered() -> None:
    assert all(reason.sentence.endswith(".") for reason in NotSent)
    assert all(trigger.label for trigger in Trigger)
    assert OFFERED == (Trigger.CONTACT_CREATED,)


@pytest.mark.parametrize(
    ("minutes", "split", "words"),
    [
        (0, (0, "minutes"), "at once"),
        (1, (1, "minutes"), "1 minute later"),
        (90, (90, "minutes"), "90 minutes later"),
        (60, (1, "hours"), "1 hour later"),
        (2880, (2, "days"), "2 days later"),
    ],
)
def test_a_delay_is_said_in_its_largest_unit(minutes: int, split: tuple[int, str], words: str) -> None:
    assert split_delay(minutes) == split
    assert delay_in_words(minutes) == words
    assert due_at(ON, minutes) == ON + timedelta(minutes=minutes)
