"""The forms of a campaign: who gets it, who it is from, what it says."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flask import request
from flask_wtf import FlaskForm
from wtforms import HiddenField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import Length, ValidationError

from portal.campaigns.audience import MAX_LISTED, Audience, read_list
from portal.campaigns.service import Details
from portal.contacts.queries import FILTERS, MAX_SEARCH
from portal.models import Campaign
from portal.rules.sending import is_header_safe
from portal.rules.templates import field_count, unknown_fields
from portal.sending.delivery_letters import Letter, open_letter
from portal.sending.forms import MAX_SUBJECT, ONE_LINE, RichTextFields

MAX_LIST = 400_000  # characters of a pasted list
MAX_TOKEN = 64
WAYS = [
    SelectChoice("filter", "By search and filter, as in the list of contacts"), SelectChoice("list", "By their addresses"),
]  # fmt: skip
FROM = [SelectChoice("account", "The practice"), SelectChoice("own", "Your own connected address")]
CHOICES = [
    SelectChoice(key, "All contacts" if key == "all" else label) for key, label in FILTERS.items() if key != "no_address"
]


class TemplateForm(RichTextFields, FlaskForm):
    """What a campaign and an automation share: a name and a text with fields. `token` makes a second press the same one."""

    token = HiddenField()
    name = StringField("Name", [Length(max=200, message="Use at most 200 characters.")])
    subject: StringField

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        """`data` is what the form begins with; once it is sent, only what was sent counts."""
        super().__init__(data=None if request.method == "POST" else data)
        if not self.is_submitted() or not (self.token.data or "").isalnum():
            self.token.data = uuid4().hex
        self.token.data = self.token.data[:MAX_TOKEN]

    def validate_name(self, field: StringField) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Give it a name. Only colleagues see it.")
        if not is_header_safe(field.data):
            raise ValidationError("Write it on one line, without control characters.")

    def validate_subject(self, field: StringField) -> None:
        if not (field.data or "").strip():
            raise ValidationError("Write a subject.")
        if not is_header_safe(field.data):
            raise ValidationError(ONE_LINE)
        refuse_unknown_fields(field.data)

    def validate_text(self, field: TextAreaField) -> None:
        super().validate_text(field)
        refuse_unknown_fields(self.body)
        refuse_cut_fields(self.body, self.clean_html)


class CampaignForm(TemplateForm):
    """A draft. `action` is "save" or "count"."""

    action = StringField()  # the button that was pressed
    by = RadioField("Choose the contacts", choices=WAYS, default="filter")
    q = StringField("Search by name or address", [Length(max=MAX_SEARCH, message="Use at most 200 characters.")])
    show = SelectField("Which contacts", choices=CHOICES, default="all")
    people = TextAreaField("Addresses", [Length(max=MAX_LIST, message="Paste at most 5,000 addresses.")])
    sender = RadioField("From", choices=FROM, default="account")
    subject = StringField("Subject", [Length(max=MAX_SUBJECT, message="Use at most 250 characters.")])

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignForm:
        """The form of a draft."""
        letter, audience = open_letter(campaign), Audience.of(campaign.audience)
        return cls(
            {
                "name": campaign.name, "by": audience.by, "q": audience.search, "show": audience.show,
                "people": "\n".join(audience.people), "sender": campaign.sender, "subject": letter.subject,
                "text": letter.text, "html": letter.html,
            }
        )  # fmt: skip

    def validate_people(self, field: TextAreaField) -> None:
        if self.by.data != "list":
            return
        keys, wrong = read_list(field.data or "")
        if wrong:
            named = ", ".join(f"“{piece[:60]}”" for piece in wrong[:5])
            more = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
            raise ValidationError(f"No address that mail can go to: {named}{more}.")
        if not keys:
            raise ValidationError("Paste the addresses of contacts, one in each line.")
        if len(keys) > MAX_LISTED:
            raise ValidationError(f"Paste at most {MAX_LISTED:,} addresses.")

    @property
    def wants_count(self) -> bool:
        return bool(self.action.data == "count")

    @property
    def audience(self) -> Audience:
        """Who is chosen, whether or not the rest of the form holds."""
        if self.by.data == "list":
            return Audience("list", people=read_list((self.people.data or "")[:MAX_LIST])[0][:MAX_LISTED])
        show = self.show.data if self.show.data in FILTERS else "all"
        return Audience("filter", search=(self.q.data or "").replace("\0", "")[:MAX_SEARCH].strip(), show=show)

    @property
    def details(self) -> Details:
        """What the service takes, after validation."""
        letter = Letter((self.subject.data or "").strip(), self.body, self.clean_html, is_bulk=True)
        return Details((self.name.data or "").strip(), self.audience, self.sender.data == "own", letter)


def refuse_unknown_fields(text: str | None) -> None:
    if unknown := unknown_fields(text or ""):
        named = ", ".join(f"{{{name}}}" for name in unknown[:5])
        raise ValidationError(f"There is no such field: {named}. The fields that exist stand below the text.")


def refuse_cut_fields(body: str, html: str) -> None:
    """A field that the HTML cuts in two would be filled in for those who read plain text only."""
    if html and field_count(html, is_html=True) != field_count(body):
        raise ValidationError(
            "A field is formatted in part, or stands in a link’s address, where it cannot be filled in. "
            "Format it from brace to brace."
        )
