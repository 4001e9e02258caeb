"""Workflow mail: what an automation waits for, whom that concerns, who gets the mail, and when it is due (S-02)."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta
from enum import StrEnum

from portal.rules.addresses import mailbox_of
from portal.rules.sending import is_reachable

LONGEST_DELAY = timedelta(days=90)
MADE_UP = frozenset({"demo"})


class Trigger(StrEnum):
    """What makes an automation send. Those of appointments are not offered before there are calendars."""

    CONTACT_CREATED = "contact_created"
    APPOINTMENT_BOOKED = "appointment_booked"
    HOURS_BEFORE_APPOINTMENT = "hours_before_appointment"

    @property
    def label(self) -> str:
        return LABELS[self]

    @property
    def is_greeting(self) -> bool:
        """Whether nobody asked for the mail. Then it goes to an address once, and to none that wants no campaigns."""
        return self is Trigger.CONTACT_CREATED


LABELS = {
    Trigger.CONTACT_CREATED: "A contact is created",
    Trigger.APPOINTMENT_BOOKED: "An appointment is booked",
    Trigger.HOURS_BEFORE_APPOINTMENT: "An appointment is near",
}
OFFERED = (Trigger.CONTACT_CREATED,)


class NotSent(StrEnum):
    """Why a contact whom it concerns does not get the mail."""

    NO_ADDRESS = "no_address"
    UNREACHABLE = "unreachable"
    COLLEAGUE = "colleague"
    UNSUBSCRIBED = "unsubscribed"
    TWICE = "twice"
    SWITCHED_OFF = "switched_off"

    @property
    def sentence(self) -> str:
        return SENTENCES[self]


SENTENCES = {
    NotSent.NO_ADDRESS: "The contact has no primary address.",
    NotSent.UNREACHABLE: "Mail cannot go to this address.",
    NotSent.COLLEAGUE: "This is a colleague with a login here.",
    NotSent.UNSUBSCRIBED: "This address wants no campaigns, and so no greeting either.",
    NotSent.TWICE: "Another contact with the same address gets it.",
    NotSent.SWITCHED_OFF: "The automation was switched off before it left.",
}


def is_due(created_at: datetime, source: str, on_since: datetime | None, *, includes_imported: bool) -> bool:
    """Whether a new contact concerns an automation that was switched on at `on_since` (None: it is off).

    Only what happens after the switch counts, so nobody who was there before ever gets it by surprise. An imported contact
    counts where the automation says so; a made-up one never.
    """
    if on_since is None or created_at <= on_since:
        return False
    return source not in sources_left_out(includes_imported=includes_imported)


def sources_left_out(*, includes_imported: bool) -> frozenset[str]:
    """Where a contact may come from without concerning an automation."""
    return MADE_UP if includes_imported else MADE_UP | {"import"}


def why_not(
    key: str, trigger: Trigger, *, colleagues: Container[str], unsubscribed: Container[str], taken: Container[str]
) -> NotSent | None:
    """Why the contact with this matching key does not get the mail; None when it does.

    `colleagues` are the keys of all who have or had a login here (G-07), `taken` those whom this automation wrote to.
    A contact that is excluded from sync gets it: the exclusion speaks of mail that is logged, and this mail never is.
    """
    if not key:
        return NotSent.NO_ADDRESS
    if not is_reachable(key):
        return NotSent.UNREACHABLE
    if key in colleagues or mailbox_of(key) in colleagues:
        return NotSent.COLLEAGUE
    if trigger.is_greeting and key in unsubscribed:
        return NotSent.UNSUBSCRIBED
    return NotSent.TWICE if trigger.is_greeting and key in taken else None


def due_at(happened_at: datetime, delay_minutes: int) -> datetime:
    """When the mail leaves at the earliest."""
    return happened_at + timedelta(minutes=max(0, delay_minutes))


def delay_in_words(minutes: int) -> str:
    """“at once”, “2 hours later”, in the largest unit that says it whole."""
    if minutes <= 0:
        return "at once"
    count, unit = split_delay(minutes)
    return f"{count} {unit if count != 1 else unit[:-1]} later"


UNITS = {"minutes": 1, "hours": 60, "days": 24 * 60}


def split_delay(minutes: int) -> tuple[int, str]:
    """Minutes as a count of the largest unit of UNITS that says them whole."""
    unit = next(unit for unit, size in reversed(UNITS.items()) if minutes % size == 0 and (minutes or size == 1))
    return minutes // UNITS[unit], unit
