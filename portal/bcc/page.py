"""What My Profile and "How to use it" show of a person's BCC Sync."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import segno
from markupsafe import Markup
from segno.helpers import make_vcard_data

from portal.bcc import queries, verifying
from portal.bcc.service import address_of, written_address
from portal.connections.queries import live_connection
from portal.lib.clock import now
from portal.models import Connection, Membership, OwnAddress
from portal.sending.relays import relay_of

QR_SCALE = 4
WHY_OWN = {
    "sign_in": "You sign in with it", "mailbox": "Your connected mailbox", "alias": "An alias of your mailbox",
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """BCC Sync on My Profile: the address, and how many contacts are tracked and mails wait."""

    address: str
    tracked: int
    waiting: int


def card_of(membership: Membership) -> Card:
    """The card of one person; their address is made when this is first asked for (B-01)."""
    own = (membership.account_id, membership.user_id)
    return Card(
        address=written_address(address_of(*own)),
        tracked=queries.tracked_count(*own),
        waiting=queries.waiting_count(*own),
    )


@dataclass(frozen=True)
class OwnAddressLine:
    """An address that the person named. `state` is verified, sending, sent, expired or failed."""

    id: UUID
    email: str
    state: str


@dataclass(frozen=True)
class HowTo:
    """The page of how to use it. `connection` decides what is tracked afterwards (B-03)."""

    address: str
    qr: Markup
    connection: Connection | None
    senders: tuple[tuple[str, str], ...]  # an address one may post from, and why
    named: tuple[OwnAddressLine, ...]
    can_send_codes: bool


def how_to(membership: Membership) -> HowTo:
    """Everything that the page says, for one person."""
    own = (membership.account_id, membership.user_id)
    address, connection = written_address(address_of(*own)), live_connection(*own)
    return HowTo(
        address=address,
        qr=draw_qr(address, membership.account.name),
        connection=connection,
        senders=_senders(membership, connection),
        named=tuple(OwnAddressLine(row.id, row.email, _state(row)) for row in queries.own_addresses(*own)),
        can_send_codes=relay_of(membership.account_id) is not None,
    )


def draw_qr(address: str, practice: str) -> Markup:
    """A QR code that a phone's camera offers to save as a contact: "BCC Sync" of the practice, with this address."""
    name = f"BCC Sync {practice}"
    code = segno.make(make_vcard_data(f"{practice};BCC Sync", name, email=address), error="m", micro=False)
    return Markup(code.svg_inline(scale=QR_SCALE, omitsize=True, svgclass="qr", lineclass=None))  # noqa: S704  no text in it


def _senders(membership: Membership, connection: Connection | None) -> tuple[tuple[str, str], ...]:
    given = queries.given_addresses(membership.user.email, connection)
    return tuple((address, WHY_OWN[kind]) for address, kind in given.items())


def _state(row: OwnAddress) -> str:
    if row.verified_at is not None:
        return "verified"
    if verifying.has_failed(row):
        return "failed"
    if row.code_expires_at is None:
        return "sending"
    return "sent" if row.code_expires_at > now() and row.tries < verifying.MOST_TRIES else "expired"
