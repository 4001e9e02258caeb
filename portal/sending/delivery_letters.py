"""What a campaign or an automation writes, and the mail of it that one person gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from uuid import UUID

from flask import current_app

from portal.models import Account, Automation, Campaign, Connection, MailRelay
from portal.rules.addresses import Address, match_key
from portal.rules.bulk import BulkSender, decide_bulk_sender
from portal.rules.routing import Route, routed_address
from portal.rules.sending import one_line
from portal.rules.templates import fill, values_of
from portal.sealing import open_text, seal_text
from portal.sending.mime import OutgoingMail

PARTS = ("subject", "text", "html")


@dataclass(frozen=True)
class Letter:
    """A template: one text for all, with fields that are filled in for each. `html` is "" for plain text only."""

    subject: str
    text: str
    html: str
    is_bulk: bool


@dataclass(frozen=True)
class Person:
    """Who a mail is for, in plain strings."""

    delivery_id: UUID
    email: str
    email_key: str
    token: str
    first_name: str
    last_name: str


@dataclass(frozen=True)
class Post:
    """What all mails of one campaign or automation have in common."""

    letter: Letter
    sender: Address
    practice: str
    location: str
    base_url: str
    reply_domain: str

    def return_path(self, token: str) -> str:
        """The envelope sender of one mail: delivery reports come back to it (G-22)."""
        return routed_address(Route.BOUNCE, token, self.reply_domain)

    def unsubscribe_url(self, token: str) -> str:
        """Where one recipient says that they want no more (RFC 8058)."""
        return f"{self.base_url}/unsubscribe/{token}"


def seal_letter(row: Campaign | Automation, letter: Letter) -> None:
    """Keep a letter's three texts sealed in its row, whose id must be set."""
    for part in PARTS:
        text = getattr(letter, part)
        kind = f"{row.__tablename__}.{part}"
        setattr(row, part, seal_text(text, kind, row.account_id, row.id) if text else None)


def open_letter(row: Campaign | Automation) -> Letter:
    """The letter of a campaign or an automation. Raises SealError when a text does not belong to this row."""
    texts = {
        part: open_text(getattr(row, part), f"{row.__tablename__}.{part}", row.account_id, row.id) for part in PARTS
    }
    return Letter(texts["subject"], texts["text"], texts["html"], is_bulk=isinstance(row, Campaign))


def practice_address(relay: MailRelay, account: Account) -> Address:
    """As whom mail of the account leaves when nobody's own address stands in From."""
    return Address(relay.from_email, match_key(relay.from_email), relay.from_name or account.name)


def bulk_sender(campaign: Campaign, connection: Connection | None, practice: Address) -> BulkSender:
    """Who a campaign is from (O-07). `connection` is the one whose address was put in From."""
    own = None
    if campaign.sender == "own" and connection is not None:
        own = Address(connection.mailbox, connection.mailbox_key, connection.user.name)
    return decide_bulk_sender(own, practice)


def post_of(letter: Letter, sender: Address, account: Account) -> Post:
    """Everything but the person."""
    settings = current_app.extensions["settings"]
    return Post(letter, sender, account.name, account.location, settings.base_url.rstrip("/"), settings.reply_domain)


def write_mail(post: Post, person: Person, moment: datetime) -> OutgoingMail:
    """The mail that one person gets, with everything filled in; workflow mail has no unsubscribe line."""
    values = _values(post, person)
    letter = post.letter
    text, html = fill(letter.text, values), fill(letter.html, values, escape=escape) if letter.html else ""
    if letter.is_bulk:
        url = post.unsubscribe_url(person.token)
        text = f"{text.rstrip()}\n\n-- \n{_because(post)}\nUnsubscribe: {url}\n"
        link = f'{escape(_because(post))} <a href="{escape(url)}">Unsubscribe</a>'
        html = f"{html}<hr><p><small>{link}</small></p>" if html else ""
    return OutgoingMail(
        sender=post.sender,
        to=(Address(person.email, person.email_key, one_line(f"{person.first_name} {person.last_name}")),),
        subject=one_line(fill(letter.subject, values)),
        text=text,
        html=html,
        crm_ref=person.delivery_id,
        written_at=moment,
        marks=_marks(post, person),
    )


def _because(post: Post) -> str:
    return f"You get this mail because you are in contact with {post.practice}, {post.location}."


def _values(post: Post, person: Person) -> Mapping[str, str]:
    return values_of(
        first_name=person.first_name, last_name=person.last_name, practice=post.practice, location=post.location,
    )  # fmt: skip


def _marks(post: Post, person: Person) -> tuple[tuple[str, str], ...]:
    """Header fields by which mail programs know what this is: RFC 2369 and 8058 for a campaign, RFC 3834 for the rest."""
    if not post.letter.is_bulk:
        return (("Auto-Submitted", "auto-generated"),)
    return (
        ("List-Unsubscribe", f"<{post.unsubscribe_url(person.token)}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Precedence", "bulk"),
    )
