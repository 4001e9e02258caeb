"""Jobs of the sending queue."""

from __future__ import annotations

from uuid import UUID

from portal.sending import outbox


def send_mail(outbox_id: str) -> None:
    """Move one mail out."""
    outbox.deliver(UUID(outbox_id))


def sweep() -> None:
    """Hand over again what is due: Redis may have been away, or a worker vanished (every 15 seconds)."""
    outbox.sweep()
