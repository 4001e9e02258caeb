"""The form of an automation."""

from __future__ import annotations

from datetime import timedelta

from wtforms import (
    BooleanField,
    IntegerField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError

from portal.automations.service import Details
from portal.campaigns.forms import TemplateForm
from portal.models import Automation
from portal.rules.workflows import LONGEST_DELAY, OFFERED, UNITS, Trigger, split_delay
from portal.sending.delivery_letters import Letter, open_letter
from portal.sending.forms import MAX_SUBJECT

MAX_COUNT = int(LONGEST_DELAY / timedelta(minutes=1))


class AutomationForm(TemplateForm):
    """Name, trigger, delay, text."""

    trigger = RadioField(
        "Send it when", choices=[SelectChoice(item.value, item.label) for item in OFFERED], default=OFFERED[0].value
    )
    delay = IntegerField(
        "Wait", [InputRequired("Give a number; 0 sends it at once."), NumberRange(0, MAX_COUNT, "Give 0 or more.")],
        default=0,
    )
    unit = SelectField("Unit", choices=[SelectChoice(unit, unit) for unit in UNITS], default="minutes")
    includes_imported = BooleanField("Also for contacts that come by an import")
    subject = StringField("Subject", [Length(max=MAX_SUBJECT, message="Use at most 250 characters.")])

    @classmethod
    def of(cls, automation: Automation) -> AutomationForm:
        """The form of an automation as it stands."""
        letter, (delay, unit) = open_letter(automation), split_delay(automation.delay_minutes)
        return cls(
            {
                "name": automation.name, "trigger": automation.trigger, "delay": delay, "unit": unit,
                "includes_imported": automation.includes_imported, "subject": letter.subject, "text": letter.text,
                "html": letter.html,
            }
        )  # fmt: skip

    def validate_delay(self, field: IntegerField) -> None:
        if self.delay_minutes > MAX_COUNT:
            raise ValidationError(f"Wait at most {LONGEST_DELAY.days} days.")

    def validate_text(self, field: TextAreaField) -> None:
        if not (field.data or "").strip() and not (self.html.data or "").strip():
            raise ValidationError("Write the text of the mail.")
        super().validate_text(field)

    @property
    def delay_minutes(self) -> int:
        return int(self.delay.data or 0) * UNITS.get(self.unit.data or "", 1)

    @property
    def details(self) -> Details:
        """What the service takes, after validation."""
        return Details(
            name=(self.name.data or "").strip(),
            trigger=Trigger(self.trigger.data),
            delay_minutes=self.delay_minutes,
            includes_imported=bool(self.includes_imported.data),
            letter=Letter((self.subject.data or "").strip(), self.body, self.clean_html, is_bulk=False),
        )
