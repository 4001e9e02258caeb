"""What a mailbox has sent and may still send, over all its accounts, and who stands in line for a place (G-14).

Only individual mail through a mailbox counts: mail of the account's provider, bulk and workflow mail have no row with a
mailbox here, so nothing of this concerns them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import defer

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, OutboxMail
from portal.providers.errors import Limited
from portal.rules.sending import WINDOW, Cap, cap_setting, measure_cap, place_free_at


def limit_of(connection: Connection) -> int:
    """How many individual mails the account allows a mailbox of this kind in 24 hours."""
    limit: int = getattr(connection.account, cap_setting(connection.provider, is_consumer=connection.is_consumer))
    return limit


def cap_of(connection: Connection) -> Cap:
    """Use of the connection's mailbox in the rolling 24 hours, all its accounts together (G-14)."""
    key = connection.mailbox_key
    waiting = db.session.scalar(select(func.count()).select_from(_in_line(connection).subquery())) or 0
    return measure_cap(
        _counted(key), limit_of(connection), now(), waiting=waiting, closed_until=provider_closed_until(key)
    )


def _counted(mailbox_key: str) -> list[datetime]:
    """When mail of a mailbox left, or was handed over to leave: `sent_at` is set from the first step on."""
    query = select(OutboxMail.sent_at).where(
        OutboxMail.mailbox_key == mailbox_key, OutboxMail.sent_at > now() - WINDOW
    )
    return [moment for moment in db.session.scalars(query) if moment is not None]


def provider_closed_until(mailbox_key: str) -> datetime | None:
    """Until when the provider itself takes no mail of this mailbox, as far as it told; None while it takes some."""
    query = select(func.max(Connection.provider_cap_until)).where(
        Connection.mailbox_key == mailbox_key, Connection.provider_cap_until > now()
    )
    return db.session.scalar(query)


def _in_line(connection: Connection) -> Select[UUID]:
    """Mails that wait for a place, first come first: by when they joined the line.

    A location that allows its mailbox less than this one holds nothing up here: its mails do not stand in this line.
    """
    waits = (
        OutboxMail.mailbox_key == connection.mailbox_key, OutboxMail.state == "prepared", OutboxMail.waits_for == "reset",
    )  # fmt: skip
    theirs = select(Connection).where(Connection.id.in_(select(OutboxMail.connection_id).where(*waits)))
    limit = limit_of(connection)
    ids = [row.id for row in db.session.scalars(theirs) if limit_of(row) >= limit]
    query = select(OutboxMail.id).where(*waits, OutboxMail.connection_id.in_(ids))
    return query.order_by(OutboxMail.send_at, OutboxMail.id)


def line_of(connection: Connection) -> Sequence[UUID]:
    """The mails that wait for a place of this connection's mailbox, in their order."""
    return db.session.scalars(_in_line(connection)).all()


def places_of(connection: Connection) -> dict[UUID, datetime]:
    """When each waiting mail of the mailbox gets its place, as far as can be told now."""
    key = connection.mailbox_key
    counted, closed_until, limit = _counted(key), provider_closed_until(key), limit_of(connection)
    return {
        outbox_id: place_free_at(counted, limit, now(), ahead, closed_until)
        for ahead, outbox_id in enumerate(line_of(connection))
    }


def free_first_in_line(connection: Connection) -> OutboxMail | None:
    """The next mail that gets a place, locked; None where there is none, or a worker looks at it already.

    That worker waits for the mailbox's lock, so waiting for its row would be waiting in a circle.
    """
    first = _in_line(connection).limit(1)
    query = select(OutboxMail).where(OutboxMail.id.in_(first)).options(defer(OutboxMail.raw))
    return db.session.scalar(query.with_for_update(skip_locked=True))


def note_provider_cap(mailbox_key: str, until: datetime) -> None:
    """The provider takes no more mail of this mailbox for now: all its live connections know it (provider fault 19)."""
    query = select(Connection).where(
        Connection.mailbox_key == mailbox_key, Connection.disconnected_at.is_(None)
    )
    known = provider_closed_until(mailbox_key)
    if known is not None and known >= until:
        return
    for connection in db.session.scalars(query.order_by(Connection.id)):
        connection.provider_cap_until = until
        if known is None:
            record(events.PROVIDER_CAP_MET, connection)
    db.session.flush()


def cap_end(error: Limited) -> datetime:
    """Until when the provider's own cap holds: as it told, else a day."""
    if error.until is not None:
        return error.until
    return now() + (timedelta(seconds=error.seconds) if error.seconds else WINDOW)
