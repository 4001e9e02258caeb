"""Jobs of mail sync: by push, by poll, by the clock."""

from __future__ import annotations

from uuid import UUID

from portal.connections import tokens
from portal.sync import polling, service, watches


def sync_mailbox(connection_id: str) -> None:
    """Bring one mailbox up to date."""
    service.sync_mailbox(UUID(connection_id))


def poll_shard(*connection_ids: str) -> None:
    """Poll a shard of mailboxes side by side."""
    polling.poll_shard([UUID(item) for item in connection_ids])


def poll_tick() -> None:
    """Enqueue what is due (every 15 seconds)."""
    polling.poll_tick()


def renew_watches() -> None:
    """Renew push subscriptions that are due (hourly, and after connecting)."""
    watches.renew_watches()


def retry_revocations() -> None:
    """Give back consents that the provider could not be told of yet."""
    tokens.retry_revocations()
