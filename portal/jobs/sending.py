"""Jobs of the sending queue."""

from __future__ import annotations

from uuid import UUID

from portal.bcc import code_mail
from portal.sending import outbox


def send_mail(outbox_id: str) -> None:
    """Move one mail out."""
    outbox.deliver(UUID(outbox_id))


def sweep() -> None:
    """Hand over again what is due: Redis may have been away, or a worker vanished (every 15 seconds)."""
    outbox.sweep()


def send_address_code(own_address_id: str) -> None:
    """Send a code to an address that a person says is theirs."""
    code_mail.send_code(UUID(own_address_id))
