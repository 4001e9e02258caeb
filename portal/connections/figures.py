"""The practice's own figures beside the six risks: each from the rows as they are now (pages.md: no sample numbers)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from portal.contacts.colleagues import Likeness, colleagues_of, like_colleagues
from portal.conversations.queries import readers_by_role
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Connection, Contact, Membership, Message, OutboxMail
from portal.rules.sending import cap_setting


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
        """How many people of the account may read what is synced."""
        return sum(count for _role, count in self.readers)


def figures_of(account: Account, user_id: UUID, provider: str) -> Figures:
    """The figures for a person in an account who thinks of connecting a mailbox of this provider."""
    like_staff, known_users = _like_staff(account.id)
    kept_mails, ended_mailboxes = _left_over(account.id)
    shared_contacts, shared_with = _shared(account.id, user_id)
    return Figures(
        contacts=_count(select(func.count()).where(Contact.account_id == account.id)),
        like_staff=like_staff,
        known_users=known_users,
        readers=tuple((row.role, row.count) for row in readers_by_role(account.id) if row.count),
        kept_mails=kept_mails,
        ended_mailboxes=ended_mailboxes,
        sent_30_days=_sent(user_id, 30),
        busiest_day=_busiest_day(user_id, 90),
        cap=min(getattr(account, cap_setting(provider, is_consumer=kind)) for kind in (True, False)),
        shared_contacts=shared_contacts,
        shared_with=shared_with,
    )


def _count(query: object) -> int:
    return db.session.scalar(query) or 0  # type: ignore[call-overload, no-any-return]


def _like_staff(account_id: UUID) -> tuple[int, int]:
    """Contacts that look like people who work here, and how many of them are CRM users."""
    colleagues = colleagues_of(account_id)
    query = select(Contact.email_key).where(Contact.account_id == account_id, like_colleagues(account_id, colleagues))
    found = [colleagues.likeness(key) for key in db.session.scalars(query)]
    return len(found), found.count(Likeness.CRM_USER)


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
