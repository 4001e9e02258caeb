"""Connections of users to their mailboxes: acknowledgement, OAuth attempt, grant, connection."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.account import Account
from portal.models.base import ADDRESS, AccountRow, Row
from portal.models.user import User


class AcknowledgementText(Row):
    """The exact text of one version as it was shown; never changed, never deleted (H-06)."""

    __tablename__ = "acknowledgement_text"

    version: Mapped[int] = mapped_column(unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    html: Mapped[str] = mapped_column(Text)


class Acknowledgement(AccountRow):
    """One user's signed reading of the risks; never changed, never deleted (H-06)."""

    __tablename__ = "acknowledgement"
    __table_args__ = (Index("ix_acknowledgement_reader", "account_id", "user_id", "provider", "text_version"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    provider: Mapped[str] = mapped_column(String(20))
    text_version: Mapped[int]
    text_sha256: Mapped[str] = mapped_column(String(64))
    items: Mapped[list[str]] = mapped_column(JSON)  # the letters ticked
    typed_name: Mapped[str] = mapped_column(String(200))
    ip: Mapped[str] = mapped_column(String(45))
    browser: Mapped[str] = mapped_column(String(300))
    session_id: Mapped[UUID | None]

    user: Mapped[User] = relationship(lazy="joined")


class OAuthAttempt(AccountRow):
    """One trip to a provider's consent page: single use, ten minutes, bound to session, user and account (OAU-1)."""

    __tablename__ = "oauth_attempt"

    state_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    session_id: Mapped[UUID]
    provider: Mapped[str] = mapped_column(String(20))
    purpose: Mapped[str] = mapped_column(String(20))  # connect, reconnect, update
    connection_id: Mapped[UUID | None]  # the one being reconnected or updated
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[bytes]  # sealed ("oauth_attempt.verifier")
    expires_at: Mapped[datetime]
    consumed_at: Mapped[datetime | None]


class Grant(Row):
    """A provider's token pair and watch for one user's provider identity, shared by that user's connections."""

    __tablename__ = "grant"
    __table_args__ = (UniqueConstraint("user_id", "provider", "subject"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    provider: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(255))  # the provider's own id of the person, not the address
    refresh_token: Mapped[bytes | None]  # sealed ("grant.refresh_token", "provider:subject")
    access_token: Mapped[bytes | None]  # sealed
    access_expires_at: Mapped[datetime | None]
    scopes: Mapped[str] = mapped_column(String(1000), default="")
    refresh_lease: Mapped[UUID | None]  # who is refreshing now
    refresh_lease_until: Mapped[datetime | None]
    watch_expires_at: Mapped[datetime | None]
    watch_tried_at: Mapped[datetime | None]
    revoke_pending_at: Mapped[datetime | None]  # the provider could not be told yet


class Subscription(Row):
    """A push subscription that the provider knows by an id of its own (Graph); a grant may have several."""

    __tablename__ = "subscription"

    grant_id: Mapped[UUID] = mapped_column(ForeignKey("grant.id"), index=True)
    remote_id: Mapped[str] = mapped_column(String(200), unique=True)
    resource: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime]


class Connection(AccountRow):
    """One user's mailbox in one account, with its own beginning, cursor and aliases."""

    __tablename__ = "connection"
    __table_args__ = (
        Index(
            "uq_connection_live_user", "account_id", "user_id", unique=True,
            sqlite_where=text("disconnected_at IS NULL"), postgresql_where=text("disconnected_at IS NULL"),
        ),  # P-05: one at a time per user and account
        Index(
            "uq_connection_live_mailbox", "account_id", "mailbox_key", unique=True,
            sqlite_where=text("disconnected_at IS NULL"), postgresql_where=text("disconnected_at IS NULL"),
        ),  # P-05: two users of one account cannot connect the same mailbox
        Index("ix_connection_due", "state", "next_poll_at"),
    )  # fmt: skip

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    provider: Mapped[str] = mapped_column(String(20))
    grant_id: Mapped[UUID] = mapped_column(ForeignKey("grant.id"), index=True)
    mailbox: Mapped[str] = mapped_column(ADDRESS)
    mailbox_key: Mapped[str] = mapped_column(ADDRESS, index=True)
    is_consumer: Mapped[bool] = mapped_column(default=False)
    aliases: Mapped[list[str]] = mapped_column(JSON, default=list)  # send-as addresses, the mailbox itself included
    state: Mapped[str] = mapped_column(String(20), default="connected")
    # connected, paused (acknowledgement or admin), needs_attention, disconnected
    cause: Mapped[str] = mapped_column(String(60), default="")  # rules.reasons.Cause of paused / needs_attention
    state_since: Mapped[datetime]
    connected_at: Mapped[datetime]  # nothing older is ever imported (G-03)
    disconnected_at: Mapped[datetime | None]
    disconnect_cause: Mapped[str] = mapped_column(String(30), default="")  # user, updated, admin

    cursor: Mapped[str] = mapped_column(Text, default="", server_default="")  # Graph: two links of any length
    last_success_at: Mapped[datetime | None]  # the moment the last whole sync began
    last_logged_at: Mapped[datetime | None]
    next_poll_at: Mapped[datetime]
    change_noticed_at: Mapped[datetime | None]
    threads_asked_at: Mapped[datetime | None]  # when synced threads were last looked for in every folder (Graph)
    provider_cap_until: Mapped[datetime | None]  # the provider itself takes no mail of this mailbox before (G-14)
    failures: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(String(200), default="")
    lease: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    seen: Mapped[int] = mapped_column(default=0)  # mails met, each with one decision
    fetch_attempts: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # provider id → failed tries (poison)

    user: Mapped[User] = relationship(lazy="joined")
    account: Mapped[Account] = relationship()
    grant: Mapped[Grant] = relationship(lazy="joined")

    @property
    def is_live(self) -> bool:
        return self.disconnected_at is None


class SyncGap(AccountRow):
    """A span in which the provider's history was lost, and what was done about it."""

    __tablename__ = "sync_gap"

    connection_id: Mapped[UUID] = mapped_column(ForeignKey("connection.id"), index=True)
    cause: Mapped[str] = mapped_column(String(40))
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]
    found: Mapped[int] = mapped_column(default=0)
