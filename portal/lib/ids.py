"""Row ids: UUIDs of version 7, so that new rows sort to the end of an index and say nothing about their count."""

from __future__ import annotations

import os
import secrets
import time
from uuid import UUID


def new_id() -> UUID:
    """A fresh UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then randomness."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return UUID(int=value)


def new_token() -> str:
    """26 characters of lower-case base32, 130 bits: unguessable, and fit for the local part of an address."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))
