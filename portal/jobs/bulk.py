"""Jobs of bulk and workflow mail."""

from __future__ import annotations

from uuid import UUID

from portal.campaigns import preparing
from portal.sending import deliveries


def run(account_id: str) -> None:
    """Send what is due in one account for some seconds."""
    deliveries.run(UUID(account_id))


def prepare(campaign_id: str) -> None:
    """Make the deliveries of a started campaign."""
    preparing.prepare(UUID(campaign_id))


def sweep() -> None:
    """Hand over again what is due, and what a worker left behind (every 15 seconds)."""
    preparing.sweep()
    deliveries.sweep()
