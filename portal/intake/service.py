"""What stands behind an address, and keeping a mail before it is acknowledged (SMT-5, fault 30)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, cast, func, literal, null, select, union_all

from portal import queues
from portal.access.permissions import ROLE_PERMISSIONS, Permission, role_may
from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.intake import bcc_port
from portal.intake.mime import HEAD_END
from portal.intake.parse import own_id_of, read_head
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import (
    Automation,
    BccAddress,
    Campaign,
    Conversation,
    Delivery,
    IntakeMail,
    Membership,
    Message,
    OutboxMail,
    User,
)
from portal.models.base import ADDRESS
from portal.rules.routing import Route, parse_routed
from portal.sealing import envelope, place
from portal.sync.sets import insert_new, reading

RAW = "intake_mail.raw"
NOBODY = "a" * 26  # stands in for what is no address of ours, so that every question costs the same
NO_ID = cast(null(), Uuid())
WRITERS = [role for role in ROLE_PERMISSIONS if role_may(role, Permission.WRITE_MAIL)]  # whose BCC address works
MOST_WAITING = 500 * 1024 * 1024  # bytes at one BCC address
KINDS = {Route.REPLY: "reply", Route.BOUNCE: "bounce", Route.USER: "bcc"}


class AddressFull(Exception):
    """So much waits at a BCC address that no more is taken until its owner has looked."""


@dataclass(frozen=True)
class Target:
    """What a routed address stands for: a conversation, one mail that was sent, or a person."""

    route: Route
    token: str
    account_id: UUID
    user_id: UUID | None
    conversation_id: UUID | None = None
    outbox_id: UUID | None = None
    delivery_id: UUID | None = None


@dataclass(frozen=True)
class Handed:
    """Who handed a mail in, as the SMTP session told it."""

    mail_from: str = ""  # empty: the null sender, as machines write (RFC 5321 4.5.5)
    peer: str = ""
    helo: str = ""

    @property
    def has_null_sender(self) -> bool:
        """Whether a machine handed it in."""
        return not self.mail_from


def find_target(address: str, domain: str) -> Target | None:
    """What an address stands for; None for every other address, at the same cost (SMT-1). Raises SQLAlchemyError."""
    route, token = parse_routed(address, domain) or (Route.REPLY, NOBODY)
    reply, bounce, person = (literal(token if route is wanted else "") for wanted in Route)
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
    of_person = (
        select(BccAddress.account_id, BccAddress.user_id, NO_ID, NO_ID, NO_ID)
        .join(Membership, (Membership.account_id == BccAddress.account_id) & (Membership.user_id == BccAddress.user_id))
        .join(User, User.id == BccAddress.user_id)
        .where(BccAddress.token == person, BccAddress.replaced_at.is_(None))
        .where(Membership.state == "active", Membership.role.in_(WRITERS), User.deactivated_at.is_(None))
    )
    with reading():
        row: Any = db.session.execute(union_all(of_reply, of_mail, of_delivery, of_person)).first()
    return Target(route, token, *row) if row is not None else None


def keep(targets: Iterable[Target], raw: bytes, handed: Handed) -> bool:
    """Commit a mail, sealed, once for each address it came to, and hand it over to be read.

    The same mail to the same address, as after a lost 250, is kept once (fault 30). False when nobody takes it: it came to
    BCC addresses only, and is plainly not their owners'; then that fact alone is kept (B-05). SMTP has one answer for all
    recipients of a mail. Raises SQLAlchemyError, AddressFull: then nothing is kept, and the sender has to try again.
    """
    digest, moment, is_taken = _digest(raw), now(), False
    unique = {found.token: found for found in targets}.values()
    head = read_head(raw, moment) if any(target.route is Route.USER for target in unique) else None
    with transaction():
        for target in unique:
            row = _row(target, digest, handed, len(raw)) | {"created_at": moment, "next_try_at": moment}
            if head is not None and target.route is Route.USER and (left := bcc_port.leave_out(row, head)):
                is_taken = is_taken or left.is_taken
                continue
            is_taken = True
            known = select(IntakeMail.id).where(IntakeMail.token == target.token, IntakeMail.digest == digest)
            if db.session.scalar(known) is None:
                if target.route is Route.USER:
                    _require_room(target.token, len(raw))
                row["raw"] = envelope().seal(raw, place(RAW, target.account_id, row["id"]))
                insert_new(IntakeMail.__table__, [row])  # one by one: each may hold 35 MB
                hand_over(row["id"])
    crash_point("intake-kept")
    return is_taken


def _require_room(token: str, size: int) -> None:
    """Whoever knows an address may write to it as its owner, and that waits until the owner looks. Raises AddressFull."""
    kept = select(func.sum(IntakeMail.size)).where(IntakeMail.token == token, IntakeMail.raw.is_not(None))
    if (db.session.scalar(kept) or 0) + size > MOST_WAITING:
        raise AddressFull


def hand_over(intake_id: UUID) -> None:
    """Let a worker read this mail, after the commit."""
    queues.enqueue("intake.file_mail", intake_id, once=f"intake-{intake_id}")


def _row(target: Target, digest: str, handed: Handed, size: int) -> dict[str, Any]:
    row_id, is_bcc = new_id(), target.route is Route.USER
    return {
        "id": row_id, "account_id": target.account_id, "user_id": target.user_id or _owner(target.delivery_id),
        "kind": KINDS[target.route], "token": target.token, "conversation_id": target.conversation_id,
        "outbox_id": target.outbox_id, "delivery_id": target.delivery_id, "digest": digest,
        "has_null_sender": handed.has_null_sender, "size": size, "raw": None, "state": "received", "outcome": "",
        "reason": "", "attempts": 0, "authentication": "",
        "peer": handed.peer[:45] if is_bcc else "", "helo": handed.helo[:255] if is_bcc else "",
        "mail_from": handed.mail_from[: ADDRESS.length] if is_bcc else "",
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
