"""Practices for a measurement: an account, its people and contacts, and a mailbox connected at the stand-in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import insert

from bench.corpus import OWN, PEOPLE, address_of
from portal.connections.tokens import ACCESS_TOKEN, owner_of
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.http import Http
from portal.lib.ids import new_id
from portal.models import Connection, Contact
from portal.providers.registry import mail_provider
from portal.sealing import seal_text
from tests import factories
from tests.services.programs import Sandbox


@dataclass(frozen=True)
class Mailbox:
    """A mailbox at the stand-in before its mail arrives."""

    address: str
    cursor: str
    tokens: dict[str, Any]
    provider: str = "google"


def open_mailbox(sandbox: Sandbox, address: str = OWN, provider: str = "google") -> Mailbox:
    """Make the mailbox and walk its consent; mail delivered from now on is new to whoever connects with it."""
    sandbox.add_mailbox(address, "Tomas Berg", provider=provider)
    tokens = sandbox.grant(address)
    return Mailbox(address, asyncio.run(_cursor(provider, tokens)), tokens, provider)


async def _cursor(provider: str, tokens: dict[str, Any]) -> str:
    async def token(_refused: str | None) -> str:
        return str(tokens["access_token"])

    async with Http(max_connections=2) as http:
        return (await mail_provider(provider, token, http, current_app.extensions["settings"]).profile()).cursor


def connect(mailbox: Mailbox, admitted: float, more_contacts: int = 5_000) -> UUID:
    """A new account where a share of PEOPLE are contacts, and a connection to the mailbox; the connection's id."""
    with transaction():
        account = factories.make_account()
        user = factories.make_member(account, "provider")
        subject = mailbox.tokens["sub"]
        grant = factories.make_grant(
            user, mailbox.address, refresh_token=mailbox.tokens["refresh_token"], subject=subject, provider=mailbox.provider
        )
        grant.access_token = seal_text(mailbox.tokens["access_token"], ACCESS_TOKEN, owner_of(grant), grant.id)
        grant.access_expires_at = now() + timedelta(minutes=50)
        far = now() + timedelta(days=1)  # no schedule runs here; a poll that is not asked for would be one too many
        row = factories.make_connection(
            account, user, mailbox.address, grant=grant, cursor=mailbox.cursor, next_poll_at=far, provider=mailbox.provider
        )
        factories.make_signature(account, user, provider=mailbox.provider)
        addresses = [address_of(person) for person in range(int(PEOPLE * admitted))]
        add_contacts(account.id, addresses + [f"other{n}@else{n % 90}.example" for n in range(more_contacts)])
        return row.id


def add_contacts(account_id: UUID, addresses: list[str]) -> None:
    """Contacts with nothing but an address."""
    at = now()
    values = [
        {
            "id": new_id(), "created_at": at, "account_id": account_id, "first_name": "", "last_name": "", "name_key": "",
            "email": address, "email_key": address, "phone": "", "notes": "", "source": "manual",
            "excluded_from_sync": False, "created_by_id": None, "updated_at": None,
        }
        for address in addresses
    ]  # fmt: skip
    db.session.execute(insert(Contact.__table__), values)


def connection_state(connection_id: UUID) -> Connection:
    """The connection's row as it is now."""
    db.session.rollback()
    db.session.expire_all()
    return db.session.get_one(Connection, connection_id)
