"""Rows for tests, with only what a test cares about to be named. All add and flush; the test commits."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import (
    Account,
    Acknowledgement,
    Automation,
    BccAddress,
    Campaign,
    Connection,
    Contact,
    ContactAddress,
    Conversation,
    ConversationThread,
    Delivery,
    Grant,
    IntakeMail,
    MailRelay,
    Membership,
    Message,
    MessageBody,
    OwnAddress,
    Participant,
    TrackedContact,
    Unsubscribe,
    User,
)
from portal.models.base import Row
from portal.rules.addresses import match_key
from portal.rules.reasons import Reason
from portal.sealing import envelope, place, seal_text

_numbers = count(1)


def _add(row: Row) -> None:
    db.session.add(row)
    db.session.flush()


def make_account(slug: str = "", **values: Any) -> Account:
    """A practice location."""
    number = next(_numbers)
    row = Account(**{"slug": slug or f"place-{number}", "name": "Lumen Aesthetics", "location": "Uptown"} | values)
    _add(row)
    return row


def make_user(email: str = "", **values: Any) -> User:
    """A person with a login and no place to work yet."""
    email = email or f"person-{next(_numbers)}@lumen.example"
    row = User(**{"email": email, "email_key": match_key(email), "name": email.partition("@")[0].title()} | values)
    _add(row)
    return row


def make_member(account: Account, role: str = "provider", *, user: User | None = None, **values: Any) -> User:
    """A person who works in `account` with this role; `user` gives an existing person a second place."""
    user = user or make_user(**{key: values.pop(key) for key in ("email", "name") if key in values})
    _add(Membership(**{"account_id": account.id, "user_id": user.id, "role": role, "state": "active"} | values))
    return user


def make_contact(
    account: Account, email: str = "", name: str = "Priya Raman", *, alternates: tuple[str, ...] = (), **values: Any
) -> Contact:
    """A contact with a primary and perhaps alternate addresses."""
    email = email or f"patient-{next(_numbers)}@mail.example"
    first, _, last = name.partition(" ")
    row = Contact(
        **{
            "account_id": account.id, "first_name": first, "last_name": last,
            "name_key": f"{last} {first}".strip().casefold(), "email": email, "email_key": match_key(email),
        } | values
    )  # fmt: skip
    _add(row)
    for alternate in alternates:
        _add(
            ContactAddress(
                account_id=account.id, contact_id=row.id, email=alternate, email_key=match_key(alternate)
            )
        )
    return row


def make_signature(account: Account, user: User, **values: Any) -> Acknowledgement:
    """The person's signature under the newest risk text; without one no sync runs (H-07)."""
    from portal.connections.acknowledgements import current_text

    text = current_text()
    row = Acknowledgement(
        **{
            "account_id": account.id, "user_id": user.id, "provider": "google", "text_version": text.version,
            "text_sha256": text.sha256, "items": list("abcdef"), "typed_name": user.name, "ip": "127.0.0.1",
            "browser": "test",
        } | values
    )  # fmt: skip
    _add(row)
    return row


def make_grant(user: User, mailbox: str = "", *, refresh_token: str = "", **values: Any) -> Grant:
    """A grant, at Google unless `provider` says another; with `refresh_token` it can be used against the stand-in."""
    subject = values.pop("subject", f"sub-{mailbox or next(_numbers)}")
    row = Grant(**{"id": new_id(), "user_id": user.id, "provider": "google", "subject": subject} | values)
    if refresh_token:
        row.refresh_token = seal_text(refresh_token, "grant.refresh_token", f"{row.provider}:{subject}", row.id)
    _add(row)
    return row


