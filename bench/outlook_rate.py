"""Metric 8: Outlook messages a second through one real worker, against the same mails through Gmail in the same run.

Only threads that began with a mail from the CRM sync with Outlook, so a share of the mails answer such mails; the others are
met and left out by their headers.
"""

from __future__ import annotations

from statistics import median
from typing import Any
from uuid import UUID

from bench.corpus import address_of, build_mail, deliver, senders
from bench.practice import Mailbox, connect, open_mailbox
from bench.report import Line
from bench.stage import Stage, fresh
from bench.sync_run import Synced, sync
from portal.conversations.queries import contacts_by_key
from portal.database import db, transaction
from portal.models import Connection
from tests import factories

FULL = {"mails": 1_500, "rounds": 3}
QUICK = {"mails": 60, "rounds": 1}
SHARE = 0.22  # of the mails answer a mail from the CRM
BOXES = {"microsoft": "tomas@outlook.example", "google": "tomas@gmail.example"}


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Rounds of both providers in turn, each mailbox filled once."""
    with fresh(stage, "bench_outlook") as ready, ready.workers("push") as (worker,):
        people = senders(sizes["mails"], SHARE)
        mails = [build_mail(number, person, _asked(person)) for number, person in enumerate(people)]
        boxes = {name: open_mailbox(ready.sandbox, address, provider=name) for name, address in BOXES.items()}
        for address in BOXES.values():
            deliver(ready.sandbox, mails, address)
        runs: dict[str, list[Synced]] = {name: [] for name in BOXES}
        for _round in range(sizes["rounds"]):
            for name, box in boxes.items():
                runs[name].append(sync(ready, worker, _connect(box, people), len(mails)))
    _require_logged([run.logged for name in BOXES for run in runs[name]], round(len(people) * SHARE))
    return [_line(runs["microsoft"], runs["google"])]


def _require_logged(found: list[int], expected: int) -> None:
    if any(count != expected for count in found):
        raise RuntimeError(f"logged {found} of {expected} mails")


def _line(ours: list[Synced], floor: list[Synced]) -> Line:
    return Line(
        8, "Outlook sync", median(run.rate for run in ours), "msgs/s", "msgs/s, the same mails by Gmail",
        median(run.rate for run in floor),
        note=f"no latency; Outlook {median(run.cpu_ms for run in ours):.2f} ms CPU a message, "
        f"Gmail {median(run.cpu_ms for run in floor):.2f} ms; {ours[0].logged} of {ours[0].mails} logged by each; the "
        f"stand-in takes {median(run.stand_in * 1000 / run.mails for run in ours):.2f} ms a message for Outlook, "
        f"{median(run.stand_in * 1000 / run.mails for run in floor):.2f} ms for Gmail",
        details={"rates": [run.rate for run in ours], "gmail_rates": [run.rate for run in floor]},
    )  # fmt: skip


def _asked(person: int) -> str:
    """The Message-ID of the mail that was sent to a person from the CRM."""
    return f"<from-the-crm-{person:04d}@mail.example>"


def _connect(box: Mailbox, people: list[int]) -> UUID:
    """A new account that has written to everybody who is a contact, and its connection to the mailbox."""
    connection_id = connect(box, SHARE)
    with transaction():
        row = db.session.get_one(Connection, connection_id)
        wanted = {address_of(person): person for person in people}
        for key, contact in contacts_by_key(row.account_id, set(wanted)).items():
            conversation = factories.make_conversation(contact, row.user, connection=row, started_by="crm")
            factories.make_message(
                conversation, direction="outbound", origin="crm", internet_message_id=_asked(wanted[key]), state="sent",
            )  # fmt: skip
    return connection_id
