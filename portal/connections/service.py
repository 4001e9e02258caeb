"""What happens to a connection after it was made: trouble, recovery, pause, disconnect. In the caller's transaction."""

from __future__ import annotations

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import connections_of_grant, is_identity_in_use, officers_of
from portal.connections.tokens import forget, revoke_later
from portal.conversations.service import end_conversations
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Grant
from portal.notices.service import notify, withdraw
from portal.providers.registry import authority
from portal.rules.reasons import Cause

TROUBLE = "connection_trouble"
DISCONNECTED = "connection_disconnected"
PROFILE, REPORT = "/profile/email", "/connections"


def needs_attention(connection: Connection, cause: str) -> None:
    """The next step is the person's: never silent (G-18). `cause` is a word of rules.reasons.Cause.

    Once told, the same trouble is not told again. A connection that has ended or was paused by an admin stays so.
    """
    is_known = connection.state == "needs_attention" and connection.cause == cause
    if not connection.is_live or is_known or connection.cause == Cause.PAUSED_BY_ADMIN:
        return
    _set_state(connection, "needs_attention", cause)
    record(events.ATTENTION_NEEDED, connection, cause=cause)
    _tell(connection, "needs attention", cause, "New mail is not synced until you reconnect it.")


def resolve_attention(connection: Connection) -> None:
    """It works again: it goes on from its cursor and fills the gap (G-20)."""
    if not connection.is_live or connection.state == "connected":
        return
    _set_state(connection, "connected", "")
    connection.failures, connection.last_error, connection.next_poll_at = 0, "", now()
    record(events.ATTENTION_RESOLVED, connection)
    withdraw(TROUBLE, connection.id)
    sync_soon(connection)


def pause(connection: Connection, cause: str) -> None:
    """Hold it where it is: no sync and no sending until it is resolved. `cause` is a word of rules.reasons.Cause."""
    if not connection.is_live or (connection.state == "paused" and connection.cause == cause):
        return
    _set_state(connection, "paused", cause)
    record(events.CONNECTION_PAUSED, connection, cause=cause)
    _tell(connection, "is paused", cause, "It fills the gap when it goes on.")


def resume(connection: Connection) -> None:
    """An admin ends an admin's pause; a pause or trouble of another cause is not theirs to end."""
    if connection.state == "paused" and connection.cause == Cause.PAUSED_BY_ADMIN:
        resolve_attention(connection)


def disconnect(connection: Connection, cause: str) -> None:
    """End a connection for good (G-17, O-05): what was synced stays, nothing syncs any more, queued jobs find it ended.

    `cause` is "user", "admin" or "updated". The grant is given back at the provider when nothing else rests on it.
    """
    if not connection.is_live:
        return
    close(connection, cause)
    end_conversations(connection.id, "disconnected")
    record(events.DISCONNECTED, connection, provider=connection.provider, cause=cause)
    if cause == "admin":
        text = f"An admin of your practice has disconnected {connection.mailbox}. What was synced stays."
        notify(connection.user_id, connection.account_id, DISCONNECTED, text, PROFILE, connection.id)


def close(connection: Connection, cause: str) -> None:
    """The row's part of an end: state, lease, grant. Ending the conversations is the caller's."""
    _set_state(connection, "disconnected", "")
    connection.disconnected_at, connection.disconnect_cause = now(), cause
    connection.lease = connection.lease_until = None
    withdraw(TROUBLE, connection.id)
    db.session.flush()
    release(db.session.get_one(Grant, connection.grant_id))


def release(grant: Grant) -> None:
    """Let go of a grant that a connection no longer needs: kept while others need it, else forgotten and revoked."""
    if connections_of_grant(grant.id):
        return
    can_revoke = authority(grant.provider).can_revoke
    if can_revoke and is_identity_in_use(grant.provider, grant.subject):  # another user's consent would end too
        forget(grant)
        record(events.GRANT_REVOKED, grant, provider=grant.provider, result="in_use")
    else:
        revoke_later(grant)


def sync_soon(connection: Connection) -> None:
    """Let the next free worker look at the mailbox once the transaction is committed."""
    queues.enqueue("mail.sync_mailbox", connection.id, on=queues.PUSH, once=f"sync-{connection.id}")


def _tell(connection: Connection, state: str, cause: str, outlook: str) -> None:
    """The owner what to do, and the account's officers that it stands (G-18, ACK-3)."""
    text = f"{connection.mailbox} {state}: {Cause(cause).sentence_of(connection.provider)} {outlook}"
    notify(connection.user_id, connection.account_id, TROUBLE, text, PROFILE, connection.id)
    report = f"{connection.user.name}'s mailbox {state}."
    for user_id in officers_of(connection.account_id):
        if user_id != connection.user_id:
            notify(user_id, connection.account_id, TROUBLE, report, REPORT, connection.id)


def _set_state(connection: Connection, state: str, cause: str) -> None:
    connection.state, connection.cause, connection.state_since = state, cause, now()
