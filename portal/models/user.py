"""People with a login, and their sessions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal.models.base import ADDRESS, NAME, Row


class User(Row):
    """A person with a login. What they may do stands in their memberships."""

    __tablename__ = "user"

    email: Mapped[str] = mapped_column(ADDRESS)
    email_key: Mapped[str] = mapped_column(ADDRESS, unique=True)  # rules.addresses.match_key(email)
    name: Mapped[str] = mapped_column(NAME)
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    theme: Mapped[str] = mapped_column(String(10), default="auto")  # auto, light, dark
    deactivated_at: Mapped[datetime | None]

    @property
    def initials(self) -> str:
        parts = self.name.replace(",", " ").split()
        return "".join(part[0] for part in parts[:2]).upper() or "?"


class UserSession(Row):
    """A signed-in browser. The cookie holds a token whose hash stands here; ending the row ends the session."""

    __tablename__ = "user_session"

    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("account.id"))  # the account being worked in
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ip: Mapped[str] = mapped_column(String(45), default="")
    browser: Mapped[str] = mapped_column(String(300), default="")

    user: Mapped[User] = relationship(lazy="joined")
