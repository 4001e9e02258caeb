"""The mails of a measurement: made, the same in every run, of many people who each write a few times.

A mail has the headers that real ones arrive with (of which the portal asks for few), a text and an HTML body; most are
short and some are long, as in life (log-normal).
"""

from __future__ import annotations

import base64
import random
from typing import Any

from tests.services.programs import Sandbox

OWN = "tomas@gmail.example"
PEOPLE = 1_000
CHUNK = 250
WORDS = (
    "swelling softer today bruise appointment Tuesday morning thank you please ice photo doctor forehead treatment "
    "result question week follow visit available after lunch would like move earlier possible dose areas filler "
    "consultation price invoice parking street question tender tomorrow numb evening better small still"
).split()
NOISE = "".join(
    f"Received: from mx{n}.mail.example (mx{n}.mail.example [192.0.2.{n}]) by relay{n}.example with ESMTPS id "
    f"{n:032x} for <{OWN}>; Tue, 24 Nov 2026 09:00:0{n} +0000\r\n"
    for n in range(5)
) + "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=mail.example; s=k1; h=from:to:subject; b=" + "Q" * 340 + "\r\n"


def address_of(person: int) -> str:
    """The address of one of PEOPLE."""
    return f"patient{person:04d}@mail{person % 40}.example"


def senders(count: int, admitted: float) -> list[int]:
    """Who wrote each of `count` mails, so that a share `admitted` is of people numbered below PEOPLE × admitted."""
    chance, known = random.Random(7), int(PEOPLE * admitted)
    wanted = round(count * admitted)
    people = [chance.randrange(known) for _ in range(wanted)] + [
        chance.randrange(known, PEOPLE) for _ in range(count - wanted)
    ]
    chance.shuffle(people)
    return people


def build_mail(number: int, person: int, parent: str = "") -> bytes:
    """One mail of a person to OWN; `parent` is the Message-ID that it answers."""
    chance = random.Random(number)
    words = " ".join(chance.choices(WORDS, k=int(min(6_000, chance.lognormvariate(6, 1)) + 20)))
    pieces = (words[start : start + 300] for start in range(0, len(words), 300))
    html = "".join(f'<p style="margin:0 0 12px;font-family:Arial">{piece}</p>' for piece in pieces)
    head = [
        f"From: Patient {person} <{address_of(person)}>", f"To: Tomas Berg <{OWN}>",
        f"Subject: {'Re: ' if parent else ''}Visit {person}-{number if not parent else 'x'}",
        f"Message-ID: {wire_id(number)}", "Date: Tue, 24 Nov 2026 09:00:00 +0000", "MIME-Version: 1.0",
    ]  # fmt: skip
    if number % 7 == 0:
        head.append(f"Cc: Friend <friend{number}@elsewhere.example>")
    if parent:
        head += [f"In-Reply-To: {parent}", f"References: {parent}"]
    head.append('Content-Type: multipart/alternative; boundary="b"')
    parts = (("plain", words), ("html", f"<html><body>{html}</body></html>"))
    body = "".join(f'--b\r\nContent-Type: text/{kind}; charset="utf-8"\r\n\r\n{text}\r\n' for kind, text in parts)
    return (NOISE + "\r\n".join(head) + "\r\n\r\n" + body + "--b--\r\n").encode()


def wire_id(number: int) -> str:
    """The Message-ID of a mail."""
    return f"<mail-{number:06d}@mail.example>"


def build_mails(count: int, admitted: float) -> list[bytes]:
    """`count` mails, oldest first; every third of a person answers that person's mail before."""
    last: dict[int, int] = {}
    mails = []
    for number, person in enumerate(senders(count, admitted)):
        parent = wire_id(last[person]) if person in last and number % 3 == 0 else ""
        mails.append(build_mail(number, person, parent))
        last[person] = number
    return mails


def deliver(sandbox: Sandbox, mails: list[bytes], mailbox: str = OWN) -> list[str]:
    """Let the mails arrive in a mailbox, as many as one call takes; their ids there."""
    ids: list[str] = []
    for start in range(0, len(mails), CHUNK):
        items: list[dict[str, Any]] = [
            {"to": [mailbox], "raw": base64.urlsafe_b64encode(raw).decode()} for raw in mails[start : start + CHUNK]
        ]
        ids += [found[mailbox] for found in sandbox.deliver_many(items)]
    return ids
