"""The first practice of an installation is made by commands."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from portal.auth.passwords import check_password
from portal.database import db
from portal.models import Account, Membership, User

PLACE = ["--slug", "uptown", "--name", "Lumen", "--location", "Uptown", "--time-zone", "America/Chicago"]
PERSON = ["--email", "Maren@Lumen.example", "--name", "Maren Holt", "--account", "uptown", "--role", "owner"]
PASSWORD = ["--password", "correct horse battery"]


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=list(arguments))
    db.session.expire_all()
    return result.exit_code, result.output


def test_a_practice_and_its_owner_are_made_and_the_owner_can_sign_in(app: Flask) -> None:
    assert run(app, "accounts", "add", *PLACE)[0] == 0
    assert run(app, "users", "add", *PERSON, *PASSWORD)[0] == 0
    user = db.session.scalars(select(User)).one()
    assert user.email_key == "maren@lumen.example"
    assert check_password(user.password_hash, "correct horse battery")
    place = db.session.scalars(select(Membership)).one()
    assert (place.role, place.account.slug) == ("owner", "uptown")


def test_somebody_known_gets_a_further_place_and_keeps_their_password(app: Flask) -> None:
    run(app, "accounts", "add", *PLACE)
    run(app, "accounts", "add", "--slug", "harbor", *PLACE[2:])
    run(app, "users", "add", *PERSON, *PASSWORD)
    code, _ = run(app, "users", "add", *PERSON[:4], "--account", "harbor", "--role", "provider", "--password", "x" * 12)
    assert code == 0
    assert check_password(db.session.scalars(select(User)).one().password_hash, "correct horse battery")
    assert db.session.query(Membership).count() == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["accounts", "add", *PLACE], "already"),
        (["accounts", "add", "--slug", "x", *PLACE[2:6], "--time-zone", "Mars/Olympus"], "no time zone"),
        (["users", "add", *PERSON, "--password", "short"], "shorter than 12"),
        (["users", "add", "--email", "nobody", *PERSON[2:], *PASSWORD], "is not an address"),
        (["users", "add", *PERSON[:4], "--account", "gone", "--role", "owner", *PASSWORD], "no account gone"),
    ],
)
def test_what_cannot_be_made_is_refused_and_changes_nothing(app: Flask, arguments: list[str], words: str) -> None:
    run(app, "accounts", "add", *PLACE)
    code, output = run(app, *arguments)
    assert code != 0
    assert words in output
    assert "Nothing was made" in output
    assert db.session.query(Account).count() == 1
    assert db.session.query(User).count() == 0
