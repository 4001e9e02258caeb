"""`flask conversations list`: what is in the CRM, as facts without bodies, for operators and checks."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any
from uuid import UUID

import click
from flask.cli import AppGroup
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from portal.conversations.service import readable
from portal.database import db
from portal.models import Account, Attachment, Contact, Conversation, Message, Participant
from portal.rules.addresses import match_key

group = AppGroup("conversations", help="Conversations of a location.")


@group.command("list")
@click.option("--account", "slug", required=True, help="The location's slug.")
@click.option("--contact", "email", default="", help="Only this contact's (primary address).")
@click.option("--json", "as_json", is_flag=True, help="One JSON array instead of lines.")
def list_conversations(slug: str, email: str, as_json: bool) -> None:
    """List conversations with their messages, oldest first; no bodies and no subjects."""
    account = db.session.scalar(select(Account).where(Account.slug == slug))
    if account is None:
        raise click.ClickException(f"there is no account {slug}")
    found = conversation_facts(account.id, match_key(email) if email else None)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for row in found:
        click.echo(f"{row['id']}  {row['contact']['email']}  {row['state']}  {len(row['messages'])} messages")


def conversation_facts(account_id: UUID, contact_key: str | None = None) -> list[dict[str, Any]]:
    """Conversations of an account as plain values, the one that began first first."""
    query = select(Conversation).where(Conversation.account_id == account_id)
    if contact_key is not None:
        query = query.join(Conversation.contact).where(Contact.email_key == contact_key)
    query = query.options(joinedload(Conversation.contact)).order_by(Conversation.created_at, Conversation.id)
    rows = list(db.session.scalars(query))
    messages = _messages([row.id for row in rows])
    return [
        {
            "id": str(row.id),
            "contact": {"id": str(row.contact_id), "name": row.contact.name, "email": row.contact.email},
            "state": row.state,
            "ended_cause": row.ended_cause,
            "messages": messages[row.id],
        }
        for row in rows
    ]


def _messages(conversation_ids: list[UUID]) -> defaultdict[UUID, list[dict[str, Any]]]:
    of = Message.conversation_id.in_(conversation_ids)
    people = _people(conversation_ids)
    files = _file_names(conversation_ids)
    found: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in db.session.scalars(select(Message).where(of).order_by(Message.sent_at, Message.id)):
        fields = people[row.id]
        found[row.conversation_id].append(
            {
                "id": str(row.id),
                "provider_message_id": row.provider_message_id,
                "direction": row.direction,
                "from": next(iter(fields["from"]), ""),
                "to": fields["to"],
                "cc": fields["cc"],
                "attachments": files[row.id],
                "state": row.state,
                "sent_at": row.sent_at.isoformat(),
            }
        )
    return found


def _people(conversation_ids: list[UUID]) -> defaultdict[UUID, defaultdict[str, list[str]]]:
    query = select(Participant).where(Participant.conversation_id.in_(conversation_ids))
    found: defaultdict[UUID, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in db.session.scalars(query.order_by(Participant.position)):
        found[row.message_id][row.field].append(row.email)
    return found


def _file_names(conversation_ids: list[UUID]) -> defaultdict[UUID, list[str]]:
    query = select(Attachment).where(Attachment.conversation_id.in_(conversation_ids))
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in db.session.scalars(query.order_by(Attachment.position)):
        found[row.message_id].append(readable(row.name, "attachment.name", row.account_id, row.id))
    return found
