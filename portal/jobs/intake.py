"""Jobs of the SMTP intake."""

from __future__ import annotations

from uuid import UUID

from portal.intake import filing


def file_mail(intake_id: str) -> None:
    """Read, decide and file one kept mail."""
    filing.file_mail(UUID(intake_id))


def sweep() -> None:
    """Hand over again what is due (every 15 seconds)."""
    filing.sweep()
