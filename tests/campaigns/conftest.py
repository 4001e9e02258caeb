"""A practice with a mail server and people who write campaigns."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.database import db
from tests import factories
from tests.sending.bulk_desk import Practice
from tests.services.programs import Sandbox


@pytest.fixture
def practice(app: Flask, sandbox: Sandbox) -> Practice:
    """A practice whose mail server is the stand-in's sink; its owner is the user."""
    account = factories.make_account()
    user = factories.make_member(account, "owner", name="Tomas Berg", email="tomas@lumen.example")
    relay = factories.make_relay(account, sandbox.smtp_port)
    db.session.commit()
    return Practice(sandbox, account, user, relay)
