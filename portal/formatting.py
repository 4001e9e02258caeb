"""How moments, sizes and counts are written. Filters of every template; pure functions once a zone is given."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Flask, g, has_request_context

from portal.lib.clock import now

MINUTE, HOUR, DAY = 60, 3600, 86400
ZONE_WORDS = {
    "America/New_York": "Eastern",
    "America/Detroit": "Eastern",
    "America/Chicago": "Central",
    "America/Denver": "Mountain",
    "America/Phoenix": "Mountain",
    "America/Los_Angeles": "Pacific",
    "America/Anchorage": "Alaska",
    "Pacific/Honolulu": "Hawaii",
}


def init_app(app: Flask) -> None:
    """Register the filters and the two sentences about the zone."""
    filters = (moment, full, day, clock, ago, filesize, number, plural, listing)
    app.jinja_env.filters.update({function.__name__: function for function in filters})
    app.jinja_env.globals.update(zone_note=zone_note, zone_name=zone_name)


def zone_of(name: str) -> ZoneInfo:
    """The zone with this IANA name; UTC for a name that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def account_zone() -> str:
    """The IANA name of the zone of the account being worked in; UTC for strangers."""
    membership = g.get("membership") if has_request_context() else None
    return str(membership.account.time_zone) if membership else "UTC"


def _local(value: datetime, zone: str) -> tuple[datetime, datetime]:
    """The moment and now, both in the zone."""
    place = zone_of(zone or account_zone())
    return value.astimezone(place), now().astimezone(place)


def _clock(value: datetime) -> str:
    return f"{value.hour % 12 or 12}:{value:%M} {'AM' if value.hour < 12 else 'PM'}"


def _date(value: datetime, *, year: bool) -> str:
    return f"{value:%a, %b} {value.day}" + (f", {value.year}" if year else "")


def moment(value: datetime | None, zone: str = "") -> str:
    """“Today, 2:16 PM”; “Mon, Nov 23, 6:48 PM”; with the year when it is not this one. "" for None."""
    if value is None:
        return ""
    local, today = _local(value, zone)
    if local.date() == today.date():
        return f"Today, {_clock(local)}"
    return f"{_date(local, year=local.year != today.year)}, {_clock(local)}"


def full(value: datetime | None, zone: str = "") -> str:
    """“Mon, Nov 9, 2026, 8:42 AM”, whatever the day is; for records."""
    if value is None:
        return ""
    local, _ = _local(value, zone)
    return f"{_date(local, year=True)}, {_clock(local)}"


def day(value: datetime | None, zone: str = "") -> str:
    """“Today”; “Mon, Nov 23”; with the year when it is not this one."""
    if value is None:
        return ""
    local, today = _local(value, zone)
    return "Today" if local.date() == today.date() else _date(local, year=local.year != today.year)


def clock(value: datetime | None, zone: str = "") -> str:
    """“2:38 PM”."""
    return "" if value is None else _clock(_local(value, zone)[0])


def ago(value: datetime | None) -> str:
    """“24 minutes ago”, “in 3 days”, “just now” (within a minute); whole units, rounded down."""
    if value is None:
        return ""
    seconds = (now() - value).total_seconds()
    size = abs(seconds)
    if size < MINUTE:
        return "just now"
    unit, word = (MINUTE, "minute") if size < HOUR else (HOUR, "hour") if size < DAY else (DAY, "day")
    words = plural(int(size // unit), word)
    return f"{words} ago" if seconds > 0 else f"in {words}"


def filesize(size: int) -> str:
    """Bytes as people read them, in powers of 1,000: “820 bytes”, “14 KB”, “1.8 MB”."""
    if size < 1000:
        return plural(size, "byte")
    value, unit = (size / 1000, "KB") if size < 999_500 else (size / 1_000_000, "MB")
    if unit == "MB" and value >= 999.5:
        value, unit = value / 1000, "GB"
    text = f"{value:.0f}" if unit == "KB" else f"{value:.1f}".removesuffix(".0")
    return f"{text} {unit}"


def number(value: int) -> str:
    """“4,812”."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """“1 mail”, “4,812 mails”; `many` where an s is not enough."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listing(words: Iterable[object]) -> str:
    """“A”, “A and B”, “A, B and C”."""
    parts = [str(word) for word in words]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def zone_name(zone: str = "") -> str:
    """“Central (CST)”: the zone's name and what it is called today."""
    zone = zone or account_zone()
    short = now().astimezone(zone_of(zone)).strftime("%Z")
    words = ZONE_WORDS.get(zone) or zone.rpartition("/")[2].replace("_", " ")
    return words if words == short else f"{words} ({short})"


def zone_note() -> str:
    """The one sentence a page says about its times."""
    membership = g.get("membership")
    if membership is None:
        return f"All times {zone_name()}."
    account = membership.account
    return f"All times {zone_name()}, the time zone of {account.name}, {account.location}."
