"""What stands behind an address, and keeping a mail before it is acknowledged (SMT-5, fault 30)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, cast, literal, null, select, union_all

from portal import queues
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.intake.parse import own_id_of
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Automation, Campaign, Conversation, Delivery, IntakeMail, Message, OutboxMail
from portal.rules.routing import Route, parse_routed
from portal.sealing import envelope, place
from portal.sync.sets import insert_new, reading

RAW = "intake_mail.raw"
NOBODY = "a" * 26  # stands in for what is no address of ours, so that every question costs the same
NO_ID = cast(null(), Uuid())
HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Target:
    """What a routed address stands for: a conversation, or one mail that was sent."""

    route: Route
    token: str
    account_id: UUID
    user_id: UUID | None
    conversation_id: UUID | None = None
    outbox_id: UUID | None = None
    delivery_id: UUID | None = None


def find_target(address: str, domain: str) -> Target | None:
    """What an address stands for; None for every other address, at the same cost (SMT-1). Raises SQLAlchemyError."""
    route, token = parse_routed(address, domain) or (Route.REPLY, NOBODY)
    reply, bounce = (literal(token if route is wanted else "") for wanted in (Route.REPLY, Route.BOUNCE))
    of_reply = select(
        Conversation.account_id, Conversation.user_id, Conversation.id.label("conversation_id"),
        NO_ID.label("outbox_id"), NO_ID.label("delivery_id"),
    ).where(Conversation.reply_token == reply)  # fmt: skip
    of_mail = (
        select(OutboxMail.account_id, OutboxMail.user_id, Message.conversation_id, OutboxMail.id, NO_ID)
        .join(Message, Message.id == OutboxMail.message_id)
        .where(OutboxMail.bounce_token == bounce)
    )
    of_delivery = select(Delivery.account_id, NO_ID, NO_ID, NO_ID, Delivery.id).where(Delivery.token == bounce)
    with reading():
        row: Any = db.session.execute(union_all(of_reply, of_mail, of_delivery)).first()
    return Target(route, token, *row) if row is not None else None


def keep(targets: Iterable[Target], raw: bytes, *, has_null_sender: bool) -> int:
    """Commit a mail, sealed, once for each address it came to, and hand it over to be read. How many were new.

    The same mail to the same address, as after a lost 250, is kept once (fault 30). Raises SQLAlchemyError: then nothing is
    kept, and the sender has to try again.
    """
    digest, moment = _digest(raw), now()
    with transaction():
        count = 0
        for target in {found.token: found for found in targets}.values():
            known = select(IntakeMail.id).where(IntakeMail.token == target.token, IntakeMail.digest == digest)
            if db.session.scalar(known) is None:
                row = _row(target, raw, digest, has_null_sender) | {"created_at": moment, "next_try_at": moment}
                insert_new(IntakeMail.__table__, [row])  # one by one: each may hold 35 MB
                hand_over(row["id"])
                count += 1
    crash_point("intake-kept")
    return count


def hand_over(intake_id: UUID) -> None:
    """Let a worker read this mail, after the commit."""
    queues.enqueue("intake.file_mail", intake_id, once=f"intake-{intake_id}")


def _row(target: Target, raw: bytes, digest: str, has_null_sender: bool) -> dict[str, Any]:
    row_id = new_id()
    return {
        "id": row_id, "account_id": target.account_id, "user_id": target.user_id or _owner(target.delivery_id),
        "kind": "reply" if target.route is Route.REPLY else "bounce", "token": target.token,
        "conversation_id": target.conversation_id, "outbox_id": target.outbox_id, "delivery_id": target.delivery_id,
        "digest": digest, "has_null_sender": has_null_sender, "size": len(raw),
        "raw": envelope().seal(raw, place(RAW, target.account_id, row_id)), "state": "received", "outcome": "",
        "reason": "", "attempts": 0,
    }  # fmt: skip


def _owner(delivery_id: UUID | None) -> UUID | None:
    """Whose campaign or automation a delivery belongs to."""
    delivery = db.session.get(Delivery, delivery_id) if delivery_id else None
    if delivery is None:
        return None
    parent = (
        db.session.get(Campaign, delivery.campaign_id)
        if delivery.campaign_id
        else db.session.get(Automation, delivery.automation_id)
    )
    return parent.user_id if parent else None


def _digest(raw: bytes) -> str:
    """The same for the same mail at every try: its Message-ID and body, since each try adds other Received fields.

    Without a Message-ID the whole mail counts, for two mails that have only their text in common are two.
    """
    wire_id = own_id_of(raw)
    end = HEAD_END.search(raw)
    body = raw[end.end() :] if end else b""
    return sha256(wire_id.encode() + b"\0" + body if wire_id else raw).hexdigest()
