"""What a mail server does wrong on request: refuse, defer, hang, close the connection, bounce later."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from sandbox.inputs import BadInput, Types, check_fields

_FIELDS: dict[str, Types] = {
    "kind": str, "times": int, "after": int, "recipient": str, "seconds": (int, float), "status": str,
}  # fmt: skip


class Kind(NamedTuple):
    """One kind of fault: where it bites, and its words for people."""

    stage: str  # connect, mail, rcpt, data
    title: str
    text: str


KINDS = {
    "closed": Kind("connect", "Away", "Answers 421 to each new connection and closes it."),
    "auth_required": Kind("mail", "Wants a sign-in", "Answers 530 to MAIL until the sender has signed in."),
    "refuse_recipient": Kind("rcpt", "Recipient refused", "Answers 550 5.1.1 to RCPT: no such address."),
    "defer_recipient": Kind("rcpt", "Recipient put off", "Answers 451 4.7.1 to RCPT: greylisting."),
    "refuse_data": Kind("data", "Mail refused", "Answers 554 5.7.1 after the whole mail, and takes nothing."),
    "defer_data": Kind("data", "Mail put off", "Answers 452 4.3.1 after the whole mail, and takes nothing."),
    "drop_before_accept": Kind("data", "Lost before it was taken", "Closes after the whole mail, and takes nothing."),
    "drop_after_accept": Kind("data", "Taken, but the answer is lost", "Takes the mail and closes without its 250."),
    "stall": Kind("data", "Slow to answer", "Takes the mail and waits before its 250."),
    "bounce": Kind("data", "Bounces", "Takes the mail and sends a delivery report to its envelope sender."),
}


@dataclass
class SmtpFault:
    """One fault. `recipient` is a glob over the envelope's recipients; `after` mails (or connections) pass first."""

    id: int
    kind: str
    times: int | None = None  # None: until it is switched off
    after: int = 0
    recipient: str = "*"
    seconds: float = 5  # how long `stall` waits
    status: str = "5.1.1"  # of the report that `bounce` sends; 4.x.x makes it a "delayed"
    hits: int = 0

    def matches(self, stage: str, recipients: list[str]) -> bool:
        """Whether it is about this moment."""
        return KINDS[self.kind].stage == stage and (self.recipient == "*" or bool(self.hit(recipients)))

    def hit(self, recipients: list[str]) -> list[str]:
        """Those of the recipients that it is about."""
        return [address for address in recipients if fnmatchcase(address.lower(), self.recipient)]


class SmtpFaults:
    """The faults in force, in the order they were switched on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.active: list[SmtpFault] = []

    def add(self, values: dict[str, Any]) -> SmtpFault:
        """Switch one on. Raises BadInput for an unknown kind or a value out of range."""
        given = check_fields(values, _FIELDS, required=("kind",))
        if given["kind"] not in KINDS:
            raise BadInput(f"unknown kind {given['kind']}; known: {', '.join(KINDS)}")
        if given.get("times", 1) < 1 or given.get("after", 0) < 0 or not 0 <= given.get("seconds", 0) <= 600:
            raise BadInput("times must be at least 1, after at least 0, seconds between 0 and 600")
        given["recipient"] = given.get("recipient", "").lower() or "*"
        fault = SmtpFault(id=next(self._numbers), **given)
        with self._lock:
            self.active = [*self.active, fault]
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Switch one off, or all."""
        with self._lock:
            self.active = [fault for fault in self.active if fault_id is not None and fault.id != fault_id]

    def is_on(self, kind: str) -> bool:
        """Whether a fault of this kind is in force, without using it up."""
        return any(fault.kind == kind for fault in self.active)

    def take(self, stage: str, recipients: list[str]) -> SmtpFault | None:
        """The fault for this moment, counted; None nearly always."""
        if not self.active:
            return None
        with self._lock:
            for fault in self.active:
                if not fault.matches(stage, recipients):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.active = [other for other in self.active if other is not fault]
                return fault
        return None
