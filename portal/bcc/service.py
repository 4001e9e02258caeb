"""A person's BCC address, and whom they track through it: give, replace, begin and stop (B-01, B-03)."""

from __future__ import annotations

from uuid import UUID

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal.audit import events
from portal.audit.service import record
from portal.bcc.queries import live_address
from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import BccAddress, TrackedContact
from portal.rules.routing import Route, routed_address


def address_of(account_id: UUID, user_id: UUID) -> BccAddress:
    """The person's address here, in the caller's transaction; made when it is first asked for (B-01)."""
    return live_address(account_id, user_id) or _make_address(account_id, user_id)


def written_address(row: BccAddress) -> str:
    """The address as it is put into a mail."""
    return routed_address(Route.USER, row.token, current_app.extensions["settings"].reply_domain)


def replace_address(account_id: UUID, user_id: UUID) -> BccAddress:
    """Give the person another address; the one before stops at once and is never given to anybody again (B-01)."""
    old = live_address(account_id, user_id, lock=True)
    if old is not None:
        old.replaced_at = now()
        db.session.flush()  # the one that works is unique per person
        record(events.BCC_ADDRESS_REPLACED, old)
    return address_of(account_id, user_id)


def _make_address(account_id: UUID, user_id: UUID) -> BccAddress:
    """A new row, or the one that another request of the same person has just made."""
    row = BccAddress(id=new_id(), account_id=account_id, user_id=user_id, token=new_token())
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        found = live_address(account_id, user_id)
        if found is None:
            raise
        return found
    record(events.BCC_ADDRESS_MADE, row)
    return row


def track(account_id: UUID, user_id: UUID, contact_id: UUID) -> TrackedContact:
    """Mail between the two is tracked from now on, in the caller's transaction; nothing changes where it is already (B-03).

    Called for a mail that bears the address, and for nothing else: only such a mail begins again what the person stopped.
    """
    row = _find_tracked(account_id, user_id, contact_id) or _begin_tracking(account_id, user_id, contact_id)
    if row.stopped_at is not None:
        row.since, row.stopped_at = now(), None
        record(events.TRACKING_BEGUN, row)
    return row


def _begin_tracking(account_id: UUID, user_id: UUID, contact_id: UUID) -> TrackedContact:
    """A new row, or the one that another mail of the same moment has just made."""
    row = TrackedContact(id=new_id(), account_id=account_id, user_id=user_id, contact_id=contact_id, since=now())
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        found = _find_tracked(account_id, user_id, contact_id)
        if found is None:
            raise
        return found
    record(events.TRACKING_BEGUN, row)
    return row


def _find_tracked(account_id: UUID, user_id: UUID, contact_id: UUID) -> TrackedContact | None:
    query = select(TrackedContact).where(
        TrackedContact.account_id == account_id,
        TrackedContact.user_id == user_id,
        TrackedContact.contact_id == contact_id,
    )
    return db.session.scalar(query.with_for_update())


def stop_tracking(row: TrackedContact) -> bool:
    """Track the contact no longer; what is in the records stays. Whether it was tracked until now."""
    if row.stopped_at is not None:
        return False
    row.stopped_at = now()
    record(events.TRACKING_STOPPED, row)
    return True
