"""`flask accounts add` and `flask users add`: the first practice of an installation, and its first people."""

from __future__ import annotations

from zoneinfo import available_timezones

import click
from flask.cli import AppGroup
from sqlalchemy import select

from portal.access.permissions import ROLE_LABELS
from portal.auth.passwords import hash_password
from portal.database import db, transaction
from portal.models import Account, Membership, User
from portal.rules.addresses import match_key

MIN_LENGTH = 12  # characters of a password (SES-8)

accounts = AppGroup("accounts", help="Practice locations.")
users = AppGroup("users", help="People with a login.")


@accounts.command("add")
@click.option("--slug", required=True, help="Short name, as in addresses: uptown.")
@click.option("--name", required=True, help="The practice.")
@click.option("--location", required=True)
@click.option("--time-zone", required=True, help="An IANA name, such as America/Chicago.")
def add_account(slug: str, name: str, location: str, time_zone: str) -> None:
    """Make a practice location. Refuses a slug that is taken and a zone that does not exist."""
    if time_zone not in available_timezones():
        raise click.ClickException(f"There is no time zone {time_zone}. Nothing was made.")
    with transaction():
        if db.session.scalar(select(Account.id).where(Account.slug == slug)):
            raise click.ClickException(f"There is an account {slug} already. Nothing was made.")
        db.session.add(Account(slug=slug, name=name, location=location, time_zone=time_zone))
    click.echo(f"{name}, {location} was made.")


@users.command("add")
@click.option("--email", required=True, help="They sign in with it.")
@click.option("--name", required=True)
@click.option("--account", required=True, help="The account's slug.")
@click.option("--role", required=True, type=click.Choice(sorted(ROLE_LABELS)))
@click.password_option(help=f"At least {MIN_LENGTH} characters; asked for when not given. Only used for a new person.")
def add_user(email: str, name: str, account: str, role: str, password: str) -> None:
    """Let a person work in an account; somebody known by this address gets a further place."""
    key = match_key(email)
    if not key:
        raise click.ClickException(f"{email} is not an address. Nothing was made.")
    if len(password) < MIN_LENGTH:
        raise click.ClickException(f"The password is shorter than {MIN_LENGTH} characters. Nothing was made.")
    with transaction():
        place = db.session.scalar(select(Account).where(Account.slug == account))
        if place is None:
            raise click.ClickException(f"There is no account {account}. Nothing was made.")
        person = db.session.scalar(select(User).where(User.email_key == key))
        if person is None:
            person = User(email=email, email_key=key, name=name, password_hash=hash_password(password))
            db.session.add(person)
            db.session.flush()
        query = select(Membership.id).where(Membership.account_id == place.id, Membership.user_id == person.id)
        if db.session.scalar(query):
            raise click.ClickException(f"{email} works in {account} already. Nothing was made.")
        db.session.add(Membership(account_id=place.id, user_id=person.id, role=role))
    click.echo(f"{name} can sign in and works in {account} as {ROLE_LABELS[role]}.")
