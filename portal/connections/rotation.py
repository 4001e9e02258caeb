"""Seal everything anew with the current key, while the portal runs (OAU-7, DAT-1).

Every sealed column stands in COLUMNS; a guard test compares them with the models. Rows go in batches, each in its own
transaction; a value that somebody changed meanwhile is left to the next batch run, so a command that was cut is simply
repeated. Once nothing is left, the old key can be taken out of the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from portal.audit import events
from portal.audit.service import record
from portal.conversations import store
from portal.database import db, transaction
from portal.lib.crypto import SealError
from portal.models import (
    Attachment,
    Automation,
    Campaign,
    ContactImport,
    Conversation,
    Draft,
    Grant,
    IntakeMail,
    MailRelay,
    Message,
    MessageBody,
    OAuthAttempt,
    OutboxMail,
)
from portal.sealing import envelope, place

BATCH, LARGE = 200, 5  # rows at a time; of values that may have many megabytes, few


@dataclass(frozen=True)
class Column:
    """A sealed column: its model, attribute, how many rows at a time, and what a row's value is bound to."""

    model: type[Any]
    name: str
    rows: int = BATCH

    def place_of(self, row: Any) -> str:
        """Where the row's value is bound to."""
        if self.model is not Grant:
            return place(f"{self.model.__tablename__}.{self.name}", row.account_id, row.id)
        is_for_revoking = self.name == "access_token" and row.revoke_pending_at is not None
        kind = "grant.revoke_token" if is_for_revoking else f"grant.{self.name}"
        return place(kind, f"{row.provider}:{row.subject}", row.id)


COLUMNS = (
    Column(Grant, "refresh_token"),
    Column(Grant, "access_token"),
    Column(OAuthAttempt, "verifier"),
    Column(Conversation, "subject"),
    Column(Message, "subject"),
    Column(Message, "snippet"),
    Column(MessageBody, "text", LARGE),
    Column(MessageBody, "html", LARGE),
    Column(Attachment, "name"),
    Column(OutboxMail, "raw", LARGE),
    Column(MailRelay, "password"),
    *(Column(model, name) for model in (Campaign, Automation) for name in ("subject", "text", "html")),
    Column(IntakeMail, "raw", LARGE),
    Column(Draft, "content"),
    Column(ContactImport, "content", LARGE),
)


@dataclass
class Rotation:
    """How many values were sealed anew, and which could not be opened ("table.column row" of each)."""

    sealed: int = 0
    unopened: tuple[str, ...] = ()


def rotate(say: Callable[[str], None] = lambda _line: None) -> Rotation:
    """Seal every value anew that another key than the current one sealed. `say` is told each column as it is done."""
    total = Rotation()
    for column in COLUMNS:
        found = _rotate(lambda last, column=column: _batch(column, last))  # type: ignore[misc]
        _add(total, found)
        say(f"{column.model.__tablename__}.{column.name}: {found.sealed}")
    found = _rotate(_file_batch)
    _add(total, found)
    say(f"stored attachments: {found.sealed}")
    with transaction():
        record(events.KEYS_ROTATED, key=envelope().current, count=total.sealed)
    return total


def _add(total: Rotation, found: Rotation) -> None:
    total.sealed += found.sealed
    total.unopened += found.unopened


Batch = Callable[[UUID | None], tuple[UUID | None, Rotation]]


def _rotate(batch: Batch) -> Rotation:
    total, last = Rotation(), None
    while True:
        last, found = batch(last)
        _add(total, found)
        if last is None:
            return total


def _batch(column: Column, after: UUID | None) -> tuple[UUID | None, Rotation]:
    """One batch of a column behind the row `after`; the last row's id, None when there is no more."""
    attribute, found = getattr(column.model, column.name), Rotation()
    with transaction():
        query = select(column.model).where(attribute.is_not(None)).order_by(column.model.id).limit(column.rows)
        rows = list(db.session.scalars(query.where(column.model.id > after) if after else query))
        for row in rows:
            old = getattr(row, column.name)
            new = _resealed(old, column.place_of(row))
            if new is None:
                found.unopened += (f"{column.model.__tablename__}.{column.name} {row.id}",)
            elif new is not old:
                changed = db.session.execute(
                    update(column.model)
                    .where(column.model.id == row.id, attribute == old)
                    .values({column.name: new})
                    .execution_options(synchronize_session=False)
                )
                found.sealed += changed.rowcount  # type: ignore[attr-defined]
        last = rows[-1].id if len(rows) == column.rows else None
    return last, found


def _resealed(old: bytes, where: str) -> bytes | None:
    """The value sealed with the current key; itself when it is that already; None when it does not open."""
    try:
        if envelope().key_of(old) == envelope().current:
            return old
        return envelope().seal(envelope().open(old, where), where)
    except SealError:
        return None


def _file_batch(after: UUID | None) -> tuple[UUID | None, Rotation]:
    """One batch of stored files; each is replaced as a whole under its key, so no row changes."""
    found = Rotation()
    with transaction():
        query = select(Attachment.id, Attachment.account_id, Attachment.store_key).where(Attachment.store_key != "")
        query = query.order_by(Attachment.id).limit(BATCH)
        rows = db.session.execute(query.where(Attachment.id > after) if after else query).all()
    for row in rows:
        try:
            found.sealed += store.reseal(row.account_id, row.id, row.store_key)
        except store.StoreUnavailable:
            found.unopened += (f"attachment.content {row.id}",)
    return (rows[-1].id if len(rows) == BATCH else None), found
