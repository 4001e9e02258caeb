"""Contacts, their other addresses, mentions in CC and BCC, and imports."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import ADDRESS, NAME, AccountRow


class Contact(AccountRow):
    """A CRM record. Only `email_key`, the primary address, matches mail (G-08)."""

    __tablename__ = "contact"
    __table_args__ = (
        Index("ix_contact_match", "account_id", "email_key", "created_at"),
        Index("ix_contact_name", "account_id", "name_key", "id"),
    )

    first_name: Mapped[str] = mapped_column(NAME, default="")
    last_name: Mapped[str] = mapped_column(NAME, default="")
    name_key: Mapped[str] = mapped_column(String(401), default="")  # "last first", case-folded, for sort and search
    email: Mapped[str] = mapped_column(ADDRESS, default="")
    email_key: Mapped[str] = mapped_column(ADDRESS, default="")  # rules.addresses.match_key(email); "" when none
    phone: Mapped[str] = mapped_column(String(40), default="")
    notes: Mapped[str] = mapped_column(Text, default="")
    source: Mapped[str] = mapped_column(String(30), default="manual")  # manual, import, bcc_sync, demo
    excluded_from_sync: Mapped[bool] = mapped_column(default=False)
    created_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id"))
    updated_at: Mapped[datetime | None]

    alternates: Mapped[list[ContactAddress]] = relationship(
        back_populates="contact", cascade="all, delete-orphan", order_by="ContactAddress.created_at"
    )

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email or "No name"


class ContactAddress(AccountRow):
    """An alternate address on a contact's record: shown, searched, never matched (G-08)."""

    __tablename__ = "contact_address"
    __table_args__ = (Index("ix_contact_address_match", "account_id", "email_key"),)

    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    email: Mapped[str] = mapped_column(ADDRESS)
    email_key: Mapped[str] = mapped_column(ADDRESS)

    contact: Mapped[Contact] = relationship(back_populates="alternates")


class Mention(AccountRow):
    """A contact stood in CC or BCC of a logged message (G-11)."""

    __tablename__ = "mention"
    __table_args__ = (Index("uq_mention", "message_id", "contact_id", "field", unique=True),)

    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id"))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id"), index=True)
    field: Mapped[str] = mapped_column(String(3))  # cc, bcc


class ContactImport(AccountRow):
    """One CSV import: uploaded, previewed, then run by a job that may be repeated without doubling anything."""

    __tablename__ = "contact_import"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"))
    file_name: Mapped[str] = mapped_column(String(200))
    content: Mapped[bytes | None]  # sealed file ("contact_import.content"); dropped when done
    state: Mapped[str] = mapped_column(String(20), default="preview")  # preview, queued, running, done, failed, dropped
    mapping: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    total: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    created: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    errors: Mapped[list[Any]] = mapped_column(JSON, default=list)  # [{row, column, message}], bounded
    finished_at: Mapped[datetime | None]
