"""The form of an account's rules."""

from __future__ import annotations

from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, RadioField, SelectChoice, SelectField, SelectMultipleField
from wtforms.validators import InputRequired, NumberRange

from portal.access.permissions import ROLE_LABELS, Permission, role_may
from portal.admin.service import Policy

AREAS = ("America", "Europe", "Africa", "Asia", "Atlantic", "Australia", "Indian", "Pacific", "US")
MAX_CAP, MAX_GRACE = 2_000, 60  # Google Workspace's own limit is 2,000 a day
CAP_BOUNDS = [InputRequired("Give a number of mails."), NumberRange(1, MAX_CAP, f"Give 1 to {MAX_CAP:,} mails.")]
CONNECTING = [role for role in ROLE_LABELS if role_may(role, Permission.CONNECT_OWN)]
CONSUMER_MAILBOXES = {
    "allowed": "Allowed",
    "warned": "Allowed after a warning that no BAA covers them",
    "forbidden": "Forbidden",
}
BCC_NEW_CONTACTS = {
    "create": "Create the contact",
    "ask": "Ask the person",
}


def zones() -> list[SelectChoice]:
    """The time zones to choose from, those named after a place and UTC."""
    names = sorted(name for name in available_timezones() if name.split("/")[0] in AREAS and "/" in name)
    return [SelectChoice(name, name.replace("_", " ")) for name in ("UTC", *names)]


class PolicyForm(FlaskForm):
    """The rules, each with its bounds."""

    allow_duplicate_contacts = BooleanField("Several contacts may have the same primary address")
    connect_roles = SelectMultipleField(
        "Roles that may connect a mailbox", choices=[SelectChoice(role, ROLE_LABELS[role]) for role in CONNECTING]
    )
    consumer_mailboxes = RadioField(
        "Personal mailboxes such as gmail.com",
        choices=[SelectChoice(value, label) for value, label in CONSUMER_MAILBOXES.items()],
    )
    bcc_new_contacts = RadioField(
        "Somebody who is no contact yet gets a mail with BCC Sync",
        choices=[SelectChoice(value, label) for value, label in BCC_NEW_CONTACTS.items()],
    )
    acknowledgement_grace_days = IntegerField(
        "Days of grace after the risk text changes",
        [InputRequired("Give a number of days."), NumberRange(0, MAX_GRACE, f"Give 0 to {MAX_GRACE} days.")],
    )
    send_cap = IntegerField("Mails in 24 hours, personal Gmail", CAP_BOUNDS)
    send_cap_workspace = IntegerField("Mails in 24 hours, Google Workspace", CAP_BOUNDS)
    send_cap_microsoft = IntegerField("Mails in 24 hours, Outlook", CAP_BOUNDS)
    time_zone = SelectField("Time zone", choices=zones)

    @property
    def policy(self) -> Policy:
        """What was chosen, as it is kept. Only for a validated form."""
        chosen = set(self.connect_roles.data or [])
        return Policy(
            allow_duplicate_contacts=bool(self.allow_duplicate_contacts.data),
            connect_roles=",".join(role for role in CONNECTING if role in chosen),
            consumer_mailboxes=str(self.consumer_mailboxes.data),
            bcc_new_contacts=str(self.bcc_new_contacts.data),
            acknowledgement_grace_days=int(self.acknowledgement_grace_days.data),
            send_cap=int(self.send_cap.data),
            send_cap_workspace=int(self.send_cap_workspace.data),
            send_cap_microsoft=int(self.send_cap_microsoft.data),
            time_zone=str(self.time_zone.data),
        )
