"""Set up an account's mail server, try it for real, take it out of use (S-01).

A server is used only after its very settings have passed a test. While one is tried no transaction is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select

from portal.admin import relay_trial
from portal.audit import events
from portal.audit.service import record
from portal.database import db, transaction
from portal.errors import Conflict
from portal.lib.clock import now
from portal.models import Account, MailRelay
from portal.sealing import seal_text
from portal.sending import relays

TYPE_PASSWORD = "Type the password of this user name."  # noqa: S105
TYPE_AGAIN = "Type the password again: one that is kept here never goes to another server."
HARMLESS = {"from_name"}  # a change that no test depends on


@dataclass(frozen=True)
class Wanted:
    """What an owner typed. An empty password keeps the stored one, as long as the server stays the same."""

    host: str
    port: int
    security: str  # tls, starttls, none
    username: str
    password: str = field(repr=False)
    from_email: str
    from_name: str


def password_problem(relay: MailRelay | None, wanted: Wanted) -> str:
    """Why the password must be typed, in words; "" when it need not be."""
    if not wanted.username or wanted.password:
        return ""
    if relay is None or relay.password is None:
        return TYPE_PASSWORD
    return "" if (relay.host, relay.port) == (wanted.host, wanted.port) else TYPE_AGAIN


def save(account: Account, wanted: Wanted) -> MailRelay:
    """Keep the settings in the caller's transaction; out of use until they pass a test, if a test depends on the change.

    Raises Conflict where the password must be typed.
    """
    db.session.refresh(account, with_for_update={"key_share": True})
    relay = relays.settings_of(account.id)
    if problem := password_problem(relay, wanted):
        raise Conflict(problem, cause="password")
    if relay is None:
        relay = MailRelay(account_id=account.id, host="", port=0, security="", from_email="")
        db.session.add(relay)
        db.session.flush()
    changed = _change(relay, wanted)
    if set(changed) - HARMLESS:
        relay.is_on, relay.tested_at, relay.test_error = False, None, ""
        relays.note_recovered(relay)
    if changed:
        record(events.RELAY_CHANGED, relay, changed=changed)
    return relay


def _change(relay: MailRelay, wanted: Wanted) -> list[str]:
    """Set what differs; the names of what did."""
    names = ("host", "port", "security", "username", "from_email", "from_name")
    changed = [name for name in names if getattr(relay, name) != getattr(wanted, name)]
    for name in changed:
        setattr(relay, name, getattr(wanted, name))
    if not wanted.username and relay.password is not None:
        relay.password = None
        changed.append("password")
    elif wanted.username and wanted.password:
        relay.password = seal_text(wanted.password, relays.PASSWORD, relay.account_id, relay.id)
        changed.append("password")
    return changed


def try_out(account_id: UUID, *, recipient: str = "") -> bool | None:
    """Connect, sign in and offer a mail; with `recipient`, send them one. Whether it passed; None without a mail server.

    Ends the caller's transaction, and has short ones of its own before and after. The result counts only if the settings
    are still those that were tried.
    """
    with transaction():
        relay = relays.settings_of(account_id)
        if relay is None:
            return None
        server, tried = relays.server_of(relay), _fingerprint(relay)
        letter = relay_trial.letter(db.session.get_one(Account, account_id), relay, recipient)
    result = relay_trial.run(server, letter)
    with transaction():
        relay = db.session.scalar(
            select(MailRelay).where(MailRelay.account_id == account_id).with_for_update()
            .execution_options(populate_existing=True)
        )  # fmt: skip
        if relay is None or _fingerprint(relay) != tried:
            return False
        _note(relay, result)
    return not result.words


def _fingerprint(relay: MailRelay) -> tuple[object, ...]:
    return (relay.id, relay.host, relay.port, relay.security, relay.username, relay.password, relay.from_email)


def _note(relay: MailRelay, result: relay_trial.Result) -> None:
    """A test that fails later takes nothing out of use: the mail would wait for the server in any case."""
    relay.tested_at, relay.test_error = now(), result.words[: relays.MAX_WORDS]
    if not result.words:
        relay.is_on = True
        relays.note_recovered(relay)
    record(events.RELAY_TESTED, relay, result=result.kind)


def remove(account: Account) -> bool:
    """Take the mail server out of use and forget its password, in the caller's transaction; whether there was one."""
    db.session.refresh(account, with_for_update={"key_share": True})
    relay = relays.settings_of(account.id)
    if relay is None:
        return False
    record(events.RELAY_REMOVED, relay)
    db.session.delete(relay)
    return True
