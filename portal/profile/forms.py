"""The forms of My Profile."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import AnyOf


class ThemeForm(FlaskForm):
    """How the portal looks for this person."""

    theme = StringField(validators=[AnyOf(("auto", "light", "dark"))])
