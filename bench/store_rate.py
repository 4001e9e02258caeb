"""Metric 5: the portal's own writer, 500 messages a transaction, against COPY of the same rows and a commit per message.

Every message is admitted and its text sealed; the rows are a message, its body, people, decision, conversation and thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email import message_from_bytes
from email.utils import parseaddr
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from bench.corpus import OWN, build_mails
from bench.naive import store_mail
from bench.practice import Mailbox, connect
from bench.report import Line
from bench.stage import Stage, fresh, use_lz4
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Contact, ConversationThread, Decision
from portal.providers.types import RemoteMail
from portal.rules.addresses import Address
from portal.rules.facts import Direction, MailFacts
from portal.rules.sync import decide
from portal.sync.apply import ORDER, Batch
from portal.sync.facts import gather
from portal.sync.lease import Run, take
from portal.sync.met import Met
from portal.sync.rows import Prepared
from portal.sync.writing import write_page

FULL = {"messages": 5_000, "batch": 500, "orm_messages": 300, "rounds": 3}
QUICK = {"messages": 500, "batch": 250, "orm_messages": 50, "rounds": 1}


@dataclass(frozen=True)
class Rates:
    """Messages a second of one round."""

    writer: float
    page: float
    copy: float
    orm: float


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Interleaved rounds, each into new accounts of one database."""
    with fresh(stage, "bench_store") as ready:
        mails = [_remote(number, raw) for number, raw in enumerate(build_mails(sizes["messages"], 1.0))]
        _round(mails[: sizes["batch"]], sizes)  # statements are compiled
        rounds = [_round(mails, sizes) for _ in range(sizes["rounds"])]
        compression = use_lz4(ready.addresses.database_url)
    writer, copy, orm, page = (median(getattr(one, name) for one in rounds) for name in ("writer", "copy", "orm", "page"))
    details = {name: [getattr(one, name) for one in rounds] for name in ("writer", "copy", "orm", "page")}
    return [
        Line(5, f"Store, batch {sizes['batch']}", writer, "msgs/s", "msgs/s, COPY of the same rows", copy, ">= .6 of COPY",
             at_least=0.6, note=f"TOAST compression {compression}; what is sealed cannot be compressed", details=details),
        Line(5, f"Store, batch {sizes['batch']}", writer, "msgs/s", "msgs/s, ORM and commit per message", orm,
             ">= 8x the ORM", at_least=8,
             note=f"the whole transaction of a page, with look-ups, decisions, sealing and audit: {page:,.0f} msgs/s"),
    ]  # fmt: skip


def _round(mails: list[RemoteMail], sizes: dict[str, Any]) -> Rates:
    size = sizes["batch"]
    groups = [mails[start : start + size] for start in range(0, len(mails), size)]
    return Rates(
        writer=len(mails) / sum(_write(batch) for batch in map(_Rows(), groups)),
        page=len(mails) / _write_pages(groups),
        copy=len(mails) / sum(_copy(batch) for batch in map(_Rows(), groups)),
        orm=sizes["orm_messages"] / _store_singly(mails[: sizes["orm_messages"]]),
    )


def _begin() -> Run:
    """A new account with every sender as contact, and a connection that is held."""
    mailbox = Mailbox(OWN, "1", {"sub": new_id().hex, "refresh_token": "r", "access_token": "a"})
    run = take(connect(mailbox, 1.0, 0))
    assert isinstance(run, Run)
    return run


class _Rows:
    """Makes the rows of one group of mails after another, as the transaction of a page does, and writes none."""

    def __init__(self) -> None:
        self.run = _begin()

    def __call__(self, mails: list[RemoteMail]) -> Batch:
        with transaction():
            batch = Batch(self.run, gather(self.run, [mail.facts for mail in mails]), frozenset())
            for mail in mails:
                batch.add(mail.facts, decide(mail.facts, batch.around.around(mail.facts)), Prepared(new_id(), mail))
        return batch


def _write(batch: Batch) -> float:
    """Seconds of the portal's writer and its commit."""
    begun = time.perf_counter()
    with transaction():
        batch.write()
    return time.perf_counter() - begun


def _write_pages(groups: list[list[RemoteMail]]) -> float:
    """Seconds of whole pages."""
    run = _begin()
    begun = time.perf_counter()
    for mails in groups:
        content = {mail.facts.provider_message_id: Prepared(new_id(), mail) for mail in mails}
        write_page(run, Met(mails=[mail.facts for mail in mails], content=content), "2")
    return time.perf_counter() - begun


def _copy(batch: Batch) -> float:
    """Seconds of the same rows through COPY, table by table, on a connection of its own."""
    tables = [(model.__table__, batch.new[model]) for model in ORDER]
    tables += [(ConversationThread.__table__, batch.threads), (Decision.__table__, batch.decisions)]
    url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        begun = time.perf_counter()
        for table, values in tables:
            if values:
                names = ", ".join(f'"{name}"' for name in values[0])
                with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN'.encode()) as copy:
                    for row in values:
                        copy.write_row(list(row.values()))
        connection.commit()
        return time.perf_counter() - begun


def _store_singly(mails: list[RemoteMail]) -> float:
    """Seconds of the same content as objects of the ORM, each mail in a transaction of its own."""
    run = _begin()
    with transaction() as session:
        query = session.query(Contact.email_key, Contact.id).filter(Contact.account_id == run.account_id)
        contacts: dict[str, UUID] = dict(query.tuples())
    begun = time.perf_counter()
    for mail in mails:
        assert mail.facts.sender
        with transaction():
            store_mail(run, Prepared(new_id(), mail), contacts[mail.facts.sender.key])
    return time.perf_counter() - begun


def _remote(number: int, raw: bytes) -> RemoteMail:
    """A mail as the provider's adapter hands it over."""
    read = message_from_bytes(raw)
    text, html = (str(part.get_payload()).rstrip("\r\n") for part in read.walk() if not part.is_multipart())
    name, address = parseaddr(read["From"])
    references = tuple((read["References"] or "").split())
    thread = references[0] if references else read["Message-ID"]
    facts = MailFacts(
        f"m{number:08x}", thread[1:20], Direction.INBOUND, now(), Address(address, address, name),
        to=(Address(OWN, OWN, "Tomas Berg"),), internet_message_id=read["Message-ID"], references=references,
    )  # fmt: skip
    return RemoteMail(facts, read["Subject"], text, html, size=len(raw))
