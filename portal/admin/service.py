"""Change the rules of an account."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.models import Account


@dataclass(frozen=True)
class Policy:
    """The rules of an account that its page shows, as they are kept."""

    allow_duplicate_contacts: bool  # G-10
    connect_roles: str  # P-06: roles that may connect a mailbox, with commas between
    consumer_mailboxes: str  # P-06: allowed, warned, forbidden
    bcc_new_contacts: str  # B-06: create, ask
    acknowledgement_grace_days: int  # H-06
    send_cap: int  # G-14: individual mails in rolling 24 hours, of a personal Gmail mailbox
    send_cap_workspace: int  # of a Google Workspace mailbox
    send_cap_microsoft: int
    time_zone: str


def policy_of(account: Account) -> Policy:
    """The rules as they stand."""
    return Policy(**{name: getattr(account, name) for name in Policy.__dataclass_fields__})


def change_policy(account: Account, wanted: Policy) -> dict[str, list[object]]:
    """Set the rules in the caller's transaction and audit what changed: per rule what it was and what it is now."""
    db.session.refresh(account, with_for_update={"key_share": True})
    before = asdict(policy_of(account))
    changed = {name: [before[name], value] for name, value in asdict(wanted).items() if before[name] != value}
    for name, (_, value) in changed.items():
        setattr(account, name, value)
    if changed:
        record(events.POLICY_CHANGED, account, account_id=account.id, changed=changed)
    return changed