def make_connection(
    account: Account, user: User, mailbox: str = "", *, grant: Grant | None = None, **values: Any
) -> Connection:
    """A live Gmail connection, connected an hour ago, due at once."""
    mailbox = mailbox or f"{user.email_key.partition('@')[0]}@gmail.example"
    grant = grant or make_grant(user, mailbox)
    since: datetime = values.get("connected_at", now() - timedelta(hours=1))
    row = Connection(
        **{
            "account_id": account.id, "user_id": user.id, "provider": "google", "grant_id": grant.id, "mailbox": mailbox,
            "mailbox_key": match_key(mailbox), "aliases": [mailbox], "state_since": since, "connected_at": since,
            "next_poll_at": now(), "cursor": "1",
        } | values
    )  # fmt: skip
    _add(row)
    return row


def make_relay(account: Account, port: int, **values: Any) -> MailRelay:
    """The account's mail server, tested and on: the stand-in's SMTP sink (`sandbox.smtp_port`), no TLS, no sign-in."""
    password = values.pop("password", "")
    row = MailRelay(
        **{
            "id": new_id(), "account_id": account.id, "host": "127.0.0.1", "port": port, "security": "none",
            "from_email": "hello@lumen.example", "from_name": "Lumen Aesthetics Uptown", "is_on": True, "tested_at": now(),
        } | values
    )  # fmt: skip
    if password:
        row.password = seal_text(password, "mail_relay.password", account.id, row.id)
    _add(row)
    return row


def make_campaign(
    account: Account, user: User, *, subject: str = "News for {first_name|you}", text: str = "Hello {first_name|there}.",
    html: str = "", **values: Any,
) -> Campaign:  # fmt: skip
    """A draft to all contacts, from the practice."""
    from portal.sending.delivery_letters import Letter, seal_letter

    row = Campaign(
        **{
            "id": new_id(), "account_id": account.id, "user_id": user.id, "name": "Autumn news",
            "audience": {"by": "filter", "q": "", "show": "all"}, "state": "draft",
        } | values
    )  # fmt: skip
    seal_letter(row, Letter(subject, text, html, is_bulk=True))
    _add(row)
    return row


def make_automation(
    account: Account, user: User, *, subject: str = "Welcome, {first_name|you}", text: str = "Hello {first_name|there}.",
    html: str = "", **values: Any,
) -> Automation:  # fmt: skip
    """A mail to each new contact, switched on an hour ago; `is_on=False` makes one that rests."""
    from portal.sending.delivery_letters import Letter, seal_letter

    is_on = values.get("is_on", True)
    row = Automation(
        **{
            "id": new_id(), "account_id": account.id, "user_id": user.id, "name": "Welcome", "trigger": "contact_created",
            "is_on": is_on, "on_since": now() - timedelta(hours=1) if is_on else None,
        } | values
    )  # fmt: skip
    seal_letter(row, Letter(subject, text, html, is_bulk=False))
    _add(row)
    return row


def make_unsubscribe(account: Account, email: str, **values: Any) -> Unsubscribe:
    """An address that wants no campaigns of this account."""
    row = Unsubscribe(**{"account_id": account.id, "email_key": match_key(email), "source": "page"} | values)
    _add(row)
    return row


def make_delivery(parent: Campaign | Automation, contact: Contact, **values: Any) -> Delivery:
    """A mail of a campaign or an automation that waits for its turn."""
    key = "campaign_id" if isinstance(parent, Campaign) else "automation_id"
    row = Delivery(
        **{
            "account_id": parent.account_id, key: parent.id, "contact_id": contact.id, "email": contact.email,
            "email_key": contact.email_key, "state": "waiting", "token": new_token(), "next_try_at": now(),
        } | values
    )  # fmt: skip
    _add(row)
    return row


def make_bcc_address(account: Account, user: User, **values: Any) -> BccAddress:
    """The person's BCC address."""
    row = BccAddress(**{"account_id": account.id, "user_id": user.id, "token": new_token()} | values)
    _add(row)
    return row


def make_tracked(contact: Contact, user: User, **values: Any) -> TrackedContact:
    """The person tracks this contact since an hour ago."""
    since = now() - timedelta(hours=1)
    row = TrackedContact(
        **{"account_id": contact.account_id, "user_id": user.id, "contact_id": contact.id, "since": since} | values
    )
    _add(row)
    return row


