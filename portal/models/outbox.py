"""Mail on its way out, and drafts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import ADDRESS, AccountRow


class OutboxMail(AccountRow):
    """One individual mail. The form token makes a second press the same mail; `crm_ref` finds it at the provider."""

    __tablename__ = "outbox_mail"
    __table_args__ = (
        UniqueConstraint("user_id", "form_token"),
        Index("ix_outbox_mail_due", "state", "next_try_at"),
        Index("ix_outbox_mail_cap", "mailbox_key", "sent_at"),
        Index("uq_outbox_mail_bounce_token", "bounce_token", unique=True),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    path: Mapped[str] = mapped_column(String(10), default="mailbox")  # mailbox, provider (S-01)
    connection_id: Mapped[UUID | None] = mapped_column(ForeignKey("connection.id"))
    mailbox_key: Mapped[str] = mapped_column(ADDRESS, default="")  # whose cap it counts against (G-14)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"), unique=True)
    form_token: Mapped[str] = mapped_column(String(64))
    crm_ref: Mapped[UUID] = mapped_column(unique=True)
    provider_thread_id: Mapped[str | None] = mapped_column(String(300))  # the thread a reply must stay in
    state: Mapped[str] = mapped_column(String(10), default="prepared")  # prepared, sending, sent, failed, unknown
    raw: Mapped[bytes | None]  # sealed MIME ("outbox_mail.raw"); dropped once sent
    error: Mapped[str] = mapped_column(String(300), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    waits_for: Mapped[str] = mapped_column(String(10), default="")  # "", reset (of the cap), time (a person's choice)
    send_at: Mapped[datetime | None]  # waits for a time: not before; waits for the reset: in line since
    sending_since: Mapped[datetime | None]
    handed_at: Mapped[datetime | None]  # by a relay: just before the end of its data; from then on it may have left
    may_have_left: Mapped[bool] = mapped_column(default=False)  # an earlier try was uncertain: its answer may still come
    bounce_token: Mapped[str | None] = mapped_column(String(40))  # of its address for delivery reports
    sent_at: Mapped[datetime | None]

    @property
    def has_come_back(self) -> bool:
        """It left, and a delivery report said that it did not arrive; what never left has no `sent_at`."""
        return self.state == "failed" and self.sent_at is not None


class Draft(AccountRow):
    """A reply or mail that was not sent yet."""

    __tablename__ = "draft"
    __table_args__ = (UniqueConstraint("user_id", "account_id", "purpose"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    purpose: Mapped[str] = mapped_column(String(60))  # "reply:CONVERSATION", "new:CONTACT", "forward:MESSAGE"
    content: Mapped[bytes]  # sealed JSON of the form ("draft.content")
    updated_at: Mapped[datetime]
