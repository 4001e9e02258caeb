"""Save a whole consent: a new connection, one that goes on, or a swap. In the caller's transaction (P-05, G-16, G-20)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections import service, tokens
from portal.connections.attempts import Attempt
from portal.connections.queries import connections_of_grant, is_mailbox_taken, live_connection
from portal.connections.refusals import ConnectRefused
from portal.conversations.service import end_conversations
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Connection, Grant
from portal.providers.types import Identity, Tokens
from portal.rules.addresses import match_key
from portal.rules.connecting import ConsumerPolicy, Effect, Purpose, consumer_policy, decide_effect
from portal.rules.reasons import Cause


@dataclass(frozen=True)
class Consent:
    """What a person has consented to: whose mailbox, from which point on, and the tokens for it."""

    tokens: Tokens
    identity: Identity
    mailbox: str
    cursor: str
    aliases: tuple[str, ...]
    is_consumer: bool


def save(attempt: Attempt, consent: Consent) -> UUID:
    """Do what the consent means beside the connection that is there now. Raises ConnectRefused; the old one is untouched."""
    old = live_connection(attempt.account_id, attempt.user_id, lock=True)
    if old is not None and attempt.purpose is not Purpose.CONNECT and old.id != attempt.connection_id:
        raise ConnectRefused(attempt.provider, Effect.NOTHING_THERE.value)
    if old is not None and old.cause == Cause.PAUSED_BY_ADMIN:  # since the trip began
        raise ConnectRefused(attempt.provider, Cause.PAUSED_BY_ADMIN.value)
    chosen = f"{attempt.provider}:{consent.identity.subject}"
    effect = decide_effect(attempt.purpose, tokens.owner_of(old.grant) if old else None, chosen)
    if effect.is_refusal:
        raise ConnectRefused(attempt.provider, effect.value)
    _require_policy(attempt, consent)
    grant = _store_grant(attempt, consent)
    if effect is Effect.CONTINUE and old is not None:
        connection = _continue(old, consent)
    else:
        connection = _begin(attempt, consent, grant, old)
    _resolve_others(grant)
    service.sync_soon(connection)
    queues.enqueue("mail.renew_watches", on=queues.DEFAULT, once="renew-watches")
    return connection.id


def _require_policy(attempt: Attempt, consent: Consent) -> None:
    """The account's word on consumer mailboxes (P-06), and one person per mailbox (P-05)."""
    policy = consumer_policy(db.session.get_one(Account, attempt.account_id).consumer_mailboxes)
    if consent.is_consumer and policy is ConsumerPolicy.FORBIDDEN:
        raise ConnectRefused(attempt.provider, "consumer_forbidden")
    key = match_key(consent.mailbox)
    if is_mailbox_taken(attempt.account_id, attempt.user_id, key, attempt.provider, consent.identity.subject):
        raise ConnectRefused(attempt.provider, "mailbox_taken")


def _store_grant(attempt: Attempt, consent: Consent) -> Grant:
    """The one row for this person's provider identity, with the newest tokens."""
    query = select(Grant).where(
        Grant.user_id == attempt.user_id,
        Grant.provider == attempt.provider,
        Grant.subject == consent.identity.subject,
    )
    grant = db.session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if grant is None:
        grant = Grant(user_id=attempt.user_id, provider=attempt.provider, subject=consent.identity.subject)
        db.session.add(grant)
        db.session.flush()
    tokens.store_consent(grant, consent.tokens)
    return grant


def _continue(old: Connection, consent: Consent) -> Connection:
    """The connection goes on from its cursor and keeps its beginning (G-20)."""
    old.aliases, old.is_consumer = list(consent.aliases), consent.is_consumer
    record(events.CONNECTED, old, provider=old.provider, purpose=Purpose.RECONNECT.value)
    return old


def _begin(attempt: Attempt, consent: Consent, grant: Grant, old: Connection | None) -> Connection:
    """A new beginning: nothing older than this moment is ever imported (G-03). `old` ends in the same transaction."""
    if old is not None:
        service.close(old, "updated")
        end_conversations(old.id, "updated")
    moment = now()
    row = Connection(
        account_id=attempt.account_id,
        user_id=attempt.user_id,
        provider=attempt.provider,
        grant_id=grant.id,
        mailbox=consent.mailbox,
        mailbox_key=match_key(consent.mailbox),
        is_consumer=consent.is_consumer,
        aliases=list(consent.aliases),
        state_since=moment,
        connected_at=moment,
        next_poll_at=moment,
        cursor=consent.cursor,
    )
    db.session.add(row)
    db.session.flush()
    record(events.CONNECTED, row, provider=row.provider, purpose=attempt.purpose.value)
    if old is not None:
        record(events.CONNECTION_UPDATED, row, provider=row.provider, old_id=str(old.id))
    return row


def _resolve_others(grant: Grant) -> None:
    """What needed attention for want of this consent works again, in every account that shares it."""
    lost = (Cause.REVOKED, Cause.LOGIN_REQUIRED, Cause.PERMISSION_MISSING, Cause.REFUSED_BY_ADMIN, Cause.MAILBOX_GONE)
    for connection in connections_of_grant(grant.id):
        if connection.state == "needs_attention" and connection.cause in lost:
            service.resolve_attention(connection)
