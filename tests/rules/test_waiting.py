"""What a person may choose as the time for a mail, as a table."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from portal.rules.waiting import NoSuchMoment, moment_of

CHICAGO = ZoneInfo("America/Chicago")
NOW = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)  # 9:30 in Chicago


@pytest.mark.rule("S-03")
@pytest.mark.parametrize(
    ("day", "clock", "moment"),
    [
        ("2026-03-01", "09:31", datetime(2026, 3, 1, 15, 31, tzinfo=UTC)),
        ("2026-03-01", "09:31:00", datetime(2026, 3, 1, 15, 31, tzinfo=UTC)),
        ("2026-03-08", "03:00", datetime(2026, 3, 8, 8, 0, tzinfo=UTC)),  # right after the gap
        (" 2026-04-30 ", " 09:30 ", datetime(2026, 4, 30, 14, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_the_accounts_own(day: str, clock: str, moment: datetime) -> None:
    assert moment_of(day, clock, CHICAGO, NOW) == moment


@pytest.mark.rule("S-03")
def test_of_an_hour_that_comes_twice_the_first_counts() -> None:
    autumn = datetime(2026, 10, 31, 12, tzinfo=UTC)
    assert moment_of("2026-11-01", "01:30", CHICAGO, autumn) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)


@pytest.mark.bad_input(43)
@pytest.mark.parametrize(
    ("day", "clock", "field", "words"),
    [
        ("2026-03-01", "09:30", "time", "in the past"),
        ("2026-02-28", "23:00", "date", "in the past"),
        ("2026-02-31", "10:00", "date", "does not exist"),
        ("2026-13-01", "10:00", "date", "does not exist"),
        ("0000-01-01", "10:00", "date", "does not exist"),
        ("2026-03-08", "02:30", "time", "does not exist"),  # clocks go from 2 to 3
        ("2026-04-30", "10:31", "date", "within the next 60 days"),
        ("9999-12-31", "23:59", "date", "within the next 60 days"),
        ("2026-03-02", "24:00", "time", "Give a time"),
        ("2026-03-02", "10:60", "time", "Give a time"),
        ("2026-03-02", "", "time", "Give a time"),
        ("", "10:00", "date", "Give a day"),
        ("tomorrow", "10:00", "date", "Give a day"),
        ("1" * 5000, "10:00", "date", "Give a day"),
        ("٢٠٢٦-٠٣-٠٢", "10:00", "date", "Give a day"),
    ],
)
def test_what_is_no_moment_is_said_at_its_field(day: str, clock: str, field: str, words: str) -> None:
    with pytest.raises(NoSuchMoment, match=words) as caught:
        moment_of(day, clock, CHICAGO, NOW)
    assert caught.value.field == field
