"""The one mail that BCC Sync sends: a code, to an address that a person says is theirs (B-05)."""

from __future__ import annotations

from uuid import UUID

from flask import current_app

from portal.access.memberships import may_still
from portal.access.permissions import Permission
from portal.bcc import verifying
from portal.database import db, transaction
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Account, MailRelay, OwnAddress
from portal.providers.errors import ProviderError, Unanswered
from portal.providers.smtp.relay import RelaySession
from portal.rules.addresses import Address, match_key
from portal.rules.routing import Route, routed_address
from portal.sending.mime import OutgoingMail, build_mime
from portal.sending.relays import relay_of, server_of

TEXT = """{code}

This code shows that {email} is an address of yours. Enter it in the portal of {place},
where you asked for it, within 15 minutes.

If you did not ask for it, leave it. Nothing happens then.
"""


def send_code(own_address_id: UUID) -> None:
    """Make a code for the address and send it through the location's mail server, once; no transaction is open meanwhile.

    Nothing is sent for an address that was removed or verified, nor for somebody who may no longer write mail. A code that
    could not be sent is void, and the page says so.
    """
    with transaction():
        row = db.session.get(OwnAddress, own_address_id, with_for_update=True)
        if row is None or row.verified_at is not None or not may_still(row.account_id, row.user_id, Permission.WRITE_MAIL):
            return
        relay = relay_of(row.account_id)
        if relay is None:
            verifying.note_not_sent(row)
            return
        server, recipient = server_of(relay), row.email
        sender = routed_address(Route.BOUNCE, new_token(), current_app.extensions["settings"].reply_domain)
        raw = _letter(db.session.get_one(Account, row.account_id), relay, recipient, verifying.issue_code(row))
    try:
        with RelaySession(server) as session:
            session.send(raw, sender, [recipient])
    except Unanswered:
        current_app.logger.warning("a code for an address was perhaps sent")  # if so, it works
    except ProviderError as error:
        current_app.logger.warning("a code for an address was not sent: %s", type(error).__name__)
        _note_not_sent(own_address_id)


def _note_not_sent(own_address_id: UUID) -> None:
    with transaction():
        row = db.session.get(OwnAddress, own_address_id, with_for_update=True)
        if row is not None and row.verified_at is None:
            verifying.note_not_sent(row)


def _letter(account: Account, relay: MailRelay, recipient: str, code: str) -> bytes:
    place = f"{account.name}, {account.location}"
    mail = OutgoingMail(
        sender=Address(relay.from_email, match_key(relay.from_email), relay.from_name),
        to=(Address(recipient, match_key(recipient)),),
        subject=f"Your code for {place}",
        text=TEXT.format(code=code, email=recipient, place=place),
        crm_ref=new_id(),
        written_at=now(),
        marks=(("Auto-Submitted", "auto-generated"),),
    )
    return build_mime(mail)
