"""What to do where a real part cannot be had: say it loudly, and in CI fail."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

MISSING: list[str] = []


def unavailable(part: str, remedy: str) -> NoReturn:
    """Skip the asking test, or fail it under CI=true. `conftest` repeats every missing part at the end of the run."""
    text = f"{part} is not available here: {remedy}"
    if text not in MISSING:
        MISSING.append(text)
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)
