"""`flask sync …`: sync a mailbox now, and read what was decided."""

from __future__ import annotations

import json
import time
from uuid import UUID

import click
from flask.cli import AppGroup

from portal.database import transaction
from portal.models import Connection
from portal.rules.addresses import match_key
from portal.sync import queries, service

WAIT_SECONDS = 60.0  # for a worker that has the mailbox in hand just now

group = AppGroup("sync", help="Mail sync: run it now, read its decisions.")


def _connections(mailbox: str) -> list[Connection]:
    found = queries.connections_of([match_key(mailbox)])
    if not found:
        raise click.ClickException(f"no connection of {mailbox}")
    return found


@group.command("now")
@click.option("--mailbox", required=True, help="The address of a connected mailbox.")
def sync_now(mailbox: str) -> None:
    """Sync a mailbox in every account where it is connected; prints each outcome in a word."""
    with transaction():
        live: list[UUID] = [row.id for row in _connections(mailbox) if row.is_live]
    if not live:
        raise click.ClickException(f"{mailbox} is disconnected")
    for connection_id in live:
        click.echo(_sync(connection_id))


def _sync(connection_id: UUID) -> str:
    ends_at = time.monotonic() + WAIT_SECONDS
    while (word := service.sync_mailbox(connection_id)) == "busy" and time.monotonic() < ends_at:
        time.sleep(0.2)
    return word


@group.command("decisions")
@click.option("--mailbox", required=True, help="The address of a mailbox that is or was connected.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of lines.")
def show_decisions(mailbox: str, as_json: bool) -> None:
    """Every decision of a mailbox, oldest first: ids, outcome and reason, never content."""
    with transaction():
        rows = [
            {
                "provider_message_id": row.provider_message_id,
                "direction": row.direction,
                "outcome": row.outcome,
                "reason": row.reason,
                "contact_id": str(row.contact_id) if row.contact_id else None,
                "conversation_id": str(row.conversation_id) if row.conversation_id else None,
                "decided_at": row.decided_at.isoformat(),
            }
            for row in queries.all_decisions([connection.id for connection in _connections(mailbox)])
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['decided_at']}  {row['direction']:8}  {row['outcome']:10}  {row['reason']}")