def make_own_address(account: Account, user: User, email: str, *, is_verified: bool = True, **values: Any) -> OwnAddress:
    """An address that the person named as their own."""
    row = OwnAddress(
        **{
            "account_id": account.id, "user_id": user.id, "email": email, "email_key": match_key(email),
            "verified_at": now() if is_verified else None,
        } | values
    )  # fmt: skip
    _add(row)
    return row


def make_waiting_mail(account: Account, user: User, raw: bytes, state: str, **values: Any) -> IntakeMail:
    """A mail with the person's BCC address that waits for their word: "unverified" or "unmatched"."""
    reason = {"unverified": Reason.UNVERIFIED, "unmatched": Reason.UNMATCHED}[state]
    row = IntakeMail(
        **{
            "id": new_id(), "account_id": account.id, "user_id": user.id, "kind": "bcc", "token": new_token(),
            "digest": new_id().hex, "size": len(raw), "state": state, "outcome": reason.outcome.value,
            "reason": reason.value, "next_try_at": now(),
            "authentication": {"unverified": "unproven", "unmatched": "proven"}[state],
        } | values
    )  # fmt: skip
    row.raw = envelope().seal(raw, place("intake_mail.raw", row.account_id, row.id))
    _add(row)
    return row


def make_conversation(
    contact: Contact, user: User, connection: Connection | None = None, *, subject: str = "Swelling, day 2",
    thread: str = "", **values: Any,
) -> Conversation:  # fmt: skip
    """An open conversation without messages; `thread` links it to a thread of the connection's mailbox."""
    row = Conversation(
        **{
            "id": new_id(), "account_id": contact.account_id, "contact_id": contact.id, "user_id": user.id,
            "connection_id": connection.id if connection else None, "started_by": "contact", "last_message_at": now(),
        } | values
    )  # fmt: skip
    row.subject = seal_text(subject, "conversation.subject", row.account_id, row.id)
    _add(row)
    if connection is not None and thread:
        _add(
            ConversationThread(
                account_id=row.account_id, conversation_id=row.id, connection_id=connection.id, provider_thread_id=thread
            )
        )  # fmt: skip
    return row


def make_message(
    conversation: Conversation, text: str = "It feels softer today.", *, direction: str = "inbound",
    people: dict[str, list[str]] | None = None, html: str = "", subject: str = "Swelling, day 2", **values: Any,
) -> Message:  # fmt: skip
    """A logged message with body and participants (`people` is {"from": [...], "to": [...], "cc": [...]})."""
    account_id, row_id = conversation.account_id, new_id()
    row = Message(
        **{
            "id": row_id, "account_id": account_id, "conversation_id": conversation.id,
            "connection_id": conversation.connection_id, "direction": direction, "origin": "mailbox",
            "provider_message_id": f"m{row_id.hex}", "internet_message_id": f"<{row_id.hex}@mail.example>", "sent_at": now(),
        } | values
    )  # fmt: skip
    row.subject = seal_text(subject, "message.subject", account_id, row_id)
    row.snippet = seal_text(text[:140], "message.snippet", account_id, row_id)
    _add(row)
    body = MessageBody(id=row_id, account_id=account_id, text=seal_text(text, "message_body.text", account_id, row_id))
    if html:
        body.html = seal_text(html, "message_body.html", account_id, row_id)
    _add(body)
    _add_people(row, people or {"from": [conversation.contact.email], "to": ["me@gmail.example"]})
    conversation.message_count += 1
    conversation.last_message_at, conversation.last_direction = row.sent_at, direction
    db.session.flush()
    return row


def _add_people(message: Message, people: dict[str, list[str]]) -> None:
    for field, addresses in people.items():
        for position, email in enumerate(addresses):
            _add(
                Participant(
                    account_id=message.account_id, message_id=message.id, conversation_id=message.conversation_id,
                    field=field, position=position, email=email, email_key=match_key(email),
                )
            )  # fmt: skip


def unknown_id() -> UUID:
    """An id that belongs to nothing."""
    return new_id()
