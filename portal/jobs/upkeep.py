"""Jobs that keep the house itself in order."""

from __future__ import annotations

from portal import queues


def clean_registries() -> None:
    """Forget what dead workers left behind in RQ's registries."""
    queues.forget_dead()
