"""Conversations with contacts: threads, messages, bodies, participants, attachments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import ADDRESS, NAME, AccountRow
from portal.models.contact import Contact
from portal.models.user import User


class Conversation(AccountRow):
    """The CRM's record of one exchange with one contact."""

    __tablename__ = "conversation"
    __table_args__ = (
        Index("ix_conversation_recent", "account_id", "last_message_at", "id"),
        Index("ix_conversation_contact", "account_id", "contact_id", "last_message_at"),
        Index("uq_conversation_reply_token", "reply_token", unique=True),
    )

    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)  # whose mailbox or who wrote first
    connection_id: Mapped[UUID | None] = mapped_column(ForeignKey("connection.id"), index=True)
    subject: Mapped[bytes | None]  # sealed ("conversation.subject")
    state: Mapped[str] = mapped_column(String(10), default="open")  # open, ended
    ended_cause: Mapped[str] = mapped_column(String(30), default="")  # updated, disconnected, continued_elsewhere
    ended_at: Mapped[datetime | None]
    continued_in_id: Mapped[UUID | None]  # the account where it goes on
    reply_token: Mapped[str | None] = mapped_column(String(40))  # of its own address, "r-TOKEN@…" (S-01)
    started_by: Mapped[str] = mapped_column(String(10))  # crm, contact, user
    last_message_at: Mapped[datetime]
    last_direction: Mapped[str] = mapped_column(String(8), default="inbound")
    message_count: Mapped[int] = mapped_column(default=0)

    contact: Mapped[Contact] = relationship()
    user: Mapped[User] = relationship()


class ConversationThread(AccountRow):
    """A provider's thread that feeds a conversation. One thread may feed several (forwards, G-21)."""

    __tablename__ = "conversation_thread"
    __table_args__ = (UniqueConstraint("connection_id", "provider_thread_id", "conversation_id"),)

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"), index=True)
    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id"))
    provider_thread_id: Mapped[str] = mapped_column(String(300))


class ThreadClaim(AccountRow):
    """A mailbox's thread goes on in this account alone, since its user replied from here first (X-02)."""

    __tablename__ = "thread_claim"
    __table_args__ = (UniqueConstraint("user_id", "mailbox_key", "provider_thread_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    mailbox_key: Mapped[str] = mapped_column(ADDRESS)
    provider_thread_id: Mapped[str] = mapped_column(String(300))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"))


class Message(AccountRow):
    """One mail of a conversation."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_conversation", "conversation_id", "sent_at", "id"),
        Index("ix_message_wire_id", "account_id", "internet_message_id"),
        UniqueConstraint("connection_id", "provider_message_id"),
    )

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"))
    connection_id: Mapped[UUID | None] = mapped_column(ForeignKey("connection.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id"))  # who wrote it, if one of us
    direction: Mapped[str] = mapped_column(String(8))  # inbound, outbound
    origin: Mapped[str] = mapped_column(String(10))  # crm, mailbox, routed (came to the conversation's own address), bcc
    is_forward: Mapped[bool] = mapped_column(default=False)
    is_automatic: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(10), default="logged")  # logged, sending, sent, failed, unknown
    provider_message_id: Mapped[str | None] = mapped_column(String(300))
    provider_thread_id: Mapped[str | None] = mapped_column(String(300))
    internet_message_id: Mapped[str] = mapped_column(String(998), default="")
    crm_ref: Mapped[UUID | None] = mapped_column(index=True)
    references: Mapped[str] = mapped_column(String(20000), default="")  # space-separated wire ids
    sent_at: Mapped[datetime]
    subject: Mapped[bytes | None]  # sealed ("message.subject")
    snippet: Mapped[bytes | None]  # sealed ("message.snippet"): the first line or two
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    defects: Mapped[str] = mapped_column(String(300), default="")  # what parsing had to repair, comma-separated
    attachment_count: Mapped[int] = mapped_column(default=0)

    conversation: Mapped[Conversation] = relationship()
    participants: Mapped[list[Participant]] = relationship(order_by="Participant.position")
    attachments: Mapped[list[Attachment]] = relationship(order_by="Attachment.position")


class MessageBody(AccountRow):
    """The text of a message, apart from it so that lists never read it. `id` is the message's id."""

    __tablename__ = "message_body"

    text: Mapped[bytes]  # sealed ("message_body.text"): plain text
    html: Mapped[bytes | None]  # sealed ("message_body.html"): as received, cleaned on every showing


class Participant(AccountRow):
    """Somebody in From, To, CC or BCC of a message."""

    __tablename__ = "participant"
    __table_args__ = (Index("ix_participant_address", "account_id", "email_key"),)

    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"), index=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"), index=True)
    field: Mapped[str] = mapped_column(String(4))  # from, to, cc, bcc
    position: Mapped[int] = mapped_column(default=0)
    email: Mapped[str] = mapped_column(ADDRESS)
    email_key: Mapped[str] = mapped_column(ADDRESS)
    name: Mapped[str] = mapped_column(NAME, default="")


class Attachment(AccountRow):
    """A file of a message: in the store, left out with its reason, or refused."""

    __tablename__ = "attachment"

    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"), index=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    name: Mapped[bytes]  # sealed ("attachment.name")
    content_type: Mapped[str] = mapped_column(String(100))  # sniffed, not claimed
    content_id: Mapped[str] = mapped_column(String(300), default="")
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(10))  # stored, left_out, blocked, missing
    reason: Mapped[str] = mapped_column(String(40), default="")  # rules.reasons.FileReason
    scan: Mapped[str] = mapped_column(String(10), default="unknown")  # unknown, clean, blocked
    store_key: Mapped[str] = mapped_column(String(80), default="")
