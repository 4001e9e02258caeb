"""Metric 7: a campaign through one real worker to a real mail server, against smtplib sending the same mails there.

Every mail of the product is a row of its own, written as MIME for its recipient, and committed before its end is sent, so
that none leaves twice; smtplib alone has the bytes at hand and keeps nothing.
"""

from __future__ import annotations

import smtplib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
from flask_migrate import upgrade
from redis import Redis
from sqlalchemy import select

from bench import cpu
from bench.practice import add_contacts
from bench.report import Line
from bench.stage import Stage, fresh, wait_until
from config import Settings
from devtools.places import ROOT
from portal import create_app, queues
from portal.database import db, transaction
from portal.lib.clock import now
from portal.models import Account, Contact, User
from portal.sending.deliveries import Recipient, add_deliveries, hand_over
from tests import factories

FULL = {"mails": 3_000, "rounds": 3, "warm_up": 200}
QUICK = {"mails": 150, "rounds": 1, "warm_up": 20}
SAMPLE = 100  # mails whose bytes smtplib sends again and again
PARAGRAPH = "Our calendar for the season is open: consultations on Tuesdays, treatments on the other days, with Dr. Holt. "
TEXT = "Hello {first_name|there},\n\n" + "\n\n".join([PARAGRAPH * 3] * 4) + "\n\nYour team at Lumen\n"
HTML = "<p>Hello {first_name|there},</p>" + f"<p>{PARAGRAPH * 3}</p>" * 4 + "<p><strong>Your team at Lumen</strong></p>"


@dataclass(frozen=True)
class Sent:
    """One round: so many mails, how long it took, and whose CPU seconds it cost."""

    mails: int
    seconds: float
    sender: float
    database: float = 0

    @property
    def rate(self) -> float:
        """Mails a second."""
        return self.mails / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Of sender and database together, per mail; the mail server's is not counted."""
        return (self.sender + self.database) * 1000 / self.mails


@dataclass(frozen=True)
class Sender:
    """An account with a mail server, and everybody it writes to."""

    account: UUID
    user: UUID
    recipients: list[Recipient]


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Both databases, each with rounds of the product and of smtplib in turn."""
    with fresh(stage, "bench_campaign") as ready:
        lines = _on(ready, "PostgreSQL", sizes)
    with _fresh_sqlite(stage) as ready:
        return lines + _on(ready, "SQLite", sizes)


def _on(stage: Stage, name: str, sizes: dict[str, Any]) -> list[Line]:
    sender = _begin(stage, max(sizes["mails"], sizes["warm_up"]))
    ours: list[Sent] = []
    alone: list[Sent] = []
    with stage.workers(queues.BULK) as (worker,):
        _run(stage, worker, sender, sizes["warm_up"])
        for _ in range(sizes["rounds"]):
            ours.append(_run(stage, worker, sender, sizes["mails"]))
            alone.append(_send_alone(stage, sizes["mails"]))
    size = stage.sandbox.sink()[-1]["size"]
    rate, floor = (median(one.rate for one in runs) for runs in (ours, alone))
    spent, least = (median(one.cpu_ms for one in runs) for runs in (ours, alone))
    details = {"rates": [one.rate for one in ours], "smtplib_rates": [one.rate for one in alone],
               "worker_cpu": [one.sender for one in ours], "database_cpu": [one.database for one in ours]}  # fmt: skip
    return [
        Line(7, f"Campaign, {name}", rate, "mails/s", "mails/s, smtplib alone", floor, details=details,
             note=f"one worker, one connection, {size / 1000:.1f} kB a mail; each mail is committed before its end is sent"),
        Line(7, f"Campaign, {name}", spent, "ms CPU/mail", "ms CPU/mail, smtplib alone", least,
             note="worker and database; for smtplib its process; the mail server's CPU is in neither"),
    ]  # fmt: skip


def _begin(stage: Stage, people: int) -> Sender:
    with transaction():
        account = factories.make_account()
        user = factories.make_member(account, "owner")
        factories.make_relay(account, stage.sandbox.smtp_port)
        add_contacts(account.id, [f"guest{number:05d}@people.example" for number in range(people)])
        query = select(Contact.id, Contact.email, Contact.email_key).where(Contact.account_id == account.id)
        return Sender(account.id, user.id, [Recipient(*row) for row in db.session.execute(query.order_by(Contact.email))])


def _start(sender: Sender, mails: int) -> UUID:
    """A running campaign whose deliveries wait; nobody works on it yet."""
    with transaction():
        account, user = db.session.get_one(Account, sender.account), db.session.get_one(User, sender.user)
        values = {"state": "running", "started_at": now(), "total": mails}
        campaign = factories.make_campaign(account, user, subject="Our autumn", text=TEXT, html=HTML, **values)
        add_deliveries(account.id, sender.recipients[:mails], campaign_id=campaign.id)
        return campaign.id


def _run(stage: Stage, worker: int, sender: Sender, mails: int) -> Sent:
    """One campaign from the job's enqueueing to its end. Raises RuntimeError unless the sink holds each mail once."""
    stage.sandbox.clear_sink()
    campaign_id = _start(sender, mails)
    with _watcher(stage, campaign_id) as (is_done, own):
        before = cpu.cpu_seconds([worker]), stage.database_cpu(own)
        begun = time.perf_counter()
        with transaction():
            hand_over(sender.account)
        wait_until(is_done, f"{mails} mails of a campaign")
        seconds = time.perf_counter() - begun
        after = cpu.cpu_seconds([worker]), stage.database_cpu(own)
    found = stage.sandbox.call("GET", "/sink/count")
    if found != {"mails": mails, "recipients": mails}:
        raise RuntimeError(f"the sink holds {found} of {mails} mails")
    return Sent(mails, seconds, after[0] - before[0], after[1] - before[1])


