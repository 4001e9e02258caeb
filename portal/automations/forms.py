"""The form of an automation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from flask import request
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError

from portal.automations.service import Details
from portal.campaigns.forms import refuse_cut_fields, refuse_unknown_fields
from portal.models import Automation
from portal.rules.sending import is_header_safe
from portal.rules.workflows import LONGEST_DELAY, OFFERED, UNITS, Trigger, split_delay
from portal.sending.delivery_letters import Letter, open_letter
from portal.sending.forms import MAX_SUBJECT, ONE_LINE, RichTextFields

MAX_TOKEN = 64
MAX_COUNT = int(LONGEST_DELAY / timedelta(minutes=1))


class AutomationForm(RichTextFields, FlaskForm):
    """Name, trigger, delay, text. `token` makes a second press the same automation."""

    token = HiddenField()
    name = StringField("Name", [Length(max=200, message="Use at most 200 characters.")])
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

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        """`data` is what the form begins with; once it is sent, only what was sent counts."""
        super().__init__(data=None if request.method == "POST" else data)
        if not self.is_submitted() or not (self.token.data or "").isalnum():
            self.token.data = uuid4().hex
        self.token.data = self.token.data[:MAX_TOKEN]

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

    def validate_name(self, field: StringField) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Give it a name. Only colleagues see it.")
        if not is_header_safe(field.data):
            raise ValidationError("Write it on one line, without control characters.")

    def validate_delay(self, field: IntegerField) -> None:
        if self.delay_minutes > MAX_COUNT:
            raise ValidationError(f"Wait at most {LONGEST_DELAY.days} days.")

    def validate_subject(self, field: StringField) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Write a subject.")
        if not is_header_safe(field.data):
            raise ValidationError(ONE_LINE)
        refuse_unknown_fields(field.data)

    def validate_text(self, field: TextAreaField) -> None:
        if not (field.data or "").strip() and not (self.html.data or "").strip():
            raise ValidationError("Write the text of the mail.")
        super().validate_text(field)
        refuse_unknown_fields(self.body)
        refuse_cut_fields(self.body, self.clean_html)

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
