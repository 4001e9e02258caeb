"""The practice's own figures beside the six risks: each from the rows as they are now (pages.md: no sample numbers)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, or_, select

from portal.access.permissions import ROLE_LABELS, Permission, role_may
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Connection, Contact, Membership, Message, OutboxMail, User
from portal.rules.addresses import CONSUMER_DOMAINS, GOOGLE_DOMAINS, canonical_key, domain_of


@dataclass(frozen=True)
class Figures:
    """What is known of one person's practice. Counts are of this moment."""

    contacts: int
    like_staff: int  # contacts with a CRM user's address or the practice's own domain
    known_users: int  # of those, CRM users: all that the built-in filter would keep out
    readers: tuple[tuple[str, int], ...]  # role, people who can open every conversation
    kept_mails: int
    ended_mailboxes: int
    sent_30_days: int
    busiest_day: int
    cap: int
    shared_contacts: int
    shared_with: tuple[str, ...]  # the person's other locations

    @property
    def reading_people(self) -> int:
        return sum(count for _role, count in self.readers)


def figures_of(account: Account, user_id: UUID) -> Figures:
    """The figures for a person in an account."""
    like_staff, known_users = _like_staff(account.id)
    kept_mails, ended_mailboxes = _left_over(account.id)
    shared_contacts, shared_with = _shared(account.id, user_id)
    return Figures(
        contacts=_count(select(func.count()).where(Contact.account_id == account.id)),
        like_staff=like_staff,
        known_users=known_users,
        readers=_readers(account.id),
        kept_mails=kept_mails,
        ended_mailboxes=ended_mailboxes,
        sent_30_days=_sent(user_id, 30),
        busiest_day=_busiest_day(user_id, 90),
        cap=account.send_cap,
        shared_contacts=shared_contacts,
        shared_with=shared_with,
    )


def _count(query: object) -> int:
    return db.session.scalar(query) or 0  # type: ignore[call-overload, no-any-return]


def _like_staff(account_id: UUID) -> tuple[int, int]:
    """Contacts that look like people who work here, and how many of them are CRM users."""
    keys = set(
        db.session.scalars(
            select(User.email_key).join(Membership, Membership.user_id == User.id).where(Membership.account_id == account_id)
        )
    )
    own_domains = {domain_of(key) for key in keys} - CONSUMER_DOMAINS
    places = [Contact.email_key.in_(keys), *(_in_domain(domain) for domain in own_domains), *_google_twins(keys)]
    query = select(Contact.email_key).where(Contact.account_id == account_id, Contact.email_key != "", or_(*places))
    users = {canonical_key(key) for key in keys}
    found = [canonical_key(key) for key in db.session.scalars(query)]
    known = sum(key in users for key in found)
    return known + sum(key not in users and domain_of(key) in own_domains for key in found), known


def _in_domain(domain: str) -> ColumnElement[bool]:
    return Contact.email_key.endswith(f"@{domain}", autoescape=True)


def _google_twins(keys: set[str]) -> list[ColumnElement[bool]]:
    """Where another spelling of a user's Gmail address could stand: dots and plus-tags leave the first letter."""
    letters = {key[0] for key in keys if domain_of(key) in GOOGLE_DOMAINS}
    return [
        Contact.email_key.startswith(letter, autoescape=True) & _in_domain(domain)
        for letter in letters
        for domain in GOOGLE_DOMAINS
    ] or [false()]


def _readers(account_id: UUID) -> tuple[tuple[str, int], ...]:
    query = (
        select(Membership.role, func.count().label("people"))
        .where(Membership.account_id == account_id, Membership.state == "active")
        .group_by(Membership.role)
    )
    counts = {row.role: row.people for row in db.session.execute(query)}
    return tuple(
        (label, counts[role])
        for role, label in ROLE_LABELS.items()
        if counts.get(role) and role_may(role, Permission.READ_CONVERSATIONS)
    )


def _left_over(account_id: UUID) -> tuple[int, int]:
    """Mails of disconnected mailboxes that are still in the records, and of how many mailboxes."""
    query = (
        select(func.count(), func.count(func.distinct(Connection.mailbox_key)))
        .select_from(Message)
        .join(Connection, Connection.id == Message.connection_id)
        .where(Message.account_id == account_id, Connection.disconnected_at.is_not(None))
    )
    mails, mailboxes = db.session.execute(query).one()
    return mails, mailboxes


def _sent(user_id: UUID, days: int) -> int:
    since = now() - timedelta(days=days)
    return _count(select(func.count()).where(OutboxMail.user_id == user_id, OutboxMail.sent_at > since))


def _busiest_day(user_id: UUID, days: int) -> int:
    since, day = now() - timedelta(days=days), func.date(OutboxMail.sent_at)
    counts = (
        select(func.count().label("mails"))
        .where(OutboxMail.user_id == user_id, OutboxMail.sent_at > since)
        .group_by(day)
        .subquery()
    )
    return _count(select(func.max(counts.c.mails)))


def _shared(account_id: UUID, user_id: UUID) -> tuple[int, tuple[str, ...]]:
    """Contacts of this account whose address is a contact too in another location where the person works."""
    others = db.session.scalars(
        select(Membership).where(
            Membership.user_id == user_id, Membership.account_id != account_id, Membership.state == "active"
        )
    ).all()
    if not others:
        return 0, ()
    elsewhere = select(Contact.email_key).where(Contact.account_id.in_([row.account_id for row in others]))
    query = select(func.count(func.distinct(Contact.email_key))).where(
        Contact.account_id == account_id, Contact.email_key != "", Contact.email_key.in_(elsewhere)
    )
    return _count(query), tuple(row.account.location for row in others)
