"""Accounts (practice locations) and who belongs to them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import NAME, AccountRow, Row
from portal.models.user import User


class Account(Row):
    """A practice location: the tenant that contacts, conversations and connections belong to."""

    __tablename__ = "account"

    slug: Mapped[str] = mapped_column(String(60), unique=True)
    name: Mapped[str] = mapped_column(NAME)  # the practice
    location: Mapped[str] = mapped_column(NAME)
    time_zone: Mapped[str] = mapped_column(String(60), default="America/Chicago")
    allow_duplicate_contacts: Mapped[bool] = mapped_column(default=False)  # G-10
    connect_roles: Mapped[str] = mapped_column(String(200), default="owner,provider,front_desk")  # P-06
    consumer_mailboxes: Mapped[str] = mapped_column(String(10), default="warned")  # allowed, warned, forbidden
    captured_policy: Mapped[str] = mapped_column(String(20), default="hold")  # hold, flag, never
    # Individual mails per mailbox in rolling 24 hours, by kind of connection (G-14)
    send_cap: Mapped[int] = mapped_column(default=500)  # a personal Gmail mailbox
    send_cap_workspace: Mapped[int] = mapped_column(default=500)
    send_cap_microsoft: Mapped[int] = mapped_column(default=500)
    bcc_new_contacts: Mapped[str] = mapped_column(String(10), default="create", server_default="create")  # B-06: create, ask
    acknowledgement_grace_days: Mapped[int] = mapped_column(default=14)  # H-06

    @property
    def initials(self) -> str:
        return self.name[:2].upper()


class Membership(AccountRow):
    """One user's place in one account. A CRM user of an account is anyone with a row here, in any state (G-07)."""

    __tablename__ = "membership"
    __table_args__ = (UniqueConstraint("account_id", "user_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    role: Mapped[str] = mapped_column(String(30))
    state: Mapped[str] = mapped_column(String(20), default="active")  # active, invited, deactivated
    ended_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="joined")
    account: Mapped[Account] = relationship(lazy="joined")
