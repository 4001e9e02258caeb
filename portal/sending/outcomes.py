"""What became of a try to send: the one table from trouble to state, and the rows that follow."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from portal.audit import events
from portal.audit.service import record
from portal.connections.service import needs_attention
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Connection, ConversationThread, Message, OutboxMail
from portal.notices.service import notify
from portal.providers.errors import (
    AuthorizationLost,
    Gone,
    Limited,
    ProviderError,
    Refused,
    SendCapReached,
    Unanswered,
)
from portal.providers.types import Sent
from portal.rules.connecting import PROVIDERS
from portal.rules.sending import Path, next_look_at
from portal.sending.caps import cap_end, note_provider_cap

TRIES = 8  # of a mail that certainly did not leave; then a person decides
LOOK_AGAIN = timedelta(seconds=15)
UNDER_WAY = ("sending", "unknown")  # all else was settled meanwhile, by the sync or a person, and stands

WORDS = {
    Path.PROVIDER.value: "The practice’s mail server was taken out of use before it left.",
    "conversation_ended": "The conversation ended before it left.",
    "address_changed": "The contact’s address was changed before it left. Copy its text into a new mail.",
    "crm_user": "The contact has become a CRM user here. Mail between colleagues is never logged, so it is not sent.",
    Path.NO_MAILBOX.value: "The mailbox was disconnected before it left.",
    Path.PAUSED.value: "The mailbox was paused before it left.",
    Path.NEEDS_ATTENTION.value: "The mailbox needs attention. Reconnect it on My Profile, then try again.",
    "provider_cap": "{company}’s own sending limit for this mailbox is reached. It frees up within 24 hours.",
    "too_large": "{company} refused it as too large.",
    "refused": "{company} refused it.",
    "unreachable": "{company} could not be reached for some time. It has not left.",
    "unchecked": "Whether it left could not be checked. Look into the Sent folder of your mailbox first.",
    "relay_unreachable": "The practice’s mail server did not take it for some time. It has not left.",
    "bounced": "It came back: a delivery report says that it did not arrive. Your mailbox has the report.",
    "bounced_provider": "It came back: a delivery report says that it did not arrive.",
}
WAITED_IN_VAIN = "mail-failed"  # a kind of notice
CAME_BACK = "It came back. {reason}"
WAITING = "{company} could not be reached, or asked us to wait. It has not left; it is tried again by itself."


def words_of(cause: str, provider: str) -> str:
    """Why a mail of a mailbox at this provider did not leave or may not, in words; `cause` is a key of WORDS."""
    return WORDS[cause].format(company=PROVIDERS[provider].company)


def settle_sent(outbox_id: UUID, sent: Sent) -> str:
    """The provider has it: keep its ids, drop the sealed MIME, link the thread (G-19)."""
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state == "sent":
            return "sent"
        _wait_for_sync(row)
        message = _message(row)
        _keep_ids(message, sent)
        _link_thread(message, sent.provider_thread_id)
        if row.has_come_back:  # the sync met the delivery report before this answer
            return row.state
        message.state = "sent"
        row.state, row.sent_at, row.raw, row.error = "sent", now(), None, ""
        record(events.MAIL_SENT, message, path=Path.MAILBOX.value)
    return "sent"


def _wait_for_sync(row: OutboxMail) -> None:
    """A page of the sync holds its connection, then writes the message: whoever writes both takes them in this order."""
    db.session.execute(select(Connection.id).where(Connection.id == row.connection_id).with_for_update(key_share=True))


def _keep_ids(message: Message, sent: Sent) -> None:
    """The provider's ids; the wire id replaces ours, which the provider rewrote (provider fault 20)."""
    message.provider_message_id = sent.provider_message_id
    message.provider_thread_id = sent.provider_thread_id
    message.internet_message_id = (sent.internet_message_id or message.internet_message_id)[:998]


def _link_thread(message: Message, thread_id: str) -> None:
    """The thread the provider put it in, also where that is not the one asked for: replies come in there."""
    if not thread_id or message.connection_id is None:
        return
    found = db.session.scalar(
        select(ConversationThread.id).where(
            ConversationThread.connection_id == message.connection_id,
            ConversationThread.provider_thread_id == thread_id,
            ConversationThread.conversation_id == message.conversation_id,
        )
    )
    if found is None:
        db.session.add(
            ConversationThread(
                account_id=message.account_id,
                conversation_id=message.conversation_id,
                connection_id=message.connection_id,
                provider_thread_id=thread_id,
            )
        )


def settle_met(row: OutboxMail) -> bool:
    """Whether the sync has met the sent copy already; then the mail has left. In the caller's transaction."""
    message = _message(row)
    if message.provider_message_id is None:
        return False
    row.state, row.raw, row.error = "sent", None, ""
    if message.state in ("sending", "unknown"):
        message.state = "sent"
    record(events.MAIL_SENT, message, path=Path.MAILBOX.value)
    return True


