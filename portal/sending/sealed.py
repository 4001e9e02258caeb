"""The sealed MIME of a mail on its way."""

from __future__ import annotations

from portal.models import OutboxMail
from portal.sealing import envelope, place

KIND = "outbox_mail.raw"


def seal_raw(outbox: OutboxMail, raw: bytes) -> bytes:
    """Seal a mail's MIME for its outbox row."""
    return envelope().seal(raw, place(KIND, outbox.account_id, outbox.id))


def open_raw(outbox: OutboxMail) -> bytes:
    """The MIME of a mail that has not left. Raises SealError when it does not belong to this row."""
    return envelope().open(outbox.raw or b"", place(KIND, outbox.account_id, outbox.id))
