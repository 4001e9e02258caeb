"""The part of a mail form that chooses when it leaves: at once, when the cap frees up, or at a time (G-14, S-03)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from wtforms import StringField
from wtforms.validators import ValidationError

from portal.formatting import account_zone, zone_of
from portal.lib.clock import now
from portal.rules.waiting import NoSuchMoment, moment_of

WAITS = {"queue": "reset", "later": "time"}


class LaterFields:
    """Day and time, in the account's zone. Filled in, they count for the plain send button too: Enter in one of them
    presses that, and a mail that left at once could not be called back."""

    send_date = StringField("Day")
    send_time = StringField("Time")

    if TYPE_CHECKING:
        action: StringField

    def validate_send_date(self, _field: StringField) -> None:
        self._check("date")

    def validate_send_time(self, _field: StringField) -> None:
        self._check("time")

    def _check(self, field: str) -> None:
        """Say what is wrong at the field that has to be mended."""
        if self.waits_for != "time":
            return
        try:
            self._moment()
        except NoSuchMoment as error:
            if error.field == field:
                raise ValidationError(f"{error} Nothing was sent.") from None

    @property
    def waits_for(self) -> str:
        """ "reset", "time", or "" for at once, by the button that was pressed and the time that was filled in."""
        action = str(self.action.data or "")
        if action == "send" and any(self._typed()):
            return "time"
        return WAITS.get(action, "")

    @property
    def send_at(self) -> datetime | None:
        """The moment that was chosen. Only for a validated form."""
        return self._moment() if self.waits_for == "time" else None

    def _moment(self) -> datetime:
        return moment_of(*self._typed(), zone_of(account_zone()), now())

    def _typed(self) -> tuple[str, str]:
        """Day and time as they were sent."""
        return str(self.send_date.data or "").strip(), str(self.send_time.data or "").strip()  # type: ignore[attr-defined]
