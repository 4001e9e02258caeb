"""BCC Sync: a person's own address, whom they track through it, and from where they may post to it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import ADDRESS, AccountRow
from portal.models.contact import Contact


class BccAddress(AccountRow):
    """A person's address in one account, "u-TOKEN@…" (B-01). A replaced one stops; its row stays, so nobody else gets it."""

    __tablename__ = "bcc_address"
    __table_args__ = (
        Index(
            "uq_bcc_address_owner", "account_id", "user_id", unique=True,
            sqlite_where=text("replaced_at IS NULL"), postgresql_where=text("replaced_at IS NULL"),
        ),
    )  # fmt: skip

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    token: Mapped[str] = mapped_column(String(40), unique=True)
    replaced_at: Mapped[datetime | None]


class TrackedContact(AccountRow):
    """Mail between this person and this contact is logged since a mail with the BCC address (B-03)."""

    __tablename__ = "tracked_contact"
    __table_args__ = (UniqueConstraint("account_id", "user_id", "contact_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    since: Mapped[datetime]
    stopped_at: Mapped[datetime | None]

    contact: Mapped[Contact] = relationship()


class OwnAddress(AccountRow):
    """An address that a person says is theirs; once verified by a code sent there, they may post from it (B-05)."""

    __tablename__ = "own_address"
    __table_args__ = (UniqueConstraint("account_id", "user_id", "email_key"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    email: Mapped[str] = mapped_column(ADDRESS)
    email_key: Mapped[str] = mapped_column(ADDRESS)
    code_hash: Mapped[str] = mapped_column(String(64), default="")
    code_expires_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    verified_at: Mapped[datetime | None]
