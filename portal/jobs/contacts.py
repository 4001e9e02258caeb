"""Jobs of the contacts."""

from __future__ import annotations

from uuid import UUID

from portal.contacts import import_running


def run_import(import_id: str) -> None:
    """Run a started import."""
    import_running.run(UUID(import_id))


def sweep_imports() -> None:
    """Hand over again what was started and never ended (every minute)."""
    import_running.sweep()
