"""A conversation's page with its reply box: whom a reply goes to, which way, how much is left, what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from portal.audit import events
from portal.audit.service import record
from portal.connections.queries import live_connection
from portal.contacts.colleagues import is_colleague
from portal.conversations import claims
from portal.conversations import queries as conversation_queries
from portal.conversations.service import conversation_subject, message_subject, own_subject
from portal.conversations.state import SyncState, sync_state
from portal.conversations.thread import Person, Thread, reply_people, thread_of
from portal.models import Conversation, Message, User
from portal.rules.addresses import match_key, own_keys
from portal.rules.sending import one_line, reply_subject
from portal.sending import drafts, queries
from portal.sending.individual import COLLEAGUE
from portal.sending.queries import OnItsWay
from portal.sending.senders import Way, way_of


@dataclass(frozen=True)
class ReplyBox:
    """Everything around the reply field. `refusal` is why there is no field, in words.

    `people` are contacts and copied; `left_off` are none and are copied only when they are ticked.
    """

    way: Way
    people: list[Person]
    left_off: list[Person]
    stays_in_thread: bool
    draft: dict[str, Any]
    refusal: str

    @property
    def defaults(self) -> dict[str, Any]:
        """What the form begins with: the draft, else the contacts of the thread ticked."""
        return self.draft or {"people": [person.email for person in self.people]}


@dataclass(frozen=True)
class ThreadPage:
    """What the page of a conversation shows. `reply` is None for who may not write mail."""

    conversation: Conversation
    viewer_id: UUID
    subject: str
    thread: Thread
    sync: SyncState
    readers: list[conversation_queries.Readers]
    mentioned: list[conversation_queries.MentionedContact]
    outbox: dict[UUID, OnItsWay]
    reply: ReplyBox | None


def open_conversation(conversation: Conversation, user: User, *, whole: bool, may_reply: bool) -> ThreadPage:
    """The page of a conversation for this person. Opening it is an audit event; without it nothing is shown (A-02)."""
    found = thread_of(conversation, user, _mailbox_keys(conversation.account_id, user.id), whole=whole)
    record(events.CONVERSATION_READ, conversation, messages=len(found.messages))
    ours = [message.id for message in found.messages if message.origin == "crm" and message.state != "sent"]
    return ThreadPage(
        conversation=conversation,
        viewer_id=user.id,
        subject=conversation_subject(conversation),
        thread=found,
        sync=sync_state(conversation, user.id),
        readers=conversation_queries.readers_by_role(conversation.account_id),
        mentioned=conversation_queries.mentioned_contacts(conversation.id),
        outbox=queries.on_their_way(ours),
        reply=reply_box(conversation, found, user) if may_reply else None,
    )


def _mailbox_keys(account_id: UUID, user_id: UUID) -> frozenset[str]:
    """The connected mailbox and what it may send as."""
    connection = live_connection(account_id, user_id)
    return own_keys(connection.mailbox, *connection.aliases) if connection else frozenset()


def reply_box(conversation: Conversation, thread: Thread, user: User) -> ReplyBox:
    """The reply box for this person. People who are no contact are left off until added (design, picture 3)."""
    way = way_of(conversation.account_id, user.id)
    around = reply_people(thread)
    purpose = drafts.purpose_of("reply", conversation.id)
    return ReplyBox(
        way=way,
        people=[person for person in around if person.contact],
        left_off=[person for person in around if not person.contact],
        stays_in_thread=bool(way.connection and queries.thread_of(conversation, way.connection)),
        draft=drafts.load(user.id, conversation.account_id, purpose),
        refusal=_refusal(conversation, user),
    )


def answered(conversation: Conversation) -> tuple[Message | None, str]:
    """The message that a reply names, and the subject that keeps it in the thread (G-19)."""
    parent = queries.parent_of(conversation)
    subject = message_subject(parent) if parent else own_subject(conversation)
    return parent, reply_subject(one_line(subject))


def _refusal(conversation: Conversation, user: User) -> str:
    contact = conversation.contact
    if conversation.ended_cause == claims.CAUSE:
        return claims.refusal(conversation.continued_in_id, user.id)
    if conversation.state != "open":
        return "This conversation has ended, so replies do not come back to it."
    if not match_key(contact.email):
        return f"{contact.name} has no mail address any more."
    return COLLEAGUE.format(name=contact.name) if is_colleague(contact) else ""