def settle_looked(outbox_id: UUID) -> str:
    """Not listed at the provider, and too early to send anew: look again."""
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state not in UNDER_WAY:
            return row.state if row else ""
        row.next_try_at = now() + LOOK_AGAIN
        _message(row).state = "unknown"
        return row.state


def settle_look_failed(outbox_id: UUID, error: ProviderError) -> str:
    """The provider could not be asked whether it has the mail: it stays uncertain until it can be."""
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state not in UNDER_WAY:
            return row.state if row else ""
        _report_lost(row, error)
        row.next_try_at = _come_back_at(row, error)
        _message(row).state = "unknown"
        return row.state


def settle_trouble(outbox_id: UUID, error: ProviderError) -> str:
    """One trouble, one outcome: only what certainly did not leave may wait or fail; else it is unknown."""
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state not in UNDER_WAY:
            return row.state if row else ""
        _report_lost(row, error)
        if isinstance(error, SendCapReached):
            note_provider_cap(row.mailbox_key, cap_end(error))
        if isinstance(error, Unanswered):
            row.state, row.sending_since = "unknown", now()  # the moment of the lost answer
            row.next_try_at = now() + LOOK_AGAIN
            _message(row).state = "unknown"
        elif cause := _final_cause(row, error):
            fail(row, cause)
        else:
            row.state, row.next_try_at, row.error = "prepared", _come_back_at(row, error), _named(row, WAITING)
        return row.state


def _report_lost(row: OutboxMail, error: ProviderError) -> None:
    connection = db.session.get(Connection, row.connection_id)
    if isinstance(error, AuthorizationLost) and connection is not None and connection.is_live:
        needs_attention(connection, error.cause)  # G-18: never silent


def _come_back_at(row: OutboxMail, error: ProviderError) -> datetime:
    if isinstance(error, Limited):
        return error.until or now() + timedelta(seconds=error.seconds or 60)
    return next_look_at(row.attempts, now())


def _final_cause(row: OutboxMail, error: ProviderError) -> str:
    """Why a mail that did not leave is failed; "" when it is tried again by itself."""
    if isinstance(error, SendCapReached):
        return "provider_cap"
    if isinstance(error, AuthorizationLost):
        return Path.NEEDS_ATTENTION.value
    if isinstance(error, Refused):
        return "too_large" if error.status == 413 else "refused"
    if isinstance(error, Gone):
        return "refused"
    return "" if row.attempts < TRIES else "unreachable"


def settle_closed(row: OutboxMail, cause: str) -> None:
    """Its way is closed now: it fails, and says whether it may have left. In the caller's transaction."""
    uncertain_since = row.sending_since if row.state != "prepared" else None
    fail(row, "unchecked" if uncertain_since else cause)
    row.sending_since = uncertain_since  # tried again, it is looked for first


def fail(row: OutboxMail, cause: str, words: str = "") -> None:
    """Mark it as failed with its reason in words; its text stays, its place under the cap is given back."""
    row.state, row.error, row.sent_at, row.sending_since = "failed", (words or _named(row, WORDS[cause]))[:300], None, None
    row.waits_for = ""
    _message(row).state = "failed"
    record(events.MAIL_FAILED, _message(row), outcome="failed", cause=cause)
    if row.send_at is not None:  # it left, or did not, long after anybody looked
        text = f"A mail that waited could not leave. {row.error}"
        notify(row.user_id, row.account_id, WAITED_IN_VAIN, text, href="/outbox", object_id=row.id)


def _named(row: OutboxMail, words: str) -> str:
    """Words with the company's name in them, where the mail takes a mailbox's way."""
    connection = db.session.get(Connection, row.connection_id) if row.connection_id else None
    return words.format(company=PROVIDERS[connection.provider].company if connection else "The mail server")


def settle_bounced(row: OutboxMail, reason: str = "") -> None:
    """A delivery report says that it did not arrive, for this `reason` in words (G-22). In the caller's transaction.

    It has left: it keeps its place under the cap, and is never sent anew by itself.
    """
    words = CAME_BACK.format(reason=reason) if reason else WORDS["bounced" if row.connection_id else "bounced_provider"]
    row.state, row.error, row.raw, row.sent_at = "failed", words[:300], None, row.sent_at or now()
    _message(row).state = "failed"
    record(events.MAIL_FAILED, _message(row), outcome="failed", cause="bounced")


def settle_arrived(row: OutboxMail) -> None:
    """It has left beyond doubt: an answer names it, or its writer says so. In the caller's transaction."""
    if row.state != "unknown":
        return
    row.state, row.sent_at, row.raw, row.error = "sent", row.handed_at or now(), None, ""
    _message(row).state = "sent"


def _message(row: OutboxMail) -> Message:
    return db.session.get_one(Message, row.message_id)


def _locked(outbox_id: UUID) -> OutboxMail | None:
    return db.session.scalar(select(OutboxMail).where(OutboxMail.id == outbox_id).with_for_update())
