"""A person with a BCC address, whose mail their provider signs; and a DNS that is written down here."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dkim import DKIM
from flask import Flask
from sqlalchemy import select

from portal.bcc.service import address_of, written_address
from portal.database import db
from portal.intake import filing, service
from portal.intake.dns import DnsUnavailable
from portal.lib.ids import new_id
from portal.models import Account, Contact, Conversation, IntakeMail, Message, MessageBody, TrackedContact, User
from portal.sealing import open_text
from tests import factories

DOMAIN = "replies.demo.example"
OWNER, PATIENT, SPOUSE, NEWCOMER = "tomas@lumen.example", "priya@mail.example", "anil@mail.example", "new@mail.example"
STRANGER, COLLEAGUE = "x@elsewhere.example", "lena@lumen.example"


@lru_cache(maxsize=1)
def key() -> rsa.RSAPrivateKey:
    """One key for all domains of these tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private() -> bytes:
    form, no_password = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return key().private_bytes(serialization.Encoding.PEM, form, no_password)


def key_record() -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return "v=DKIM1; k=rsa; p=" + base64.b64encode(key().public_key().public_bytes(serialization.Encoding.DER, form)).decode()


def signed(raw: bytes, domain: str, **options: Any) -> bytes:
    """The mail with a signature of this domain in front."""
    signer = DKIM(raw)
    options = {"canonicalize": (b"relaxed", b"relaxed")} | options
    return bytes(signer.sign(b"s1", domain.encode(), private(), **options)) + raw


class Zone(dict[tuple[str, str], tuple[str, ...]]):
    """A DNS that knows the keys of some domains and whatever else is put in; `silent` names do not answer."""

    silent: frozenset[str] = frozenset()
    asked: list[str]

    def __call__(self, name: str, kind: str) -> tuple[str, ...]:
        self.asked = [*getattr(self, "asked", []), name]
        if name in self.silent:
            raise DnsUnavailable("silent")
        return self.get((name, kind), ())


@dataclass
class Owner:
    """Tomas with his BCC address, and Priya, his patient. His mail is signed by lumen.example; the DNS knows its key."""

    app: Flask
    account: Account
    user: User
    contact: Contact
    dns: Zone
    address: str

    def mail(self, to: str = PATIENT, text: str = "See you on Monday.", *, is_signed: bool = True, **headers: str) -> bytes:
        """A mail of his. Keywords are more header fields (Cc, In_Reply_To, From, …)."""
        fields = {"From": f"Tomas Berg <{OWNER}>", "To": to, "Subject": "Your visit", "Message_ID": f"<{new_id()}@mail>"}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in (fields | headers).items() if value]
        raw = ("\r\n".join([*lines, "", text, ""])).encode("utf-8", "surrogateescape")
        return signed(raw, "lumen.example") if is_signed else raw

    def post(self, raw: bytes, *to: str, mail_from: str = OWNER) -> bool:
        """Hand a mail to the port; whether it is taken."""
        db.session.commit()
        targets = [service.find_target(address, DOMAIN) for address in to or (self.address,)]
        return service.keep([t for t in targets if t], raw, service.Handed(mail_from, "185.12.14.7", "mail.example"))

    def rows(self) -> list[IntakeMail]:
        """What the intake knows of, oldest first."""
        db.session.commit()
        db.session.expire_all()
        return list(db.session.scalars(select(IntakeMail).order_by(IntakeMail.id)))

    def file(self) -> list[str]:
        """Let the worker look at every mail once; the reasons, oldest first."""
        for row_id in [row.id for row in self.rows()]:
            db.session.commit()
            filing.file_mail(row_id)
        return [row.reason for row in self.rows()]

    def filed(self, raw: bytes, **options: Any) -> IntakeMail:
        """Post a mail and let the worker file it; its row."""
        assert self.post(raw, **options)
        self.file()
        return self.rows()[-1]

    def messages(self) -> list[Message]:
        """What came in by the BCC address, oldest first."""
        db.session.commit()
        db.session.expire_all()
        return list(db.session.scalars(select(Message).where(Message.origin == "bcc").order_by(Message.id)))

    def conversations(self) -> list[Conversation]:
        """All conversations, oldest first."""
        return list(db.session.scalars(select(Conversation).order_by(Conversation.id)))

    def tracked(self) -> set[str]:
        """The addresses of the contacts whom somebody tracks."""
        query = select(Contact.email).join(TrackedContact, TrackedContact.contact_id == Contact.id)
        return set(db.session.scalars(query.where(TrackedContact.stopped_at.is_(None))))

    def text(self, message: Message) -> str:
        """A message's text in clear."""
        body = db.session.get_one(MessageBody, message.id)
        return open_text(body.text, "message_body.text", message.account_id, message.id)


def make_owner(app: Flask) -> Owner:
    """Tomas, Priya, and an account that creates contacts from his mail."""
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email=OWNER)
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    address = written_address(address_of(account.id, user.id))
    db.session.commit()
    dns = Zone({("s1._domainkey.lumen.example", "TXT"): (key_record(),)})
    app.extensions["dns"] = dns
    return Owner(app, account, user, contact, dns, address)
