"""The limits' counters belong to the extension, not to an application: each new application takes them along.

A test that makes another application (on a Redis that is not there, say) leaves the counters with it, and the tests behind it
would count in a process's memory that nobody empties. So they are led back before each test.
"""

from __future__ import annotations

from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from portal.extensions import limiter


def count_in(redis_url: str) -> None:
    """Let the limits count in this Redis, with nothing counted in the fallback's memory."""
    storage = storage_from_string(redis_url)
    limiter._storage, limiter._limiter = storage, FixedWindowRateLimiter(storage)
    limiter._storage_dead = False
    limiter._fallback_limiter = FixedWindowRateLimiter(MemoryStorage())
