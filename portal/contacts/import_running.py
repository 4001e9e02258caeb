"""Run an import: check without a lock, then write every good row in one transaction, or none.

A worker that dies before the commit has written nothing; a run after the commit finds the import done. The rows are
compared with the contacts under the account's lock, so the same file twice, or two files at once, double nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, or_, select, update

from portal import queues
from portal.access.permissions import Permission, role_may
from portal.audit import events
from portal.audit.service import record
from portal.contacts.import_rows import BATCH, Row, judge_rows, read_rows
from portal.contacts.imports import note_errors, open_content, read_lines
from portal.contacts.service import lock_account
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.crypto import SealError
from portal.lib.csv import CsvProblem
from portal.lib.ids import new_id
from portal.models import Account, Contact, ContactAddress, ContactImport, Membership
from portal.rules.addresses import match_key

MAX_ATTEMPTS = 5
STALE_PREVIEW = timedelta(hours=24)
FAILURES = {
    "role": "The person who started it may no longer write contacts here. Nothing was imported.",
    "unreadable": "The file could not be read again. Nothing was imported. Upload it once more.",
    "attempts": f"It was tried {MAX_ATTEMPTS} times and never ended. Nothing was imported. Upload a smaller file.",
}


def run(import_id: UUID) -> str:
    """Run a started import and return its state; one that is done, dropped or unknown is left alone."""
    with transaction():
        found = _begin(import_id)
        if found is None:
            return "nothing"
        if found.state == "failed":
            return "failed"
        sealed, mapping, account_id = found.content or b"", dict(found.mapping), found.account_id
    try:  # no transaction is open from here on, so nobody waits for it
        lines = read_lines(open_content(sealed, account_id, import_id)).lines[mapping["heading"] :]
    except (CsvProblem, SealError):
        return _fail(import_id, "unreadable")
    rows = read_rows(lines, mapping["columns"], lambda done: _tell(import_id, done))
    with transaction():
        return _finish(import_id, account_id, rows)


def _begin(import_id: UUID) -> ContactImport | None:
    """The import, counted as tried once more; failed when it was tried too often or its person may not any more."""
    found = db.session.scalar(select(ContactImport).where(ContactImport.id == import_id).with_for_update())
    if found is None or found.state not in ("queued", "running"):
        return None
    attempts = int(found.mapping.get("attempts", 0)) + 1
    found.mapping = found.mapping | {"attempts": attempts}
    found.state, found.done = "running", 0
    if attempts > MAX_ATTEMPTS:
        _mark_failed(found, "attempts")
    elif not _may_import(found):
        _mark_failed(found, "role")
    return found


def _may_import(found: ContactImport) -> bool:
    """Whether the person's role still includes it when the job runs (TEN-4)."""
    query = select(Membership).where(
        Membership.account_id == found.account_id, Membership.user_id == found.user_id, Membership.state == "active"
    )
    membership = db.session.scalar(query)
    return (
        membership is not None
        and membership.user.deactivated_at is None
        and role_may(membership.role, Permission.WRITE_CONTACTS)
    )


def _fail(import_id: UUID, cause: str) -> str:
    with transaction():
        found = db.session.get_one(ContactImport, import_id)
        _mark_failed(found, cause)
    return "failed"


def _mark_failed(found: ContactImport, cause: str) -> None:
    found.state, found.content, found.finished_at = "failed", None, now()
    found.mapping = found.mapping | {"failure": FAILURES[cause]}
    record(events.CONTACTS_IMPORTED, found, outcome="refused", created=0, skipped=0, failed=found.total)


def _tell(import_id: UUID, done: int) -> None:
    """Show how far it is, in a transaction of its own."""
    with transaction():
        db.session.execute(update(ContactImport).where(ContactImport.id == import_id).values(done=done))


def _finish(import_id: UUID, account_id: UUID, rows: Sequence[Row]) -> str:
    """Judge under the lock, write, and close the import; all in the caller's transaction."""
    account = lock_account(account_id)
    query = select(ContactImport).where(ContactImport.id == import_id).with_for_update()
    found = db.session.scalars(query.execution_options(populate_existing=True)).one()
    if found.state != "running":  # another worker was faster
        return found.state
    judged = judge_rows(rows, account)
    leave_out = bool(found.mapping.get("leave_out_colleagues"))
    chosen = [row for row in judged if row.status == "new" and not (leave_out and row.likeness)]
    _write(account, found, chosen)
    counts = Counter(row.status for row in judged)
    failed, left_out = counts["error"], counts["new"] - len(chosen)
    note_errors(found, judged)
    found.mapping = found.mapping | {"left_out": left_out, "failed": failed, "risky": []}
    found.state, found.done, found.finished_at, found.content = "done", found.total, now(), None
    found.created, found.skipped = len(chosen), counts["duplicate"] + left_out
    record(events.CONTACTS_IMPORTED, found, created=found.created, skipped=found.skipped, failed=failed)
    queues.enqueue("workflows.run", account_id, once=f"workflows-{account_id}")
    return found.state


def _write(account: Account, found: ContactImport, rows: Sequence[Row]) -> None:
    """Insert contacts and their alternates in bulk. The order of the file is the order of creation (G-10)."""
    begun = now()
    for start in range(0, len(rows), BATCH):
        batch = [
            _values(account.id, found.user_id, row, begun + timedelta(microseconds=start + place))
            for place, row in enumerate(rows[start : start + BATCH])
        ]
        db.session.execute(insert(Contact), [contact for contact, _ in batch])
        if alternates := [other for _, others in batch for other in others]:
            db.session.execute(insert(ContactAddress), alternates)


def _values(account_id: UUID, user_id: UUID, row: Row, moment: datetime) -> tuple[dict[str, Any], Iterable[dict[str, Any]]]:
    details, contact_id = row.details, new_id()
    contact = {
        "id": contact_id, "account_id": account_id, "created_at": moment, "source": "import", "created_by_id": user_id,
        "first_name": details.first_name, "last_name": details.last_name, "name_key": details.name_key,
        "email": details.email, "email_key": details.email_key, "phone": details.phone, "notes": details.notes,
    }  # fmt: skip
    alternates = [
        {"id": new_id(), "account_id": account_id, "created_at": moment, "contact_id": contact_id,
         "email": email, "email_key": match_key(email)}
        for email in details.alternates
    ]  # fmt: skip
    return contact, alternates


def sweep() -> int:
    """Hand over again what was started and never ended (Redis away, worker gone); forget old previews. Returns how many."""
    moment = now()
    with transaction():
        old = ContactImport.created_at < moment - STALE_PREVIEW
        db.session.execute(
            update(ContactImport)
            .where(ContactImport.state == "preview", old)
            .values(state="dropped", content=None, errors=[], mapping={})
        )
        waiting = or_(ContactImport.state == "queued", ContactImport.state == "running")
        ids = list(db.session.scalars(select(ContactImport.id).where(waiting)))
        for import_id in ids:  # RQ takes a dead worker's job for a running one: another name each minute
            key = f"import-{import_id}-{int(moment.timestamp()) // 60}"
            queues.enqueue("contacts.run_import", import_id, once=key)
    return len(ids)
