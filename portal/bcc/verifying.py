"""Addresses that a person names as their own, each proven by a code that is sent there (B-05).

A code is made by the job that sends it, so that only its keyed hash is ever stored. It works for 15 minutes and five tries.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.bcc.queries import own_addresses, owner_keys
from portal.database import db
from portal.errors import Conflict
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Connection, Contact, Membership, OwnAddress, User
from portal.rules.addresses import domain_of, mailbox_of, match_key
from portal.sending.relays import relay_of

CODE_LIFE = timedelta(minutes=15)
MOST_TRIES = 5
MOST_ADDRESSES = 10
NAMED = "This address stands in the list above already."
NO_SERVER = "This location has no mail server of its own, so no code can be sent."


class Answer(StrEnum):
    """What became of a code that somebody typed."""

    VERIFIED = "verified"
    WRONG = "wrong"
    USED_UP = "used_up"
    EXPIRED = "expired"


class AddressRefused(Conflict):
    """The address cannot be the person's own here; `message` says why."""


def add_address(account_id: UUID, user_id: UUID, email: str) -> OwnAddress:
    """Keep an address that a person says is theirs and have a code sent there. Raises AddressRefused."""
    key = match_key(email)
    _require_server(account_id)
    _refuse_foreign(account_id, user_id, key)
    row = OwnAddress(id=new_id(), account_id=account_id, user_id=user_id, email=email.strip(), email_key=key)
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:  # another press of the same person was faster
        raise AddressRefused(NAMED, cause="already_named") from None
    _order_code(row)
    return row


def send_again(row: OwnAddress) -> None:
    """Have a new code sent; the one before stops working. Raises AddressRefused."""
    if row.verified_at is not None:
        raise AddressRefused("This address is verified already.", cause="already_own")
    _require_server(row.account_id)
    _order_code(row)


def remove_address(row: OwnAddress) -> None:
    """It is no longer an address of the person's own, in the caller's transaction; mail from it is refused at once."""
    record(events.OWN_ADDRESS_REMOVED, row)
    db.session.delete(row)
    db.session.flush()


def verify(row: OwnAddress, typed: str) -> Answer:
    """Compare a typed code with the one that was sent, in the caller's transaction, which holds the row locked.

    Raises AddressRefused when the address has become somebody else's in the meantime.
    """
    if not row.code_hash or row.code_expires_at is None or row.code_expires_at <= now():
        return Answer.EXPIRED
    if row.tries >= MOST_TRIES:
        return Answer.USED_UP
    row.tries += 1
    if not hmac.compare_digest(_hash(row, "".join(typed.split())), row.code_hash):
        return Answer.WRONG if row.tries < MOST_TRIES else Answer.USED_UP
    _refuse_taken(row.account_id, row.user_id, row.email_key)
    row.verified_at, row.code_hash, row.code_expires_at, row.tries = now(), "", None, 0
    record(events.OWN_ADDRESS_VERIFIED, row)
    return Answer.VERIFIED


def issue_code(row: OwnAddress) -> str:
    """A new code of six digits for the row, in the caller's transaction; the row keeps its keyed hash alone."""
    code = f"{secrets.randbelow(1_000_000):06d}"
    row.code_hash, row.code_expires_at, row.tries = _hash(row, code), now() + CODE_LIFE, 0
    return code


def note_not_sent(row: OwnAddress) -> None:
    """The code did not leave: none works, and the page says so."""
    row.code_hash, row.code_expires_at = "", now()


def has_failed(row: OwnAddress) -> bool:
    """Whether the newest code could not be sent."""
    return row.verified_at is None and not row.code_hash and row.code_expires_at is not None


def _require_server(account_id: UUID) -> None:
    if relay_of(account_id) is None:
        raise AddressRefused(NO_SERVER, cause="no_mail_server")


def _order_code(row: OwnAddress) -> None:
    row.code_hash, row.code_expires_at = "", None
    record(events.OWN_ADDRESS_ADDED, row)
    queues.enqueue("sending.send_address_code", row.id, on=queues.SENDING, once=f"address-code-{row.id}")


def _hash(row: OwnAddress, code: str) -> str:
    """Keyed, so that a copy of the database does not give the code away."""
    key: str = current_app.extensions["settings"].secret_key
    return hmac.new(key.encode(), f"own-address:{row.id}:{code}".encode("utf-8", "replace"), sha256).hexdigest()


def _refuse_foreign(account_id: UUID, user_id: UUID, key: str) -> None:
    if not key or not key.isascii() or domain_of(key) == current_app.extensions["settings"].reply_domain:
        raise AddressRefused("Give one mail address of yours, such as you@example.com.", cause="no_address")
    named = own_addresses(account_id, user_id)
    if any(row.email_key == key for row in named):
        raise AddressRefused(NAMED, cause="already_named")
    if key in owner_keys(account_id, user_id):
        raise AddressRefused("You may write from this address already.", cause="already_own")
    if len(named) >= MOST_ADDRESSES:
        raise AddressRefused(f"You have {MOST_ADDRESSES} addresses here. Remove one first.", cause="too_many")
    _refuse_taken(account_id, user_id, key)


def _refuse_taken(account_id: UUID, user_id: UUID, key: str) -> None:
    """A colleague's address and a contact's are theirs, whoever can read mail there."""
    if _is_of_a_colleague(account_id, user_id, key):
        raise AddressRefused("This is a colleague’s address. Only an address of your own can be added.", cause="colleague")
    contact = select(Contact.id).where(Contact.account_id == account_id, Contact.email_key == key)
    if db.session.scalar(contact.limit(1)) is not None:
        raise AddressRefused("This is a contact’s address. Only an address of your own can be added.", cause="contact")


def _is_of_a_colleague(account_id: UUID, user_id: UUID, key: str) -> bool:
    """Whether somebody else of the account signs in with this address, or has connected it, or an alias of theirs is it.

    Narrower than `crm_user_keys`: a mailbox that they have disconnected may be yours now, and two may share a verified one.
    """
    sign_ins = select(User.email_key).join(Membership, Membership.user_id == User.id)
    sign_ins = sign_ins.where(Membership.account_id == account_id, User.id != user_id)
    mailboxes = select(Connection.mailbox, Connection.aliases).where(
        Connection.account_id == account_id, Connection.user_id != user_id, Connection.disconnected_at.is_(None)
    )
    theirs = set(db.session.scalars(sign_ins))
    for mailbox, aliases in db.session.execute(mailboxes):
        theirs.update(match_key(address) for address in (mailbox, *aliases))
    return mailbox_of(key) in {mailbox_of(other) for other in theirs}
