"""The forms of BCC Sync."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from portal.rules.addresses import MAX_ADDRESS


def _tidy(text: str | None) -> str:
    return (text or "").replace("\0", "").strip()


class OwnAddressForm(FlaskForm):
    """An address of one's own."""

    email = StringField(
        "Your address",
        [InputRequired("Give one mail address of yours."), Length(max=MAX_ADDRESS, message="Use at most 320 characters.")],
        filters=[_tidy],
    )


class CodeForm(FlaskForm):
    """The code that was sent there."""

    code = StringField("Code", [InputRequired("Enter the six digits.")], filters=[_tidy])
