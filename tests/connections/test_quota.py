"""The quota in Redis: spent before the call, shared by all workers, and nothing waits for a Redis that is away."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest
from redis import Redis

from devtools.places import free_port
from portal.connections.quota import Quota
from portal.lib.http import Http
from portal.providers.google.client import GmailClient
from portal.providers.google.mail import GmailProvider
from portal.queues import connect
from portal.rules.facts import MailFacts
from tests.providers.adapters import Tokens
from tests.providers.conftest import letter
from tests.services.programs import Sandbox

AMY, PAT = "amy@practice.example", "pat@gmail.com"


@dataclass(frozen=True)
class Units:
    """The two quotas, in units per minute."""

    gmail_units_per_minute: int = 6000
    gmail_project_units_per_minute: int = 1_200_000


@pytest.fixture
def redis(redis_url: str) -> Redis:
    client = connect(redis_url)
    client.flushall()
    return client


def seconds_for(quota: Quota, *spends: tuple[str, int]) -> float:
    """How long spending takes, all at once."""

    async def spend_all() -> None:
        await asyncio.gather(*(quota.spend(mailbox, units) for mailbox, units in spends))

    started = time.monotonic()
    asyncio.run(spend_all())
    return time.monotonic() - started


def test_a_minutes_units_are_there_at_once_and_then_come_steadily(redis: Redis) -> None:
    quota = Quota(redis, Units())
    assert seconds_for(quota, *[(AMY, 980)] * 6) < 0.5
    assert 0.7 < seconds_for(quota, (AMY, 100)) < 2


def test_mailboxes_do_not_wait_for_each_other_but_share_the_project(redis: Redis) -> None:
    quota = Quota(redis, Units(6000, 9000))
    assert seconds_for(quota, (AMY, 5880), (PAT, 2940)) < 0.5
    assert 0.4 < seconds_for(quota, ("jo@x.example", 90)) < 2


def test_workers_share_the_units(redis: Redis) -> None:
    assert seconds_for(Quota(redis, Units()), (AMY, 5880)) < 0.5
    assert seconds_for(Quota(redis, Units()), (AMY, 60)) > 0.4


def test_small_calls_are_paid_for_together_with_the_next(redis: Redis) -> None:
    quota = Quota(redis, Units())
    seconds_for(quota, *[(AMY, 2)] * 3)
    assert redis.dbsize() == 0
    seconds_for(quota, (AMY, 20))
    [key] = [key for key in redis.keys("quota:*") if key != b"quota:project"]
    assert 5880 - 26 <= float(redis.hget(key, "units") or 0) < 5880 - 25


def test_a_call_that_costs_more_than_a_minute_gives_leaves_a_debt_and_is_not_blocked(redis: Redis) -> None:
    quota = Quota(redis, Units(600))
    assert seconds_for(quota, (AMY, 610)) < 0.5
    assert 1.5 < seconds_for(quota, (AMY, 10)) < 4


@pytest.mark.requirement("OAU-8")
def test_no_address_stands_in_redis(redis: Redis) -> None:
    seconds_for(Quota(redis, Units()), (AMY, 20))
    assert not [key for key in redis.keys("*") if b"amy" in key]


@pytest.mark.fault(5)
@pytest.mark.fault(7)
def test_without_redis_nothing_waits() -> None:
    quota = Quota(connect(f"redis://127.0.0.1:{free_port()}/0"), Units(60))
    assert seconds_for(quota, *[(AMY, 1000)] * 50) < 2.5


def test_under_the_enforced_quota_the_units_are_used_and_none_is_wasted(redis: Redis, sandbox: Sandbox) -> None:
    """What the provider gives goes into messages, and no call comes back refused."""
    sandbox.add_mailbox(AMY)
    sandbox.add_mailbox(PAT)
    ids = [sandbox.deliver(letter(number), AMY, PAT)[AMY] for number in range(17)] * 10
    per_minute = 3000
    sandbox.call("POST", "/quota", json={"per_user_per_minute": per_minute})
    sandbox.call("DELETE", "/requests")
    quota, tokens = Quota(redis, Units(per_minute)), Tokens(str(sandbox.grant(AMY)["access_token"]))

    async def fetch() -> int:
        async with Http(max_connections=8) as http:
            client = GmailClient(http, sandbox.url, tokens, lambda units: quota.spend(AMY, units))
            return sum(isinstance(item, MailFacts) for item in await GmailProvider(client).headers(ids, frozenset()))

    started = time.monotonic()
    assert asyncio.run(fetch()) == len(ids)
    given = per_minute + (time.monotonic() - started) * per_minute / 60
    spent = sandbox.call("GET", "/quota")["spent"][AMY]
    assert spent == 20 * len(ids)
    assert not [r for r in sandbox.requests() if r["status"] in (403, 429)]
    assert spent / given > 0.95
