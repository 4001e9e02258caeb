"""`flask demo seed`, `people` and `contacts`: the demo practice. All refuse production."""

from __future__ import annotations

import json

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import select

from portal.access.permissions import ROLE_LABELS
from portal.database import db, transaction
from portal.demo import crowd
from portal.demo import seed as making
from portal.demo.people import PASSWORD, PEOPLE, Person
from portal.models import Connection
from portal.rules.addresses import match_key

group = AppGroup("demo", help="The demo practice.")


def refuse_production() -> None:
    """Raises ClickException where real people work."""
    if current_app.extensions["settings"].is_production:
        raise click.ClickException("The demo is refused in production. Nothing was changed.")


@group.command("seed")
def seed_demo() -> None:
    """Make the demo practice, once; a second call changes nothing."""
    refuse_production()
    click.echo("The demo practice was made." if making.seed() else "The demo practice is there already.")


@group.command("people")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_people(as_json: bool) -> None:
    """A sign-in per role, with the mailbox and whether it is connected."""
    refuse_production()
    rows = [_row(person) for person in PEOPLE]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        mailbox = f"{row['mailbox']} ({_state(row)})" if row["mailbox"] else "no mailbox"
        click.echo(f"{ROLE_LABELS[str(row['role'])]:<20} {row['sign_in']:<32} {row['password']}   {mailbox}")


@group.command("contacts")
@click.option("--account", required=True, help="The account's short name, such as uptown.")
@click.argument("count", type=click.IntRange(1, 100_000))
def make_contacts(account: str, count: int) -> None:
    """Invented contacts 1 to COUNT, for campaigns of a real size; those that are there already stay as they are."""
    refuse_production()
    try:
        with transaction():
            made = crowd.make_contacts(account, count)
    except LookupError:
        raise click.ClickException(f"There is no account {account}. Nothing was changed.") from None
    click.echo(f"{made:,} contacts were made; {count - made:,} were there already.")


def _state(row: dict[str, object]) -> str:
    return "connected" if row["connected"] else "not connected"


def _row(person: Person) -> dict[str, object]:
    query = select(Connection.id).where(
        Connection.mailbox_key == match_key(person.mailbox), Connection.disconnected_at.is_(None)
    )
    return {
        "role": person.role,
        "name": person.name,
        "sign_in": person.email,
        "password": PASSWORD,
        "mailbox": person.mailbox or None,
        "connected": bool(person.mailbox) and db.session.scalar(query.limit(1)) is not None,
        "account": person.places[0],
        "accounts": list(person.places),
    }