@contextmanager
def _watcher(stage: Stage, campaign_id: UUID) -> Iterator[tuple[Callable[[], bool], tuple[int, ...]]]:
    """What tells whether the campaign is done, and the database processes that only it uses."""
    url = stage.addresses.database_url
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as file:
            query = "SELECT state FROM campaign WHERE id = ?"
            yield lambda: file.execute(query, [campaign_id.hex]).fetchone() == ("done",), ()
        return
    with psycopg.connect(url, autocommit=True) as server:
        query = "SELECT state FROM campaign WHERE id = %s"
        yield lambda: server.execute(query, [campaign_id]).fetchone() == ("done",), (server.info.backend_pid,)


def _send_alone(stage: Stage, mails: int) -> Sent:
    """The mails that the product has just sent, once more by smtplib over one connection."""
    sample = [
        (mail["mail_from"], mail["rcpts"], stage.sandbox.sink_raw(mail["id"]))
        for mail in stage.sandbox.sink(with_text=False)[:SAMPLE]
    ]
    with smtplib.SMTP("127.0.0.1", stage.sandbox.smtp_port) as client:
        client.ehlo()
        cpu_before, begun = time.process_time(), time.perf_counter()
        for mail_from, recipients, raw in islice(cycle(sample), mails):
            client.sendmail(mail_from, recipients, raw)
        return Sent(mails, time.perf_counter() - begun, time.process_time() - cpu_before)


@contextmanager
def _fresh_sqlite(stage: Stage) -> Iterator[Stage]:
    """The same parts with a new SQLite file, as `./dev run` uses it."""
    url = f"sqlite:///{stage.folder / 'campaign.sqlite3'}"
    Redis.from_url(stage.environ["REDIS_URL"]).flushall()
    stage.sandbox.reset()
    environ = stage.environ | {"DATABASE_URL": url}
    app = create_app(Settings.from_environment(environ))
    with app.app_context():
        upgrade(str(ROOT / "migrations"))
        try:
            yield replace(stage, addresses=replace(stage.addresses, database_url=url), environ=environ, app=app)
        finally:
            db.session.remove()
            db.engine.dispose()
