"""The forms of connecting: the signature, the purpose of a trip to a provider, the typed word before an end."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectMultipleField, StringField
from wtforms.validators import AnyOf, Length

from portal.rules.acknowledgement import RISKS
from portal.rules.connecting import Purpose

RENEW = "renew"  # a new text is read and signed; the mailbox stays as it is
DISCONNECT_WORD = "DISCONNECT"
ADMIN_STEPS = ("pause", "resume")


class SignForm(FlaskForm):
    """Ticked risks and typed name. Whatever else is sent is not read."""

    risk = SelectMultipleField(choices=list(RISKS), validate_choice=False)
    shown = HiddenField()  # the version on the page: a page from before a new text signs nothing
    typed_name = StringField(validators=[Length(max=200, message="Your name can have 200 characters.")])
    purpose = HiddenField(
        validators=[AnyOf([*Purpose, RENEW], message="Load the page again; this form is not whole.")],
        default=Purpose.CONNECT.value,
    )


class BeginForm(FlaskForm):
    """Why somebody goes to a consent page."""

    purpose = HiddenField(validators=[AnyOf(list(Purpose))])


class DisconnectForm(FlaskForm):
    """The word that says one has read what stays."""

    word = StringField(validators=[AnyOf([DISCONNECT_WORD])], filters=[lambda text: (text or "").strip().upper()])


class StepForm(FlaskForm):
    """What an admin does with a colleague's connection."""

    step = HiddenField(validators=[AnyOf(ADMIN_STEPS)])
