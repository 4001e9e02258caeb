"""Take an individual mail: everything that must be true before it may leave (S-03, G-07, G-13, G-14).

What is written then (`recording.py`) is complete before the mail leaves: message, people, files, mentions, sealed
MIME. The outbox (`outbox.py`) only moves states, so a crash at any point loses nothing and sends nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import live_connection
from portal.contacts.colleagues import is_colleague
from portal.conversations import claims
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Membership, Message, OutboxMail, User
from portal.notices.service import withdraw
from portal.rules.addresses import match_key
from portal.rules.connecting import PROVIDERS
from portal.rules.sending import MAX_FILE_BYTES, Path, decide_path, is_reachable
from portal.sending import drafts, relays, waiting
from portal.sending.caps import cap_of
from portal.sending.letters import NewMail, SendRefused, without_repeats
from portal.sending.outcomes import WAITED_IN_VAIN, WORDS
from portal.sending.outlook import refuse_uncarried
from portal.sending.recording import write_mail
from portal.sending.senders import Sender, by_mailbox, by_relay

REFUSALS = {
    Path.NO_MAILBOX: "You have no connected mailbox, and the practice has no mail server. Connect one on My Profile, "
    "then send it.",
    Path.PAUSED: "Your mailbox is paused. My Profile says why.",
    Path.NEEDS_ATTENTION: "Your mailbox needs attention. Reconnect it on My Profile, then send it.",
}

COLLEAGUE = "{name} is also a CRM user here. Mail between colleagues is never logged, so it is not sent from the CRM."


@dataclass(frozen=True)
class Handed:
    """A mail in the outbox; `is_repeat` when an earlier press of the same form had put it there."""

    outbox: OutboxMail
    is_repeat: bool = False


def prepare(user: User, mail: NewMail) -> Handed:
    """Write the mail and hand it to the outbox; the same form token gives the same mail again (NET-4).

    Runs in the request's transaction; the job is enqueued after its commit. Raises SendRefused (no mailbox, cap
    reached, too large, colleague, conversation ended, store full) with nothing changed.
    """
    connection = _lock_mailbox(mail.contact.account_id, user.id, claims.mailboxes_of(mail.conversation, user))
    if earlier := _earlier(user, mail.token):
        return Handed(earlier, is_repeat=True)
    refuse_continued(claims.continued(mail.conversation, user))
    refuse_unsendable(mail)
    sender, mail = _choose_sender(connection, user, mail)
    with db.session.begin_nested():  # refused half-way, it leaves no row behind
        if mail.kind == "reply" and mail.conversation is not None:
            refuse_continued(claims.claim_threads(mail.conversation, user))
        outbox = write_mail(user, without_repeats(mail), sender)
    if not outbox.waits_for:
        hand_over(outbox)
    return Handed(outbox)


def hand_over(outbox: OutboxMail) -> None:
    """Enqueue a mail's delivery after the commit."""
    queues.enqueue("sending.send_mail", outbox.id, on=queues.SENDING, once=f"send-{outbox.id}")


def refuse_continued(words: str) -> None:
    """Refuse where another account was first to answer and `words` say so (X-02)."""
    if words:
        raise SendRefused(words, cause=claims.CAUSE)


def refuse_unsendable(mail: NewMail) -> None:
    """Refuse what may never leave, whatever the mailbox says."""
    name = mail.contact.name
    if not is_reachable(match_key(mail.contact.email)):
        raise SendRefused(f"{name} has no address that mail can go to.", cause="no_address")
    if is_colleague(mail.contact):  # G-07
        raise SendRefused(COLLEAGUE.format(name=name), cause="crm_user")
    if mail.conversation is not None and mail.conversation.state != "open":
        raise SendRefused("This conversation has ended. Write a new mail instead.", cause="conversation_ended")
    refuse_too_large(mail)


def refuse_too_large(mail: NewMail) -> None:
    """Refuse files and pictures over 25 MB together, and name the largest (G-13)."""
    if sum(len(part.data) for part in mail.parts) > MAX_FILE_BYTES:
        largest = max(mail.parts, key=lambda part: len(part.data)).name
        raise SendRefused(
            f"The files are over 25 MB together; the largest is {largest}. Take it out and send again.",
            cause="too_large",
        )


def _lock_mailbox(account_id: UUID, user_id: UUID, also: Collection[str] = ()) -> Connection | None:
    """The person's connection; every connection of its mailbox is locked, so that a cap counts one send at a time.

    `also` are mailboxes whose threads are about to be claimed: locked in one go, lest two replies wait for each other.
    """
    _one_press_at_a_time(account_id, user_id)
    connection = live_connection(account_id, user_id)
    claims.lock_mailboxes({*also, connection.mailbox_key} if connection is not None else set(also))
    if connection is not None:
        db.session.refresh(connection)
    return connection if connection is not None and connection.is_live else None


def _one_press_at_a_time(account_id: UUID, user_id: UUID) -> None:
    """Also a person without a mailbox presses a form once only."""
    query = select(Membership.id).where(Membership.account_id == account_id, Membership.user_id == user_id)
    db.session.execute(query.with_for_update())


