"""Mail to many, and mail that leaves by itself: campaigns, automations, their deliveries, and who wants none."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import ADDRESS, NAME, AccountRow
from portal.models.contact import Contact
from portal.models.user import User


class Campaign(AccountRow):
    """One bulk mail to many contacts (S-02). Its text is a template, filled in for each recipient."""

    __tablename__ = "campaign"
    __table_args__ = (Index("ix_campaign_recent", "account_id", "created_at"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(NAME)
    subject: Mapped[bytes | None]  # sealed ("campaign.subject")
    text: Mapped[bytes | None]  # sealed ("campaign.text")
    html: Mapped[bytes | None]  # sealed ("campaign.html"); None: plain text only
    sender: Mapped[str] = mapped_column(String(10), default="account")  # account, own (O-07)
    connection_id: Mapped[UUID | None] = mapped_column(ForeignKey("connection.id"))  # whose address stands in From
    audience: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # {"by": "filter"|"list", …}
    state: Mapped[str] = mapped_column(String(10), default="draft")  # draft, preparing, running, paused, done, stopped
    paused_because: Mapped[str] = mapped_column(String(20), default="")  # person, membership, sender (it paused itself)
    total: Mapped[int] = mapped_column(default=0)  # deliveries made at the start
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()


class Automation(AccountRow):
    """Workflow mail: what is sent by itself when something happens (S-02). Its text is a template."""

    __tablename__ = "automation"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str] = mapped_column(NAME)
    trigger: Mapped[str] = mapped_column(String(30))  # rules.workflows.Trigger
    delay_minutes: Mapped[int] = mapped_column(default=0)
    subject: Mapped[bytes | None]  # sealed ("automation.subject")
    text: Mapped[bytes | None]  # sealed ("automation.text")
    html: Mapped[bytes | None]  # sealed ("automation.html")
    includes_imported: Mapped[bool] = mapped_column(default=False)
    is_on: Mapped[bool] = mapped_column(default=False)
    on_since: Mapped[datetime | None]  # only what happens from then on counts

    user: Mapped[User] = relationship()


class Delivery(AccountRow):
    """One mail of a campaign or an automation to one contact, with its own state. Nobody gets the same one twice."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("campaign_id", "email_key"),
        UniqueConstraint("automation_id", "contact_id"),
        Index("ix_delivery_campaign", "campaign_id", "state", "id"),
        Index("ix_delivery_automation", "automation_id", "id"),
        Index("ix_delivery_due", "account_id", "state", "next_try_at"),
    )

    campaign_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaign.id"))
    automation_id: Mapped[UUID | None] = mapped_column(ForeignKey("automation.id"))
    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    email: Mapped[str] = mapped_column(ADDRESS)
    email_key: Mapped[str] = mapped_column(ADDRESS)
    state: Mapped[str] = mapped_column(String(10), default="waiting")  # waiting, sending, sent, failed, unknown, skipped
    cause: Mapped[str] = mapped_column(String(40), default="")  # a word: why failed or skipped
    error: Mapped[str] = mapped_column(String(300), default="")  # the same in words
    token: Mapped[str] = mapped_column(String(40), unique=True)  # of its bounce address and its unsubscribe link
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    claimed_by: Mapped[UUID | None]  # the run that is sending it
    handed_at: Mapped[datetime | None]  # just before the end of its data: from then on it may have left
    sent_at: Mapped[datetime | None]

    contact: Mapped[Contact] = relationship()


class Unsubscribe(AccountRow):
    """An address that wants no campaigns of this account (RFC 8058). It outlives the contact's record."""

    __tablename__ = "unsubscribe"
    __table_args__ = (UniqueConstraint("account_id", "email_key"),)

    email_key: Mapped[str] = mapped_column(ADDRESS)
    delivery_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery.id"))  # the mail whose link was used
    source: Mapped[str] = mapped_column(String(20))  # one_click, page
