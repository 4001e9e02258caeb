"""The demo practice: made once, and brought up to date where it was made before."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import delete, select

from portal.database import db, transaction
from portal.demo.seed import seed
from portal.models import Account, MailRelay
from portal.sending import relays
from tests.services.programs import Sandbox


def test_the_demo_has_mail_servers_also_where_it_is_older_than_they_are(app: Flask, sandbox: Sandbox) -> None:
    assert seed() is True
    places = db.session.scalars(select(Account).order_by(Account.slug)).all()
    found = [relays.relay_of(place.id) for place in places]
    assert [(relay.port, relay.from_email, relay.from_name) for relay in found if relay] == [
        (sandbox.smtp_port, "hello@lumen.example", "Lumen Aesthetics Harbor"),
        (sandbox.smtp_port, "hello@lumen.example", "Lumen Aesthetics Uptown"),
    ]
    assert seed() is False
    with transaction():
        db.session.execute(delete(MailRelay))
    assert seed() is True
    assert relays.settings_of(places[0].id) is not None
    assert seed() is False
