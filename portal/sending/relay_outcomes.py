"""What became of a try to hand a mail to the account's mail server: from trouble to state, for mail and server (S-01)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update

from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import officers_of
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import MailRelay, Message, OutboxMail
from portal.notices.service import notify, withdraw
from portal.providers.errors import OperatorFault, ProviderError, Refused, Unanswered
from portal.providers.smtp.relay import SenderRefused
from portal.rules.bounces import sentence_of
from portal.rules.sending import Path, next_look_at
from portal.sending import relays
from portal.sending.outcomes import TRIES, UNDER_WAY, fail

SOON, LATER, MENDED_BY_HAND = timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10)
NOTICE = "relay-trouble"
AWAY = "The practice’s mail server cannot be reached right now. It has not left; it leaves once the server is back."
UNTESTED = "The practice’s mail server was changed and has not passed its test yet. It has not left; it leaves after that."
PUT_OFF = "The practice’s mail server asked us to wait. It has not left; it is tried again by itself."


def settle_relayed(outbox_id: UUID, relay_id: UUID) -> str:
    """The server has it. Mail that waited for the server leaves now."""
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state == "sent" or row.has_come_back:  # its delivery report overtook the answer
            return row.state if row else ""
        row.state, row.sent_at, row.raw, row.error = "sent", now(), None, ""
        _message(row).state = "sent"
        record(events.MAIL_SENT, _message(row), path=Path.PROVIDER.value)
        relay = db.session.get(MailRelay, relay_id)
        if relay is not None and relay.trouble:
            _recover(relay)
    return "sent"


def settle_relay_trouble(
    outbox_id: UUID, relay_id: UUID, error: ProviderError, *, since: datetime, is_away: bool = False
) -> str:
    """One trouble, one outcome. Without an answer it is unknown; a refusal is final; all else has certainly not left.

    `since` names the try: where another one began meanwhile, this one has no say. `is_away`: there was no connection at
    all, so the whole server waits and no try of this mail is counted.
    """
    with transaction():
        row = _locked(outbox_id)
        if row is None or row.state not in UNDER_WAY or row.sending_since != since:
            return row.state if row else ""
        if isinstance(error, Unanswered):
            settle_unanswered(row)
            return row.state
        row.handed_at = None  # certainly not sent
        if is_away or isinstance(error, OperatorFault | SenderRefused):
            _put_all_off(row, relay_id, error)
        elif isinstance(error, Refused):
            fail(row, "refused", sentence_of(_status(error)))
        elif row.attempts >= TRIES:
            fail(row, "relay_unreachable")
        else:
            _wait(row, next_look_at(row.attempts, now()), PUT_OFF)
        return row.state


def settle_unanswered(row: OutboxMail) -> None:
    """It may have left, and nobody can be asked: it stays so until evidence comes or its writer decides."""
    row.state = _message(row).state = "unknown"


def settle_relay_away(row: OutboxMail, relay: MailRelay) -> None:
    """The server is known to be away: the mail waits with all others. In the caller's transaction."""
    _wait(row, relay.retry_at or now() + SOON, AWAY)


def settle_untested(row: OutboxMail) -> None:
    """The server's settings were changed and are being tried, or mended: the mail waits. In the caller's transaction."""
    _wait(row, now() + SOON, UNTESTED)


def _wait(row: OutboxMail, until: datetime, words: str) -> None:
    row.state, row.next_try_at, row.error, row.sending_since = "prepared", until, words, None
    _message(row).state = "sending"


def _put_all_off(row: OutboxMail, relay_id: UUID, error: ProviderError) -> None:
    relay = db.session.get(MailRelay, relay_id, with_for_update=True)
    row.attempts -= 1
    if relay is None:
        _wait(row, now() + SOON, AWAY)
        return
    needs_hand = isinstance(error, OperatorFault | SenderRefused)
    wait = MENDED_BY_HAND if needs_hand else LATER if relay.trouble else SOON
    if not relay.trouble and needs_hand:
        _tell_officers(relay, relays.words_of(error))
    relays.note_trouble(relay, relays.words_of(error), now() + wait)
    _wait(row, relay.retry_at or now() + wait, AWAY)


def _tell_officers(relay: MailRelay, words: str) -> None:
    """Once for each trouble: those who can mend it hear of it."""
    for user_id in officers_of(relay.account_id):
        text = f"{words} Mail waits until that is mended."
        notify(user_id, relay.account_id, NOTICE, text, href="/settings/mail-server", object_id=relay.id)


def _recover(relay: MailRelay) -> None:
    """Mail flows again: what waited for the server is due now, in its order."""
    relays.note_recovered(relay)
    withdraw(NOTICE, relay.id)
    waiting = update(OutboxMail).where(
        OutboxMail.account_id == relay.account_id,
        OutboxMail.path == Path.PROVIDER.value,
        OutboxMail.state == "prepared",
        OutboxMail.waits_for == "",
        OutboxMail.next_try_at > now(),
        OutboxMail.error == AWAY,
    )
    db.session.execute(waiting.values(next_try_at=now()).execution_options(synchronize_session=False))


def _status(error: Refused) -> str:
    """The enhanced status of "550 5.1.1", else the code."""
    return (str(error.args[0]).split() or [str(error.status)])[-1]


def _message(row: OutboxMail) -> Message:
    return db.session.get_one(Message, row.message_id)


def _locked(outbox_id: UUID) -> OutboxMail | None:
    return db.session.scalar(select(OutboxMail).where(OutboxMail.id == outbox_id).with_for_update())
