"""Mail that waits for a time: what a person may ask for, in the clock of the account's place (S-03)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MAX_AHEAD = timedelta(days=60)
PAST = "This is in the past. Choose a later one."
TOO_FAR = f"Choose a day within the next {MAX_AHEAD.days} days."
DAY_FORM = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
CLOCK_FORM = re.compile(r"([0-9]{2}):([0-9]{2})(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")  # browsers may add seconds


class NoSuchMoment(ValueError):
    """What was asked for is no moment to send at. `args[0]` says why in words; `field` is "date" or "time"."""

    def __init__(self, words: str, field: str) -> None:
        super().__init__(words)
        self.field = field


def moment_of(day_text: str, clock_text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment that "2026-11-24" and "14:30" mean in a zone, as UTC; of an hour that comes twice, the first.

    Raises NoSuchMoment for a day or time that does not exist, the hour skipped in spring, the past, and what is more
    than 60 days ahead.
    """
    day, today = _day(day_text), now.astimezone(zone).date()
    if day < today:
        raise NoSuchMoment(PAST, "date")
    if day > today + MAX_AHEAD:
        raise NoSuchMoment(TOO_FAR, "date")
    local = datetime.combine(day, _clock(clock_text), zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise NoSuchMoment("Clocks go forward that night, so this time does not exist. Choose another.", "time")
    if moment <= now:
        raise NoSuchMoment(PAST, "time")
    if moment > now + MAX_AHEAD:
        raise NoSuchMoment(TOO_FAR, "date")
    return moment


def _day(text: str) -> date:
    match = DAY_FORM.fullmatch(text.strip())
    if match is None:
        raise NoSuchMoment("Give a day, such as 2026-11-24.", "date")
    try:
        return date(*map(int, match.groups()))
    except ValueError:
        raise NoSuchMoment("This day does not exist. Choose another.", "date") from None


def _clock(text: str) -> time:
    match = CLOCK_FORM.fullmatch(text.strip())
    try:
        if match is not None:
            return time(int(match[1]), int(match[2]))
    except ValueError:
        pass
    raise NoSuchMoment("Give a time, such as 14:30.", "time")
