"""Jobs of the automations."""

from __future__ import annotations

from uuid import UUID

from portal.automations import due


def run(account_id: str) -> None:
    """Decide for the new contacts of an account."""
    due.make_due_deliveries(UUID(account_id))


def sweep() -> None:
    """Hand over again every account with an automation (every 30 seconds): Redis may have been away."""
    due.sweep()
