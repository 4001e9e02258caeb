"""By which way and as whom a person's individual mail leaves (S-01)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from flask import current_app
from sqlalchemy import update

from portal.connections.queries import live_connection
from portal.database import db
from portal.lib.ids import new_token
from portal.models import Connection, Conversation, MailRelay, User
from portal.rules.addresses import Address, match_key
from portal.rules.routing import Route, routed_address
from portal.rules.sending import Cap, Path, decide_path
from portal.sending import relays
from portal.sending.caps import cap_of
from portal.sending.outlook import FILE_HINT as OUTLOOK_FILES

FILES = "Up to 25 MB together. Files are not kept with a draft."


@dataclass(frozen=True)
class Way:
    """How the individual mail of a person leaves. `mailbox_path` is the way without the account's provider."""

    path: Path
    connection: Connection | None
    cap: Cap | None
    relay: MailRelay | None = None
    mailbox_path: Path = Path.NO_MAILBOX
    writer: str = ""  # in whose name mail leaves through the relay

    @property
    def must_wait(self) -> bool:
        """Whether the next mail would have to wait for the cap."""
        return self.path is Path.MAILBOX and self.cap is not None and self.cap.must_wait

    @property
    def file_hint(self) -> str:
        """Which files leave this way, in words for the field (G-13, O-06)."""
        is_outlook = self.connection is not None and self.connection.provider == "microsoft"
        return OUTLOOK_FILES if is_outlook and self.path is Path.MAILBOX else FILES

    @property
    def is_relay_away(self) -> bool:
        """Whether the mail server is known to be away at the moment."""
        return self.relay is not None and relays.is_waiting(self.relay)


def way_of(account_id: UUID, user_id: UUID) -> Way:
    """The way of a person's individual mail in this account."""
    connection, relay = live_connection(account_id, user_id), relays.relay_of(account_id)
    state = connection.state if connection else None
    cap = cap_of(connection) if connection else None
    user = db.session.get_one(User, user_id)
    return Way(decide_path(state, relay is not None), connection, cap, relay, decide_path(state), user.name)


@dataclass(frozen=True)
class Sender:
    """As whom a mail leaves: through one of `connection` and `relay`."""

    address: Address
    connection: Connection | None = None
    relay: MailRelay | None = None

    @property
    def path(self) -> Path:
        return Path.PROVIDER if self.connection is None else Path.MAILBOX


def by_mailbox(connection: Connection, user: User) -> Sender:
    """The person's own mailbox."""
    return Sender(Address(connection.mailbox, connection.mailbox_key, user.name), connection=connection)


def by_relay(relay: MailRelay, user: User) -> Sender:
    """The account's mail server, in the person's name."""
    return Sender(Address(relay.from_email, match_key(relay.from_email), user.name), relay=relay)


def reply_address(conversation: Conversation) -> Address:
    """The conversation's own address, to which answers come back; made when it is first needed (S-01)."""
    if conversation.reply_token is None:  # two people may ask at once: the first token stands
        query = update(Conversation).where(Conversation.id == conversation.id, Conversation.reply_token.is_(None))
        db.session.execute(query.values(reply_token=new_token()).execution_options(synchronize_session=False))
        db.session.refresh(conversation, attribute_names=["reply_token"])
    domain = current_app.extensions["settings"].reply_domain
    email = routed_address(Route.REPLY, str(conversation.reply_token), domain)
    return Address(email, email, "")


def bounce_address(token: str) -> str:
    """Where delivery reports of one mail go: the envelope's sender (G-22)."""
    return routed_address(Route.BOUNCE, token, current_app.extensions["settings"].reply_domain)
