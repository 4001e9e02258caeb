"""`flask demo contacts`: many invented contacts, each once."""

from __future__ import annotations

from dataclasses import replace

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.models import Contact
from tests import factories


def made(app: Flask, *arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    result = app.test_cli_runner().invoke(args=["demo", "contacts", *arguments])
    return result.exit_code, result.output


def test_contacts_are_made_once_by_their_number(app: Flask, db_session: Session) -> None:
    account, other = factories.make_account(slug="uptown"), factories.make_account(slug="harbor")
    db_session.commit()
    assert made(app, "--account", "uptown", "700") == (0, "700 contacts were made; 0 were there already.\n")
    assert made(app, "--account", "uptown", "1200") == (0, "500 contacts were made; 700 were there already.\n")
    assert made(app, "--account", "uptown", "1200") == (0, "0 contacts were made; 1,200 were there already.\n")

    rows = db_session.scalars(select(Contact).where(Contact.account_id == account.id)).all()
    assert len({row.email_key for row in rows}) == len(rows) == 1200
    assert all(row.email.endswith("@people.example") and row.source == "demo" for row in rows)
    assert len({row.name for row in rows}) > 500
    assert db_session.scalar(select(func.count()).where(Contact.account_id == other.id)) == 0


def test_an_unknown_account_and_production_are_refused(app: Flask, db_session: Session) -> None:
    status, said = made(app, "--account", "nowhere", "5")
    assert (status, "There is no account nowhere" in said) == (1, True)
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, app_env="production")
    try:
        status, said = made(app, "--account", "nowhere", "5")
    finally:
        app.extensions["settings"] = settings
    assert (status, "refused in production" in said) == (1, True)
