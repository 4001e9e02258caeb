"""Whose conversation it is when the same mailbox is connected in several accounts: the first reply claims it (X-02).

A claim is made for each thread of the mailbox that feeds the conversation, and holds for the whole thread, whoever
else writes in it. Only a reply written in the CRM claims; a forward, a new mail and a reply in the mailbox itself do
not. It binds the accounts of the person who replied, and nobody else who may use the same mailbox. A claim keeps who
made it, when and from which conversation, and is never given up by itself.

Order of locks: all connections of the mailboxes (by id), then conversations (by id). A sync locks its one connection
before it judges and writes a page, so a page and a claim never overlap: whichever comes second sees the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_, union

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.lib.clock import now
from portal.models import (
    Account,
    Connection,
    Conversation,
    ConversationThread,
    Membership,
    Message,
    ThreadClaim,
    User,
)

CAUSE = "continued_elsewhere"
ELSEWHERE = "another location"
Thread = tuple[str, str]  # canonical key of the mailbox, the provider's id of the thread there


def lock_mailboxes(keys: Collection[str]) -> None:
    """Hold every connection of these mailboxes, in all accounts, for the rest of the transaction."""
    if keys:
        query = select(Connection.id).where(Connection.mailbox_key.in_(keys))
        db.session.execute(query.order_by(Connection.id).with_for_update())


def mailboxes_of(conversation: Conversation | None, user: User) -> set[str]:
    """Keys of the person's mailboxes, former ones too, whose threads feed the conversation. None for none."""
    return {key for key, _ in _threads(conversation, user)} if conversation is not None else set()


def claim_threads(conversation: Conversation, user: User) -> str:
    """Let the conversation go on in its account alone, and end it in all others. Returns "", or why not, in words.

    The caller holds `lock_mailboxes(mailboxes_of(…))`, and undoes what it has begun when it gets words: another
    account was first. Claiming again what is this account's already changes nothing.
    """
    threads = _threads(conversation, user)
    held = _claims(threads, user)
    if others := [claim.account_id for claim in held if claim.account_id != conversation.account_id]:
        return refusal(others[0], user.id)
    free = threads - {(claim.mailbox_key, claim.provider_thread_id) for claim in held}
    if free:
        db.session.add_all(_claim(conversation, user, thread) for thread in sorted(free))
        record(events.THREAD_CLAIMED, conversation)
        _end_elsewhere(conversation.account_id, user, free)
        db.session.flush()
    return ""


def continued(conversation: Conversation | None, user: User) -> str:
    """Why no reply leaves from a conversation that another account has claimed, in words; "" where none has.

    The caller holds the locks as for `claim_threads`; what was read before them is read anew.
    """
    if conversation is None:
        return ""
    db.session.refresh(conversation, attribute_names=["state", "ended_cause", "ended_at", "continued_in_id"])
    return refusal(conversation.continued_in_id, user.id) if conversation.ended_cause == CAUSE else ""


def refusal(account_id: UUID | None, viewer_id: UUID) -> str:
    """Why nothing more is sent from here, naming the place only to who works there."""
    if place := place_for(account_id, viewer_id):
        return f"This conversation goes on in {place}, where it was answered first. Switch there to reply."
    return f"This conversation goes on in {ELSEWHERE}, where it was answered first."


def place_for(account_id: UUID | None, viewer_id: UUID) -> str:
    """The location's name for somebody who works there now; "" for everybody else (TEN-6)."""
    query = (
        select(Account.location)
        .join(Membership, Membership.account_id == Account.id)
        .where(Account.id == account_id, Membership.user_id == viewer_id, Membership.state == "active")
    )
    return db.session.scalar(query) or ""


def _threads(conversation: Conversation, user: User) -> set[Thread]:
    linked = (
        select(Connection.mailbox_key, ConversationThread.provider_thread_id)
        .join(ConversationThread, ConversationThread.connection_id == Connection.id)
        .where(ConversationThread.conversation_id == conversation.id, Connection.user_id == user.id)
    )
    met = (
        select(Connection.mailbox_key, Message.provider_thread_id)
        .join(Message, Message.connection_id == Connection.id)
        .where(Message.conversation_id == conversation.id, Connection.user_id == user.id)
        .where(Message.provider_thread_id.is_not(None))
    )
    rows: Sequence[Any] = db.session.execute(union(linked, met)).all()
    return {(key, thread) for key, thread in rows}


def _among(threads: Collection[Thread], mailbox_key: object, thread_id: object) -> ColumnElement[bool]:
    return tuple_(mailbox_key, thread_id).in_(sorted(threads))


def _claims(threads: Collection[Thread], user: User) -> list[ThreadClaim]:
    query = select(ThreadClaim).where(ThreadClaim.user_id == user.id)
    query = query.where(_among(threads, ThreadClaim.mailbox_key, ThreadClaim.provider_thread_id))
    return list(db.session.scalars(query)) if threads else []


def _claim(conversation: Conversation, user: User, thread: Thread) -> ThreadClaim:
    return ThreadClaim(
        account_id=conversation.account_id,
        user_id=user.id,
        mailbox_key=thread[0],
        provider_thread_id=thread[1],
        conversation_id=conversation.id,
    )


def _end_elsewhere(account_id: UUID, user: User, threads: Collection[Thread]) -> None:
    """End what these threads feed in the person's other accounts; each trail tells of its own conversations only."""
    fed = (
        select(ConversationThread.conversation_id)
        .join(Connection, Connection.id == ConversationThread.connection_id)
        .where(ConversationThread.account_id != account_id, Connection.user_id == user.id)
        .where(_among(threads, Connection.mailbox_key, ConversationThread.provider_thread_id))
    )
    query = select(Conversation).where(Conversation.id.in_(fed), Conversation.state == "open")
    query = query.order_by(Conversation.id).with_for_update(of=Conversation)
    for conversation in list(db.session.scalars(query.execution_options(populate_existing=True))):
        conversation.state, conversation.ended_cause, conversation.ended_at = "ended", CAUSE, now()
        conversation.continued_in_id = account_id
        told = record(events.CONVERSATION_ENDED, conversation, cause=CAUSE, count=1)
        told.ip = told.request_id = ""  # nobody pressed anything there
