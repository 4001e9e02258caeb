"""Record audit events in the transaction of what they record: no event, no action (A-02)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from portal.audit.caller import current_caller
from portal.audit.events import EVENTS
from portal.database import db
from portal.models import AuditEvent
from portal.models.base import Row

ACTIONS_OF_THE_PORTAL = ("portal:", "operator:")


def record(
    name: str, subject: Row | None = None, *, outcome: str = "done", account_id: UUID | None = None, **details: Any
) -> AuditEvent:
    """Add one event to the current transaction.

    `subject` is the row it is about; its account is taken over unless `account_id` says otherwise. `details` must be
    exactly the fields that the registry names. Raises ValueError on an unknown event or wrong fields.
    """
    event = EVENTS.get(name)
    if event is None:
        raise ValueError(f"unknown audit event {name}")
    if frozenset(details) != event.fields:
        raise ValueError(f"{name} takes {sorted(event.fields)}, not {sorted(details)}")
    caller = current_caller()
    row = AuditEvent(
        account_id=account_id or getattr(subject, "account_id", None) or caller.account_id,
        actor_id=None if name.startswith(ACTIONS_OF_THE_PORTAL) else caller.user_id,
        name=name,
        outcome=outcome,
        object_type=subject.__tablename__ if subject is not None else "",
        object_id=subject.id if subject is not None else None,
        details=details,
        ip=caller.ip,
        request_id=caller.request_id,
    )
    db.session.add(row)
    return row
