"""Quota units as buckets in Redis, one per mailbox and one for the project, spent before each call.

A bucket holds a minute's units and refills steadily. Redis keeps the time, so that workers need not agree on it. Without
Redis nothing waits: the provider's own limit (429) is obeyed all the same, only later.
"""

from __future__ import annotations

import asyncio
import random
import time
from hashlib import blake2s
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from portal.providers.errors import Limited

LONGEST_WAIT = 180.0  # seconds; a caller that got nothing for so long comes back in another run
AWAY_SECONDS = 5.0  # how long a Redis that failed is not asked again
SLACK = 0.98  # of a minute's units are held at most: the provider's bucket may have begun a moment after ours
SMALL = 10  # units; calls below are paid for together with the next larger one

TAKE = """
local moment = redis.call('TIME')
local now = moment[1] * 1000 + math.floor(moment[2] / 1000)
local cost, wait, levels = tonumber(ARGV[1]), 0, {}
for i, key in ipairs(KEYS) do
  local per_minute = tonumber(ARGV[i + 2])
  local most = per_minute * ARGV[2]
  local kept = redis.call('HMGET', key, 'units', 'at')
  local level = tonumber(kept[1]) or most
  local at = tonumber(kept[2]) or now
  level = math.min(most, level + math.max(0, now - at) * per_minute / 60000)
  local needed = math.min(cost, most)
  if level < needed then wait = math.max(wait, math.ceil((needed - level) * 60000 / per_minute)) end
  levels[i] = level
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'units', tostring(levels[i] - cost), 'at', string.format('%.0f', now))
  redis.call('PEXPIRE', key, 180000)
end
return 0
"""


class QuotaSettings(Protocol):
    """The provider's quota, in units per minute."""

    @property
    def gmail_units_per_minute(self) -> int: ...

    @property
    def gmail_project_units_per_minute(self) -> int: ...


class Quota:
    """The units of all mailboxes of this project, shared by all workers."""

    def __init__(self, redis: Redis, settings: QuotaSettings) -> None:
        self._take = redis.register_script(TAKE)
        self._per_mailbox = settings.gmail_units_per_minute
        self._per_project = settings.gmail_project_units_per_minute
        self._owed: dict[str, int] = {}
        self._away_until = 0.0

    async def spend(self, mailbox_key: str, units: int) -> None:
        """Take `units` for a mailbox, waiting until there are enough. Raises Limited after three minutes of waiting."""
        units += self._owed.pop(mailbox_key, 0)
        if units < SMALL:
            self._owed[mailbox_key] = units
            return
        waited = 0.0
        while wait := self._try(mailbox_key, units):
            if waited > LONGEST_WAIT:
                raise Limited("the quota of this minute stays used up", seconds=60)
            await asyncio.sleep(wait)
            waited += wait

    def _try(self, mailbox_key: str, units: int) -> float:
        """Take the units and answer 0.0, or answer the seconds to wait for them."""
        if time.monotonic() < self._away_until:
            return 0.0
        keys = [f"quota:{blake2s(mailbox_key.encode(), digest_size=12).hexdigest()}", "quota:project"]
        try:
            wait = int(self._take(keys=keys, args=[units, SLACK, self._per_mailbox, self._per_project]))
        except (RedisError, OSError):
            self._away_until = time.monotonic() + AWAY_SECONDS
            return 0.0
        return wait / 1000 + random.uniform(0, 0.005) if wait else 0.0
