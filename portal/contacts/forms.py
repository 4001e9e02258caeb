"""The form of a contact. Only its fields reach the service, whatever else is sent (WEB-9)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, SelectMultipleField, StringField, TextAreaField

from portal.contacts.concerns import ContactRefused
from portal.contacts.details import ContactDetails, split_addresses
from portal.contacts.service import version_of
from portal.models import Contact

MAX_TOKEN = 64


class ContactForm(FlaskForm):
    """Names, addresses, phone, notes. `token` makes a second press the same contact, `seen` notices a change in between.

    What is wrong with the fields is judged by the service, as for every other way in, and shown with `show_refusal`.
    """

    token = HiddenField()
    seen = HiddenField()
    first_name = StringField("First name")
    last_name = StringField("Last name")
    email = StringField("Primary address")
    alternates = TextAreaField("Alternate addresses")
    phone = StringField("Phone")
    notes = TextAreaField("Notes")
    keep_old = BooleanField("Keep the former primary address as an alternate one")
    accepted = SelectMultipleField("Answers", validate_choice=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.is_submitted() or not (self.token.data or "").isalnum():
            self.token.data = uuid4().hex
        self.token.data = self.token.data[:MAX_TOKEN]

    @classmethod
    def of(cls, contact: Contact) -> ContactForm:
        """The form as the contact stands now."""
        form = cls(obj=contact)
        if not form.is_submitted():
            form.seen.data = version_of(contact)
            form.alternates.data = "\n".join(other.email for other in contact.alternates)
            form.keep_old.data = bool(contact.email)
        return form

    @property
    def details(self) -> ContactDetails:
        """What was typed, cleaned."""
        return ContactDetails.clean(
            first_name=self.first_name.data or "",
            last_name=self.last_name.data or "",
            email=self.email.data or "",
            alternates=split_addresses(self.alternates.data or ""),
            phone=self.phone.data or "",
            notes=self.notes.data or "",
        )

    def show_refusal(self, refused: ContactRefused) -> None:
        """Put each message at its field."""
        for name, message in refused.problems.items():
            self[name].errors = [message]
