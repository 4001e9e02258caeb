"""The form of an account's mail server. The password goes in and never comes out."""

from __future__ import annotations

from ipaddress import ip_address

from flask import current_app
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, SelectChoice, StringField
from wtforms.validators import AnyOf, InputRequired, Length, NumberRange, ValidationError

from portal.admin.relay_service import Wanted, password_problem
from portal.models import MailRelay
from portal.rules.addresses import domain_key, domain_of, match_key
from portal.rules.sending import is_header_safe
from portal.sending.mime import MAX_SHOWN

SECURITY = {
    "starttls": "STARTTLS, usually on port 587",
    "tls": "TLS from the first byte on, usually on port 465",
    "none": "No encryption: only to a server in one’s own network, and without a sign-in",
}
DEFAULT_PORT = 587
MAX_SECRET = 320
GIVE_HOST = "Give the server’s name, such as smtp.example.com."
GIVE_PORT = "Give a port from 1 to 65,535."
PLAIN_SIGNS = "Use letters, digits and signs of a plain keyboard only."


def _tidy(text: str | None) -> str:
    return (text or "").strip()


class RelayForm(FlaskForm):
    """Where the server is, who signs in, as whom mail leaves."""

    host = StringField("Host name", [InputRequired(GIVE_HOST), Length(max=253, message=GIVE_HOST)], filters=[_tidy])
    port = IntegerField("Port", [InputRequired(GIVE_PORT), NumberRange(1, 65_535, GIVE_PORT)], default=DEFAULT_PORT)
    security = RadioField("Encryption", default="starttls", validate_choice=False)
    username = StringField("User name", [Length(max=MAX_SECRET, message="Use at most 320 characters.")], filters=[_tidy])
    password = PasswordField("Password", [Length(max=MAX_SECRET, message="Use at most 320 characters.")])
    from_email = StringField("From address", filters=[_tidy])
    from_name = StringField("From name", [Length(max=MAX_SHOWN, message="Use at most 70 characters.")], filters=[_tidy])
    send_test = BooleanField("Send a test mail", default=True)

    def __init__(self, relay: MailRelay | None) -> None:
        """The form as `relay` stands, or as it was sent."""
        super().__init__(obj=relay)
        self.relay = relay
        settings = current_app.extensions["settings"]
        offered = [kind for kind in SECURITY if kind != "none" or settings.relay_private_hosts]
        self.security.choices = [SelectChoice(kind, SECURITY[kind]) for kind in offered]
        self.security.validators = [AnyOf(offered, "Choose a kind of encryption.")]
        self._own_domain = settings.reply_domain

    def validate_host(self, field: StringField) -> None:
        """A name or an address; what it leads to is judged when the portal connects."""
        field.data = host_of(field.data)
        if not field.data:
            raise ValidationError(GIVE_HOST)

    def validate_username(self, field: StringField) -> None:
        _require_plain(field.data)
        if field.data and self.security.data == "none":
            raise ValidationError("Leave it empty: without encryption the portal tells nobody a password.")

    def validate_password(self, field: PasswordField) -> None:
        _require_plain(field.data or "")
        if not self.host.errors and not self.port.errors and (problem := password_problem(self.relay, self.wanted)):
            raise ValidationError(problem)

    def validate_from_email(self, field: StringField) -> None:
        key = match_key(field.data)
        if not key or not field.data.isascii():
            raise ValidationError("Give one address, such as hello@example.com.")
        if domain_of(key) == self._own_domain:
            raise ValidationError("This domain takes the answers to the portal’s mail. Use one of the practice’s own.")

    def validate_from_name(self, field: StringField) -> None:
        if not is_header_safe(field.data):
            raise ValidationError("Write it on one line, without control characters.")

    @property
    def wanted(self) -> Wanted:
        """What was typed. Whole only for a validated form."""
        return Wanted(
            host=self.host.data,
            port=self.port.data or 0,
            security=self.security.data or "",
            username=self.username.data,
            password=self.password.data or "",
            from_email=self.from_email.data,
            from_name=self.from_name.data,
        )


class StepForm(FlaskForm):
    """Test again, with a mail or without."""

    send_test = BooleanField("Send me a test mail")


def host_of(text: str) -> str:
    """A host name in A-labels, an IP address, or a name of one's own network; "" for what is none."""
    text = text.casefold().rstrip(".")
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        return text if text == "localhost" else domain_key(text)


def _require_plain(text: str) -> None:
    if not text.isascii() or not text.isprintable():
        raise ValidationError(PLAIN_SIGNS)
