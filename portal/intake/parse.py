"""A mail's bytes to what the rules and the CRM take: facts, text, files, and what a delivery report says. Never raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from portal.intake.mime import HEAD_END, MAX_HEAD_BYTES, Fields, divide, fields_in, read_fields
from portal.providers.headers import fields_of, mark_of, read_facts, subject_of, wire_ids
from portal.providers.parts import Part, PartReader, leaves
from portal.providers.types import RemoteMail
from portal.rules.bounces import ReportFacts, judge_report
from portal.rules.facts import Direction, MailFacts

STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
RETURNED_TYPES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
MAX_REPORT_BYTES, MAX_REPORTED = 64 * 1024, 50  # of a delivery report: what is read, and of how many recipients
BLANK = re.compile(rb"\r?\n\s*\r?\n")


@dataclass(frozen=True)
class RoutedMail:
    """A mail that came to a routed address, as it was read."""

    mail: RemoteMail
    hops: int  # Received fields
    mark: UUID | None  # X-CRM-Ref as it stands there: our own mail come back, or a stranger's claim
    report: ReportFacts | None  # of a delivery report
    returned_ids: tuple[str, ...]  # Message-IDs of the mail that a report gives back


@dataclass(frozen=True)
class Head:
    """A mail as its header tells it, before it is taken."""

    facts: MailFacts
    hops: int  # Received fields
    mark: UUID | None  # X-CRM-Ref as it stands there


def read_head(raw: bytes, received_at: datetime) -> Head:
    """Read only the header of a mail that its sender says is the owner's own: cheap, whatever lies behind it."""
    defects: set[str] = set()
    start = raw[: MAX_HEAD_BYTES + 2]
    end = HEAD_END.search(start)
    fields = [] if raw.startswith((b"\r\n", b"\n")) else read_fields(start[: end.start()] if end else start, defects)
    return Head(_facts(fields, defects, received_at, Direction.OUTBOUND), _hops(fields), mark_of(fields_of(fields)))


def read_mail(raw: bytes, received_at: datetime, direction: Direction = Direction.INBOUND) -> RoutedMail:
    """Read a whole mail. What had to be repaired stands in the mail's `defects`."""
    defects: set[str] = set()
    root = divide(raw, defects)
    fields = fields_in(root)
    headers = fields_of(fields)
    reader = PartReader()
    reader.read(root)
    mail = RemoteMail(
        facts=_facts(fields, defects, received_at, direction),
        subject=subject_of(headers),
        text=reader.text,
        html=reader.html,
        files=tuple(reader.files),
        size=len(raw),
        defects=tuple(sorted(defects | reader.defects)),
    )
    return RoutedMail(mail, _hops(fields), mark_of(headers), _report(root), _returned_ids(root))


def with_own_id(read: RoutedMail, digest: str) -> RoutedMail:
    """A mail without a Message-ID gets one of its digest, the same at every try."""
    if read.mail.facts.internet_message_id:
        return read
    facts = replace(read.mail.facts, internet_message_id=f"<{digest[:40]}@no-message-id.invalid>")
    return replace(read, mail=replace(read.mail, facts=facts, defects=(*read.mail.defects, "no_message_id")))


def _facts(fields: Fields, defects: set[str], received_at: datetime, direction: Direction) -> MailFacts:
    place = {
        "provider_message_id": "", "provider_thread_id": "", "direction": direction, "received_at": received_at,
    }  # fmt: skip
    facts = read_facts(place, fields_of(fields), len(fields), frozenset())
    if "headers_cut" in defects:  # who is in it, and what kind it is, may stand in what was not read
        facts = replace(facts, sender=None, is_readable=False)
    return facts


def _hops(fields: Fields) -> int:
    return sum(1 for name, _ in fields if name.lower() == "received")


def _report(root: Part) -> ReportFacts | None:
    """What a delivery report in it says (RFC 3464): per recipient the action, the status and the server's diagnostic."""
    for part, mime in leaves(root, set()):
        if mime in STATUS_TYPES:
            blocks = BLANK.split(part["body"].get("bytes", b"")[:MAX_REPORT_BYTES].strip())
            found = (dict(_lower(block)) for block in blocks[: MAX_REPORTED + 1])
            return judge_report(
                [
                    (block.get("action", ""), block.get("status", ""), block.get("diagnostic-code", ""))
                    for block in found
                    if "action" in block or "status" in block
                ]
            )
    return None


def _lower(block: bytes) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in read_fields(block, set())]


def _returned_ids(root: Part) -> tuple[str, ...]:
    """The Message-ID of the mail that a report returns, in whole or its header only."""
    for part, mime in leaves(root, set()):
        if mime in RETURNED_TYPES:
            found = fields_of(read_fields(part["body"].get("bytes", b"")[:MAX_REPORT_BYTES], set()))
            if ids := wire_ids(found.get("message-id", [])):
                return tuple(ids[:1])
    return ()


def own_id_of(raw: bytes) -> str:
    """The mail's Message-ID as bytes tell it, for telling the same mail twice; "" when it has none. Cheap."""
    head = re.split(rb"\r?\n\r?\n", raw[:MAX_REPORT_BYTES], maxsplit=1)[0]
    return next(iter(wire_ids(fields_of(read_fields(head, set())).get("message-id", []))), "")
