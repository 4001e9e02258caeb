"""Moments, sizes and counts as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from portal import formatting

CHICAGO = "America/Chicago"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    "value, zone, expected",
    [
        (utc(2026, 11, 24, 14, 16), CHICAGO, "Today, 8:16 AM"),
        (utc(2026, 11, 24, 6, 0), CHICAGO, "Today, 12:00 AM"),
        (utc(2026, 11, 24, 5, 59), CHICAGO, "Mon, Nov 23, 11:59 PM"),
        (utc(2026, 11, 24, 5, 59), "UTC", "Today, 5:59 AM"),
        (utc(2026, 11, 24, 18, 0), CHICAGO, "Today, 12:00 PM"),
        (utc(2026, 11, 25, 18, 5), CHICAGO, "Wed, Nov 25, 12:05 PM"),
        (utc(2025, 12, 31, 18, 5), CHICAGO, "Wed, Dec 31, 2025, 12:05 PM"),
        (utc(2027, 1, 1, 5, 30), CHICAGO, "Thu, Dec 31, 11:30 PM"),
        (utc(2026, 11, 24, 14, 16), "Not/A/Zone", "Today, 2:16 PM"),
        (None, CHICAGO, ""),
    ],
)
def test_moment(frozen_clock: object, value: datetime | None, zone: str, expected: str) -> None:
    """Today is today in the zone, not in UTC; another year is named."""
    assert formatting.moment(value, zone) == expected


def test_moment_through_the_end_of_summer_time(frozen_clock: object) -> None:
    """One hour apart in life, the same words on the clock: 1:30 AM happens twice on Nov 1."""
    first, second = utc(2026, 11, 1, 6, 30), utc(2026, 11, 1, 7, 30)
    assert formatting.moment(first, CHICAGO) == formatting.moment(second, CHICAGO) == "Sun, Nov 1, 1:30 AM"
    assert formatting.moment(utc(2026, 3, 8, 7, 59), CHICAGO) == "Sun, Mar 8, 1:59 AM"
    assert formatting.moment(utc(2026, 3, 8, 8, 0), CHICAGO) == "Sun, Mar 8, 3:00 AM"


def test_zone_name_follows_summer_time() -> None:
    with time_machine.travel(utc(2026, 7, 1, 12, 0), tick=False):
        assert formatting.zone_name(CHICAGO) == "Central (CDT)"
    with time_machine.travel(utc(2026, 11, 24, 12, 0), tick=False):
        assert formatting.zone_name(CHICAGO) == "Central (CST)"
        assert formatting.zone_name("Europe/Berlin") == "Berlin (CET)"
        assert formatting.zone_name("UTC") == "UTC"


def test_full_day_and_clock(frozen_clock: object) -> None:
    moment = utc(2026, 11, 9, 14, 42)
    assert formatting.full(moment, CHICAGO) == "Mon, Nov 9, 2026, 8:42 AM"
    assert formatting.day(moment, CHICAGO) == "Mon, Nov 9"
    assert formatting.day(utc(2024, 2, 29, 18, 0), CHICAGO) == "Thu, Feb 29, 2024"
    assert formatting.day(utc(2026, 11, 24, 15, 0), CHICAGO) == "Today"
    assert formatting.clock(moment, CHICAGO) == "8:42 AM"
    assert formatting.full(None) == formatting.day(None) == formatting.clock(None) == ""


@pytest.mark.parametrize(
    "before, expected",
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=-59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=24, seconds=59), "24 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=-3), "in 3 days"),
    ],
)
def test_ago(frozen_clock: object, before: timedelta, expected: str) -> None:
    assert formatting.ago(utc(2026, 11, 24, 15, 0) - before) == expected


@pytest.mark.parametrize(
    "size, expected",
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1 KB"), (14_400, "14 KB"), (999_499, "999 KB"),
        (999_500, "1 MB"), (1_800_000, "1.8 MB"), (3_000_000, "3 MB"), (11_800_000, "11.8 MB"), (999_000_000, "999 MB"),
        (999_500_000, "1 GB"), (1_500_000_000, "1.5 GB"),
    ],
)  # fmt: skip
def test_filesize(size: int, expected: str) -> None:
    assert formatting.filesize(size) == expected


def test_counts_and_lists() -> None:
    assert formatting.number(4812) == "4,812"
    assert formatting.plural(1, "mail") == "1 mail"
    assert formatting.plural(4812, "mail") == "4,812 mails"
    assert formatting.plural(2, "person", "people") == "2 people"
    assert [formatting.listing(words) for words in ([], ["A"], ["A", "B"], ["A", "B", "C"])] == [
        "", "A", "A and B", "A, B and C",
    ]  # fmt: skip
