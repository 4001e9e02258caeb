"""Metric 3: what a mailbox without news costs, polled in shards by two workers, against RQ's forked job per mailbox."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from bench import cpu
from bench.practice import Mailbox, open_mailbox
from bench.report import Line
from bench.stage import Stage, fresh, wait_until
from portal import queues
from portal.connections.acknowledgements import current_text
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Acknowledgement, Connection, Grant, Membership, User
from portal.sealing import seal_text
from portal.sync.polling import SHARD
from tests import factories

FULL = {"mailboxes": 2_000, "fork_mailboxes": 60, "rounds": 3, "latency_ms": 50, "workers": 2}
QUICK = {"mailboxes": 200, "fork_mailboxes": 10, "rounds": 1, "latency_ms": 50, "workers": 2}
DONE = "SELECT count(*) FROM connection WHERE next_poll_at > now() AND id = ANY(%s)"
MAKE_DUE = "UPDATE connection SET next_poll_at = now() - interval '1 second' WHERE id = ANY(%s)"
FAR = timedelta(days=1)


@dataclass(frozen=True)
class Polled:
    """One round."""

    mailboxes: int
    seconds: float
    workers: float  # CPU seconds
    database: float

    @property
    def rate(self) -> float:
        """Mailboxes a second."""
        return self.mailboxes / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Of workers and database, per mailbox."""
        return (self.workers + self.database) * 1000 / self.mailboxes


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Rounds of shards, then rounds of single forked jobs: two kinds of workers do not share the two cores."""
    with fresh(stage, "bench_poll") as ready:
        ids = connect_many(open_mailbox(ready.sandbox), sizes["mailboxes"])
        ready.sandbox.call("POST", "/knobs", json={"latency_ms": sizes["latency_ms"]})
        few = ids[: sizes["fork_mailboxes"]]
        with ready.workers("poll", count=sizes["workers"]) as workers:
            poll(ready, workers, ids, enqueue_shards)  # connections and statements are ready
            shards = [poll(ready, workers, ids, enqueue_shards) for _ in range(sizes["rounds"])]
        with ready.workers("poll", count=sizes["workers"], module="bench.fork_worker") as workers:
            forks = [poll(ready, workers, few, enqueue_singly) for _ in range(sizes["rounds"])]
    return _lines(shards, forks)


def _lines(shards: list[Polled], forks: list[Polled]) -> list[Line]:
    share = median(run.database / (run.workers + run.database) for run in shards)
    return [
        Line(3, "Idle poll, CPU per mailbox", median(run.cpu_ms for run in shards), "ms", "ms, forked job each",
             median(run.cpu_ms for run in forks), "<= 1/100 of a forked job", at_most=1 / 100,
             note=f"{share:.0%} of it in the database",
             details={"rounds": [run.cpu_ms for run in shards], "fork_rounds": [run.cpu_ms for run in forks]}),
        Line(3, "Idle poll, two workers", median(run.rate for run in shards), "mailboxes/s", "mailboxes/s, forked job each",
             median(run.rate for run in forks), ">= 50x forked jobs", at_least=50,
             note="two workers with 50 in flight at 50 ms carry at most 2,000/s; the stand-in shares the machine",
             details={"rounds": [run.rate for run in shards], "fork_rounds": [run.rate for run in forks]}),
    ]  # fmt: skip


def poll(stage: Stage, workers: list[int], ids: list[UUID], enqueue: Any) -> Polled:
    """Make these mailboxes due, hand them over by `enqueue(ids)`, and wait until all are polled."""
    with psycopg.connect(stage.addresses.database_url, autocommit=True) as watcher:
        watcher.execute(MAKE_DUE, [ids])
        own = (watcher.info.backend_pid,)
        before = (cpu.cpu_seconds(workers), stage.database_cpu(own))
        begun = time.perf_counter()
        enqueue(ids)
        wait_until(lambda: (watcher.execute(DONE, [ids]).fetchone() or (0,))[0] >= len(ids), f"{len(ids)} polls")
        seconds = time.perf_counter() - begun
        after = (cpu.cpu_seconds(workers), stage.database_cpu(own))
    return Polled(len(ids), seconds, after[0] - before[0], after[1] - before[1])


def enqueue_shards(ids: list[UUID]) -> None:
    """As `poll_tick` does."""
    with transaction():
        for start in range(0, len(ids), SHARD):
            queues.enqueue("mail.poll_shard", *ids[start : start + SHARD], on=queues.POLL)


def enqueue_singly(ids: list[UUID]) -> None:
    """A job per mailbox."""
    target = queues.queue(queues.POLL)
    for connection_id in ids:
        target.enqueue_call("bench.fork_worker.poll_one", args=(str(connection_id),), result_ttl=0)


def connect_many(mailbox: Mailbox, count: int) -> list[UUID]:
    """So many people of one practice, each with a grant and a connection. At the stand-in all are the one mailbox."""
    moment, text = now(), current_text()
    with transaction():
        account = factories.make_account()
        addresses = [f"p{number}@lumen.example" for number in range(count)]
        people = [User(id=new_id(), email=address, email_key=address, name=address) for address in addresses]
        grants = [_grant(user, mailbox, number) for number, user in enumerate(people)]
        places = [Membership(account_id=account.id, user_id=user.id, role="provider") for user in people]
        signatures = [
            Acknowledgement(
                account_id=account.id, user_id=user.id, provider="google", text_version=text.version,
                text_sha256=text.sha256, items=list("abcdef"), typed_name=user.name, ip="127.0.0.1", browser="bench",
            )
            for user in people
        ]  # fmt: skip
        connections = [
            Connection(
                id=new_id(), account_id=account.id, user_id=user.id, provider="google", grant_id=grant.id,
                mailbox=user.email, mailbox_key=user.email_key, aliases=[], cursor=mailbox.cursor, state_since=moment,
                connected_at=moment, next_poll_at=moment + FAR,
            )
            for user, grant in zip(people, grants, strict=True)
        ]  # fmt: skip
        for group in (people, grants, places, signatures, connections):
            db.session.add_all(group)
            db.session.flush()
        return [row.id for row in connections]


def _grant(user: User, mailbox: Mailbox, number: int) -> Grant:
    row = Grant(id=new_id(), user_id=user.id, provider="google", subject=f"{mailbox.tokens['sub']}-{number}")
    owner = f"google:{row.subject}"
    row.refresh_token = seal_text(mailbox.tokens["refresh_token"], "grant.refresh_token", owner, row.id)
    row.access_token = seal_text(mailbox.tokens["access_token"], "grant.access_token", owner, row.id)
    row.access_expires_at = now() + timedelta(minutes=50)
    return row
