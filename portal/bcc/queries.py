"""What is known of a person's BCC Sync: from where they may post, whom they track, which addresses they named their own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import joinedload

from portal.connections.queries import live_connection
from portal.database import db
from portal.models import BccAddress, Connection, Contact, IntakeMail, OwnAddress, TrackedContact, User
from portal.rules.addresses import match_key, own_keys

WAITING_STATES = ("unverified", "unmatched")
PAGE = 50


def owner_keys(account_id: UUID, user_id: UUID) -> frozenset[str]:
    """The addresses from which a person may post to their BCC address, as keys for "is this me" (B-05).

    They are the sign-in address, the connected mailbox with its aliases, and what they verified here.
    """
    sign_in = db.session.scalar(select(User.email).where(User.id == user_id)) or ""
    given = given_addresses(sign_in, live_connection(account_id, user_id))
    verified = [row.email for row in own_addresses(account_id, user_id) if row.verified_at is not None]
    return own_keys(*given, *verified)


def given_addresses(sign_in: str, connection: Connection | None) -> dict[str, str]:
    """What is a person's own without a code, each once, with what it is: sign_in, mailbox or alias (B-05)."""
    found = {match_key(sign_in): (sign_in, "sign_in")}
    if connection is not None:
        found.setdefault(match_key(connection.mailbox), (connection.mailbox, "mailbox"))
        for alias in connection.aliases:
            found.setdefault(match_key(alias), (alias, "alias"))
    return dict(found.values())


def own_addresses(account_id: UUID, user_id: UUID) -> list[OwnAddress]:
    """The addresses that a person named as their own, verified or not, the first named first."""
    query = select(OwnAddress).where(OwnAddress.account_id == account_id, OwnAddress.user_id == user_id)
    return list(db.session.scalars(query.order_by(OwnAddress.created_at, OwnAddress.id)))


def live_address(account_id: UUID, user_id: UUID, *, lock: bool = False) -> BccAddress | None:
    """The address that works now; None when the person has none yet."""
    query = select(BccAddress).where(
        BccAddress.account_id == account_id, BccAddress.user_id == user_id, BccAddress.replaced_at.is_(None)
    )
    return db.session.scalar(query.with_for_update() if lock else query)


@dataclass(frozen=True)
class TrackedPage:
    """A page of tracked contacts, the newest first; `before` asks for the next page."""

    rows: list[TrackedContact]
    before: UUID | None


def tracked_contacts(account_id: UUID, user_id: UUID, *, is_on: bool = True, before: UUID | None = None) -> TrackedPage:
    """Whom a person tracks; with `is_on` false, whom they stopped tracking (B-03)."""
    query = select(TrackedContact).where(*_of(account_id, user_id, is_on=is_on))
    if before is not None:
        query = query.where(TrackedContact.id < before)
    query = query.options(joinedload(TrackedContact.contact)).order_by(TrackedContact.id.desc()).limit(PAGE + 1)
    rows = list(db.session.scalars(query))
    return TrackedPage(rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else None)


def tracked_count(account_id: UUID, user_id: UUID, *, is_on: bool = True) -> int:
    """How many contacts `tracked_contacts` lists in all."""
    return db.session.scalar(select(func.count()).where(*_of(account_id, user_id, is_on=is_on))) or 0


def _of(account_id: UUID, user_id: UUID, *, is_on: bool) -> tuple[ColumnElement[bool], ...]:
    state = TrackedContact.stopped_at.is_(None) if is_on else TrackedContact.stopped_at.is_not(None)
    return TrackedContact.account_id == account_id, TrackedContact.user_id == user_id, state


def waiting_count(account_id: UUID, user_id: UUID) -> int:
    """How many mails at the BCC address wait for their owner's word (B-05, B-06)."""
    query = select(func.count()).where(
        IntakeMail.account_id == account_id, IntakeMail.user_id == user_id, IntakeMail.state.in_(WAITING_STATES)
    )
    return db.session.scalar(query) or 0


def trackers_of(contact: Contact) -> list[str]:
    """The names of those who track a contact, for its record (B-03)."""
    query = select(User.name).join(TrackedContact, TrackedContact.user_id == User.id)
    query = query.where(TrackedContact.contact_id == contact.id, TrackedContact.account_id == contact.account_id)
    return list(db.session.scalars(query.where(TrackedContact.stopped_at.is_(None)).order_by(User.name)))
