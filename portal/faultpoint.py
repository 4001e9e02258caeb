"""Points at which a test can kill the process, as a power cut would: `CRASH_AT=page-written` and the like."""

from __future__ import annotations

import os
import signal

from flask import current_app

SYNC_POINTS = ("headers-read", "bodies-read", "page-written", "page-committed", "catch-up-begun")
SEND_POINTS = ("mail-claimed", "mail-handed", "mail-taken", "mail-settled")  # of one mail, also of one among many
INTAKE_POINTS = ("intake-kept", "intake-filed")


def crash_point(name: str) -> None:
    """End the process without a word when the settings ask for it here. Refused in production by the settings."""
    if current_app.extensions["settings"].crash_at == name:
        os.kill(os.getpid(), signal.SIGKILL)
