"""Metric 6: deciding on 500 mails of 500 people, against many contacts, users and threads.

The portal gathers what it knows around the batch (one statement per table) and then decides in memory. Beside it: the same
addresses looked up in dicts that are in memory already, and 500 single queries that find the contact only.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from sqlalchemy import text

from bench.practice import Mailbox, connect
from bench.report import Line
from bench.stage import Stage, fresh
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Connection
from portal.rules.addresses import Address
from portal.rules.facts import Direction, MailFacts
from portal.rules.sync import decide
from portal.sync.facts import gather
from portal.sync.lease import Run, take
from portal.sync.sets import reading
from tests import factories

FULL = {"addresses": 500, "few": 10_000, "many": 1_000_000, "users": 200, "threads": 20_000, "rounds": 15}
QUICK = {"addresses": 500, "few": 1_000, "many": 20_000, "users": 20, "threads": 500, "rounds": 3}
ADD_CONTACTS = text("""
    INSERT INTO contact (id, created_at, account_id, first_name, last_name, name_key, email, email_key, phone, notes, source,
                         excluded_from_sync)
    SELECT gen_random_uuid(), now(), :account, '', '', '', address, address, '', '', 'import', false
    FROM (SELECT 'person' || n || '@mail' || n % 5000 || '.example' AS address FROM generate_series(1, :count) AS n) AS made
""")
ADD_THREADS = text("""
    INSERT INTO conversation_thread (id, created_at, account_id, conversation_id, connection_id, provider_thread_id)
    SELECT gen_random_uuid(), now(), :account, :conversation, :connection, 'thread-' || n
    FROM generate_series(1, :count) AS n
""")
ONE = "SELECT id FROM contact WHERE account_id = %s AND email_key = %s ORDER BY created_at LIMIT 1"


@dataclass
class Times:
    """Milliseconds of each round."""

    gather: list[float]
    decide: list[float]
    dicts: list[float]
    singly: list[float]

    @property
    def both(self) -> float:
        """Gather and decide, median."""
        return median(self.gather) + median(self.decide)


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """The same batch against a small and a large practice."""
    with fresh(stage, "bench_decide") as ready:
        few, many = (_times(ready, sizes, sizes[name]) for name in ("few", "many"))
    dicts, singly = median(many.dicts), median(many.singly)
    name = f"Decide {sizes['addresses']} addresses, {sizes['many']:,} contacts"
    return [
        Line(6, name, many.both, "ms", "ms, dicts in memory", dicts, "<= 10x dicts (<= 2.5 ms)", at_most=10,
             note=f"gathering {median(many.gather):.1f} ms, a statement per table by SQLAlchemy where the target counts "
             f"one look-up; {sizes['addresses']} pure decisions {median(many.decide):.1f} ms",
             details={"gather_ms": many.gather, "decide_ms": many.decide}),
        Line(6, name, many.both, "ms", "ms, 500 single queries", singly, "<= 1/10 of single queries", at_most=0.1,
             note=f"gathering alone: {singly / median(many.gather):.1f}x faster; single queries find the contact only"),
        Line(6, "Decide, large practice against small", many.both, "ms", f"ms, {sizes['few']:,} contacts", few.both, "<= 2x",
             at_most=2),
    ]  # fmt: skip


def _times(stage: Stage, sizes: dict[str, Any], contacts: int) -> Times:
    run = _practice(contacts, sizes)
    mails = _mails(sizes["addresses"], contacts, sizes["threads"])
    times = Times([], [], [], [])
    with psycopg.connect(stage.addresses.database_url, autocommit=True) as connection:
        for _round in range(sizes["rounds"] + 2):
            _gather_and_decide(run, mails, times)
            begun = time.perf_counter()
            for mail in mails:
                connection.execute(ONE, [run.account_id, mail.sender.key if mail.sender else ""], prepare=True).fetchone()
            times.singly.append((time.perf_counter() - begun) * 1000)
    for name in ("gather", "decide", "dicts", "singly"):
        del getattr(times, name)[:2]  # statements compiled, pages of the tables in memory
    return times


def _gather_and_decide(run: Run, mails: list[MailFacts], times: Times) -> None:
    with reading():
        begun = time.perf_counter()
        around = gather(run, mails)
        gathered = time.perf_counter()
        logged = sum(decide(mail, around.around(mail)).outcome.value == "logged" for mail in mails)
        decided = time.perf_counter()
    if logged != len(mails) // 2:
        raise RuntimeError(f"{logged} of {len(mails)} mails are of contacts")
    contacts, users, threads = around.contacts, around.user_keys, around.by_thread
    looked = time.perf_counter()
    for mail in mails:
        key = mail.sender.key if mail.sender else ""
        (contacts.get(key), key in users, threads.get(mail.provider_thread_id))
    times.gather.append((gathered - begun) * 1000)
    times.decide.append((decided - gathered) * 1000)
    times.dicts.append((time.perf_counter() - looked) * 1000)


def _practice(contacts: int, sizes: dict[str, Any]) -> Run:
    """An account with so many contacts, other users, and threads of one conversation; its connection is held."""
    tokens = {"sub": new_id().hex, "refresh_token": "r", "access_token": "a"}
    connection_id = connect(Mailbox(f"owner{contacts}@gmail.example", "1", tokens), 0.001, 0)
    with transaction():
        connection = db.session.get_one(Connection, connection_id)
        account = connection.account
        for _number in range(sizes["users"]):
            factories.make_member(account)
        contact = factories.make_contact(account, "somebody@elsewhere.example")
        conversation = factories.make_conversation(contact, connection.user, connection)
        values = {"account": account.id, "conversation": conversation.id, "connection": connection_id}
        db.session.execute(ADD_CONTACTS, {"account": account.id, "count": contacts})
        db.session.execute(ADD_THREADS, values | {"count": sizes["threads"]})
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as free:
        free.execute(text("VACUUM ANALYZE"))
    run = take(connection_id)
    assert isinstance(run, Run)
    return run


def _mails(count: int, contacts: int, threads: int) -> list[MailFacts]:
    """Every second one of a contact, every fourth in a thread that is known."""
    chance = random.Random(11)
    found = []
    for number, person in enumerate(chance.sample(range(1, contacts), count)):
        address = f"person{person}@mail{person % 5000}.example" if number % 2 == 0 else f"nobody{number}@void.example"
        thread = f"thread-{chance.randrange(1, threads)}" if number % 4 == 0 else f"other-{number}"
        found.append(
            MailFacts(
                f"m{number}", thread, Direction.INBOUND, now(), Address(address, address),
                to=(Address("me@gmail.example", "me@gmail.example"),), internet_message_id=f"<{number}@mail.example>",
            )
        )  # fmt: skip
    return found
