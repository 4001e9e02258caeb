"""The form of the sign-in page."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, Length


def tidy(value: Any) -> Any:
    """An address as it was meant: no NUL, no blanks around it."""
    return value.replace("\0", "").strip() if isinstance(value, str) else value


class SignInForm(FlaskForm):
    """Address and password."""

    email = StringField(
        "Email",
        [DataRequired("Type the address you sign in with."), Length(max=320, message="This is too long for an address.")],
        filters=[tidy],
    )
    password = PasswordField(
        "Password", [DataRequired("Type your password."), Length(max=1000, message="This is too long for a password.")]
    )
