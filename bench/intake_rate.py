"""Metric 9: mails a second through the SMTP intake to a BCC address, against bare aiosmtpd that throws them away.

The intake looks each address up, reads who wrote, seals the mail and commits it before it says 250; the floor only reads
the data. Both are fed by the same clients, 50 mails to a connection: the intake shows out who sends more than 100.
"""

from __future__ import annotations

import os
import smtplib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from sqlalchemy import func, select

from bench.corpus import build_mail
from bench.report import Line
from bench.stage import Stage, fresh
from devtools.places import ROOT, free_port
from portal.bcc.service import address_of
from portal.database import db, transaction
from portal.models import IntakeMail
from portal.rules.routing import Route, routed_address
from tests import factories
from tests.services.processes import running

FULL = {"mails": 2_000, "clients": 4, "rounds": 3}
PER_CONNECTION = 50
QUICK = {"mails": 80, "clients": 4, "rounds": 1}


class Sink:
    """A handler that takes whatever comes and keeps nothing."""

    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:
        """Read, and forgotten."""
        return "250 OK"


def measure(stage: Stage, sizes: dict[str, Any]) -> list[Line]:
    """Rounds of the intake and of the floor in turn."""
    with fresh(stage, "bench_intake") as ready, _intake(ready) as port, _bare(stage) as bare_port:
        owner, address = _owner(ready)
        ours, floor = [], []
        for number in range(sizes["rounds"]):
            mails = [_mail(owner, number * sizes["mails"] + n) for n in range(sizes["mails"])]
            ours.append(_feed(port, owner, address, mails, sizes["clients"]))
            floor.append(_feed(bare_port, owner, address, mails, sizes["clients"]))
        kept = db.session.scalar(select(func.count()).select_from(IntakeMail))
        if kept != sizes["rounds"] * sizes["mails"]:
            raise RuntimeError(f"{kept} of {sizes['rounds'] * sizes['mails']} mails were kept")
        note = f"{sizes['clients']} clients at once; each mail is sealed and committed before its 250; all {kept} are there"
        details = {"rates": ours, "bare_rates": floor}
        return [
            Line(
                9, "SMTP intake", median(ours), "mails/s", "mails/s, bare aiosmtpd", median(floor), note=note,
                details=details,
            )
        ]  # fmt: skip


def _owner(stage: Stage) -> tuple[str, str]:
    """A person's sign-in address and their BCC address."""
    with transaction():
        account = factories.make_account()
        user = factories.make_member(account, "provider")
        token = address_of(account.id, user.id).token
        return user.email, routed_address(Route.USER, token, stage.environ["REPLY_DOMAIN"])


def _mail(owner: str, number: int) -> bytes:
    """One of the corpus, as if the owner had written it."""
    head, _, body = build_mail(number, number % 1_000).partition(b"\r\n\r\n")
    fields = [field for field in head.split(b"\r\n") if not field.startswith((b"From:", b"To:"))]
    return b"\r\n".join([b"From: " + owner.encode(), b"To: patient@mail.example", *fields]) + b"\r\n\r\n" + body


def _feed(port: int, sender: str, address: str, mails: list[bytes], clients: int) -> float:
    """Mails a second through so many clients at once. Raises what smtplib raises for a mail that is not taken."""
    troubles: list[BaseException] = []

    def send(share: list[bytes]) -> None:
        try:
            for first in range(0, len(share), PER_CONNECTION):
                with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
                    for raw in share[first : first + PER_CONNECTION]:
                        client.sendmail(sender, [address], raw)
        except (OSError, smtplib.SMTPException) as error:
            troubles.append(error)

    threads = [threading.Thread(target=send, args=(mails[first::clients],)) for first in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]
    return len(mails) / (time.perf_counter() - begun)


@contextmanager
def _intake(stage: Stage) -> Iterator[int]:
    """The intake as a process of its own; its port. No worker runs, so that nothing else takes the cores."""
    port = free_port()
    environ = os.environ | stage.environ | {"INTAKE_PORT": str(port)}
    command = [sys.executable, "-m", "portal.intake"]
    with running(command, log=stage.folder / "intake.log", port=port, env=environ, cwd=ROOT):
        yield port


@contextmanager
def _bare(stage: Stage) -> Iterator[int]:
    """aiosmtpd as it comes, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-c", f"from bench.intake_rate import serve_bare; serve_bare({port})"]
    with running(command, log=stage.folder / "bare.log", port=port, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT):
        yield port


def serve_bare(port: int) -> None:
    """Listen until the process is ended. Lines of real mails are longer than RFC 5321 lets aiosmtpd take."""
    SMTP.line_length_limit = 1_000_000
    Controller(Sink(), hostname="127.0.0.1", port=port, data_size_limit=36_700_160).start()
    threading.Event().wait()
