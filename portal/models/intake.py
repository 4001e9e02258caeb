"""Mail that came to the portal's own SMTP intake."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.models.base import ADDRESS, AccountRow


class IntakeMail(AccountRow):
    """One mail to one routed address: kept raw before it is acknowledged, then filed or left out with one reason (E-01).

    Once decided nothing of it stays here but the fact; what could not be read keeps its sealed raw bytes (SMT-5).
    """

    __tablename__ = "intake_mail"
    __table_args__ = (
        UniqueConstraint("token", "digest"),  # the same mail twice, as after a lost 250 (fault 30)
        Index("ix_intake_mail_due", "state", "next_try_at"),
        Index("ix_intake_mail_owner", "account_id", "user_id", "id"),
        Index(
            "ix_intake_mail_kept", "token", sqlite_where=text("raw IS NOT NULL"), postgresql_where=text("raw IS NOT NULL")
        ),  # what an address keeps, looked at with each mail that comes to it: its long history is not read for that
    )

    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("user.id"))  # whose conversation or mail it concerns
    kind: Mapped[str] = mapped_column(String(10))  # reply, bounce, bcc: which kind of address it came to
    token: Mapped[str] = mapped_column(String(40))
    conversation_id: Mapped[UUID | None] = mapped_column(ForeignKey("conversation.id"))
    outbox_id: Mapped[UUID | None] = mapped_column(ForeignKey("outbox_mail.id"))
    delivery_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery.id"))
    digest: Mapped[str] = mapped_column(String(64))  # of Message-ID and body
    has_null_sender: Mapped[bool] = mapped_column(default=False)  # MAIL FROM:<>
    # Who handed it in, for SPF (RFC 7208); emptied once decided
    peer: Mapped[str] = mapped_column(String(45), default="", server_default="")
    helo: Mapped[str] = mapped_column(String(255), default="", server_default="")
    mail_from: Mapped[str] = mapped_column(ADDRESS, default="", server_default="")
    authentication: Mapped[str] = mapped_column(String(10), default="", server_default="")  # proven, unproven (B-05)
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    raw: Mapped[bytes | None]  # sealed ("intake_mail.raw"); dropped once decided
    state: Mapped[str] = mapped_column(String(10), default="received")
    # received, unverified or unmatched (a mail with a person's BCC address that waits for its owner), decided, unreadable
    outcome: Mapped[str] = mapped_column(String(10), default="")  # rules.reasons.Outcome
    reason: Mapped[str] = mapped_column(String(40), default="")  # rules.reasons.Reason
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("message.id"))
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