def _earlier(user: User, token: str) -> OutboxMail | None:
    return db.session.scalar(
        select(OutboxMail).where(OutboxMail.user_id == user.id, OutboxMail.form_token == token)
    )


def _choose_sender(connection: Connection | None, user: User, mail: NewMail) -> tuple[Sender, NewMail]:
    """Through what the mail leaves, and the mail as it then waits or not (S-01, G-14). Raises SendRefused."""
    relay = relays.relay_of(mail.contact.account_id)
    path = decide_path(connection.state if connection else None, relay is not None)
    if path is Path.MAILBOX and connection is not None:
        refuse_uncarried(connection, mail)
        return by_mailbox(connection, user), _with_its_wait(connection, mail)
    if path is Path.PROVIDER and relay is not None:  # no cap concerns it
        return by_relay(relay, user), replace(mail, waits_for="") if mail.waits_for == "reset" else mail
    raise SendRefused(REFUSALS[path], cause=path.value)


def _with_its_wait(connection: Connection, mail: NewMail) -> NewMail:
    """A mail that need not wait for the cap leaves at once; one that does so unasked is refused."""
    if mail.waits_for == "time":
        return mail
    if mail.waits_for == "reset" and not cap_of(connection).must_wait:
        return replace(mail, waits_for="")
    if not mail.waits_for:
        refuse_over_cap(connection)
    return mail


def refuse_over_cap(connection: Connection) -> None:
    """Refuse where the mailbox has no place for one more mail, or others wait for one (G-14). Raises SendRefused."""
    cap = cap_of(connection)
    if not cap.must_wait:
        return
    if cap.closed_until:
        company = PROVIDERS[connection.provider].company
        words = f"{company} takes no more mail of this mailbox for now: its own sending limit is reached."
    elif cap.is_reached:
        words = f"This mailbox has sent {cap.used} of {cap.limit} individual mails in the last 24 hours."
    else:
        words = "Other mails of this mailbox wait for the cap already, and this one would overtake them."
    raise SendRefused(words, cause="cap_reached", next_free_at=cap.next_free_at)


def keep_refused(user: User, account_id: UUID, purpose: str, texts: dict[str, Any], refusal: SendRefused) -> None:
    """Keep what was written as a draft and the refusal in the audit trail, in the request's transaction."""
    drafts.save(user.id, account_id, purpose, texts)
    record(events.MAIL_REFUSED, account_id=account_id, outcome="refused", cause=refusal.cause)


def try_again(outbox: OutboxMail, *, when_free: bool = False) -> bool:
    """Hand a failed mail over once more; false when it is not failed (any more). With `when_free` it waits for the cap.

    Raises SendRefused where the mailbox or the cap forbids it now. A mail of which it is not certain that it stayed is
    looked for at the provider first.
    """
    connection = _lock_mailbox(outbox.account_id, outbox.user_id)
    db.session.refresh(outbox, attribute_names=["state", "raw"])
    if outbox.state != "failed" or outbox.raw is None or outbox.has_come_back:
        return False
    refuse_other_way(outbox, connection)
    outbox.error, outbox.attempts, outbox.next_try_at = "", 0, now()
    withdraw(WAITED_IN_VAIN, outbox.id)
    outbox.state = "sending" if outbox.sending_since else "prepared"
    if outbox.state == "prepared":  # dated as it was, it would stand among the recipient's old mail
        waiting.begin(outbox)
    db.session.get_one(Message, outbox.message_id).state = "sending"
    if connection is not None and outbox.connection_id:
        if when_free and cap_of(connection).must_wait and outbox.state == "prepared":
            waiting.join_line(outbox)
            return True
        refuse_over_cap(connection)
        outbox.sent_at = now()
    hand_over(outbox)
    return True


def send_now(outbox: OutboxMail) -> bool:
    """Let a mail that waits for its time leave at once; false when it waits for none (any more). Raises SendRefused."""
    connection = _lock_mailbox(outbox.account_id, outbox.user_id)
    db.session.refresh(outbox, attribute_names=["state", "raw", "waits_for"])
    if outbox.state != "prepared" or outbox.waits_for != "time":
        return False
    refuse_other_way(outbox, connection)
    if connection is not None and outbox.connection_id:
        refuse_over_cap(connection)
        outbox.sent_at = now()
    waiting.begin(outbox)
    hand_over(outbox)
    return True


def refuse_other_way(outbox: OutboxMail, connection: Connection | None) -> None:
    """Refuse a mail whose own way is closed now, as it was written for that way, or that may not leave any more.

    Raises SendRefused.
    """
    if cause := waiting.hindrance(outbox):
        raise SendRefused(WORDS[cause], cause=cause)
    if not outbox.connection_id:
        if relays.relay_of(outbox.account_id) is None:
            raise SendRefused(
                "The practice’s mail server was taken out of use. Copy its text into a new mail.", cause="no_provider"
            )
        return
    if connection is None or connection.id != outbox.connection_id:
        raise SendRefused(
            "The mailbox it was written for is no longer connected. Copy its text into a new mail.",
            cause="other_mailbox",
        )
    path = decide_path(connection.state)
    if not path.is_open:
        raise SendRefused(REFUSALS[path], cause=path.value)
