"""The account's own provider: the SMTP relay by which mail leaves that no mailbox sends."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import ADDRESS, NAME, Row


class MailRelay(Row):
    """An account's mail server: where it is, how to sign in, as whom mail leaves. At most one per account."""

    __tablename__ = "mail_relay"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id"), unique=True)
    host: Mapped[str] = mapped_column(String(253))
    port: Mapped[int] = mapped_column(default=587)
    security: Mapped[str] = mapped_column(String(10), default="starttls")  # tls, starttls, none
    username: Mapped[str] = mapped_column(ADDRESS, default="")
    password: Mapped[bytes | None]  # sealed ("mail_relay.password")
    from_email: Mapped[str] = mapped_column(ADDRESS)
    from_name: Mapped[str] = mapped_column(NAME, default="")
    is_on: Mapped[bool] = mapped_column(default=False)  # these very settings have passed a test
    tested_at: Mapped[datetime | None]
    test_error: Mapped[str] = mapped_column(String(300), default="")  # in words; "" when the last test passed
    trouble: Mapped[str] = mapped_column(String(300), default="")  # why mail waits, in words; "" while all is well
    retry_at: Mapped[datetime | None]  # nothing is tried before: the relay is away or asked us to wait
