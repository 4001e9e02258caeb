"""A practice whose mail left through its mail server, and its intake on a real port."""

from __future__ import annotations

import asyncio
import re
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.intake import filing
from portal.intake.__main__ import serve
from portal.intake.smtpd import Limits
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Account, Contact, Conversation, IntakeMail, Message, MessageBody, OutboxMail, User
from portal.sealing import open_text
from tests import factories
from tests.intake.bcc_owner import Owner, make_owner

DOMAIN = "replies.demo.example"
PATIENT, SPOUSE, STRANGER, OFFICE = "priya@mail.example", "anil@mail.example", "x@elsewhere.example", "hello@lumen.example"


@dataclass
class Practice:
    """A conversation with Priya, begun by a mail that left through the practice's mail server."""

    account: Account
    user: User
    contact: Contact
    conversation: Conversation
    message: Message
    outbox: OutboxMail
    reply_address: str = ""
    bounce_address: str = ""
    wire_id: str = ""  # of the mail that was sent; plain texts, since a look at a row opens a transaction

    def __post_init__(self) -> None:
        self.reply_address = f"r-{self.conversation.reply_token}@{DOMAIN}"
        self.bounce_address = f"b-{self.outbox.bounce_token}@{DOMAIN}"
        self.wire_id = self.message.internet_message_id
        db.session.commit()

    def mail(self, sender: str = PATIENT, text: str = "It feels softer today.", **headers: str) -> bytes:
        """An answer as a mail program writes it. Keywords are more header fields (In_Reply_To, Cc, …)."""
        fields = {"From": sender, "To": self.reply_address, "Subject": "Re: Swelling", "Message_ID": f"<{new_id()}@mail>"}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in (fields | headers).items() if value]
        return ("\r\n".join([*lines, "", text, ""])).encode("utf-8", "surrogateescape")

    def rows(self) -> list[IntakeMail]:
        """What the intake has kept, oldest first."""
        db.session.commit()
        db.session.expire_all()
        return list(db.session.scalars(select(IntakeMail).order_by(IntakeMail.id)))

    def file_all(self) -> list[str]:
        """Let the worker look at every kept mail once; the reasons, oldest first."""
        for row_id in [row.id for row in self.rows()]:
            db.session.commit()
            filing.file_mail(row_id)
        return [row.reason for row in self.rows()]

    def answers(self) -> list[Message]:
        """Messages that came to the conversation's address, oldest first."""
        db.session.commit()
        db.session.expire_all()
        return list(db.session.scalars(select(Message).where(Message.origin == "routed").order_by(Message.id)))

    def text(self, message: Message) -> str:
        """A message's text in clear."""
        body = db.session.get_one(MessageBody, message.id)
        return open_text(body.text, "message_body.text", message.account_id, message.id)


def dsn(practice: Practice, action: str = "failed", status: str = "5.1.1", diagnostic: str = "", **headers: str) -> bytes:
    """A delivery report as mail servers write it (RFC 3464), on the practice's mail."""
    lines = [
        "From: Mail Delivery <MAILER-DAEMON@mx.example>", f"To: {practice.bounce_address}", "Subject: Undelivered Mail",
        f"Message-ID: <{new_id()}@mx.example>", "Auto-Submitted: auto-replied",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        'Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"', "",
        "--=_b", "Content-Type: text/plain", "", "I am sorry to have to inform you <script>.", "",
        "--=_b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.example", "",
        f"Final-Recipient: rfc822; {PATIENT}", f"Action: {action}", f"Status: {status}",
        f"Diagnostic-Code: smtp; {diagnostic}", "",
        "--=_b", "Content-Type: text/rfc822-headers", "", f"Message-ID: {practice.wire_id}",
        "Subject: Swelling", "", "--=_b--", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


@pytest.fixture
def practice(app: Flask) -> Practice:
    """Tomas wrote to Priya, with Anil in copy, through the practice's mail server; the mail is sent."""
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email="tomas@lumen.example")
    factories.make_relay(account, 1, from_email=OFFICE)
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    conversation = factories.make_conversation(contact, user, reply_token=new_token(), started_by="crm")
    message = factories.make_message(
        conversation, direction="outbound", origin="crm", state="sent", user_id=user.id, crm_ref=new_id(),
        provider_message_id=None, people={"from": [OFFICE], "to": [PATIENT], "cc": [SPOUSE]},
    )  # fmt: skip
    outbox = OutboxMail(
        account_id=account.id, user_id=user.id, path="provider", message_id=message.id, form_token="t1",
        crm_ref=message.crm_ref, state="sent", next_try_at=now(), bounce_token=new_token(), handed_at=now(), sent_at=now(),
    )  # fmt: skip
    db.session.add(outbox)
    db.session.commit()
    return Practice(account, user, contact, conversation, message, outbox)


@dataclass
class Intake:
    """A running intake, and ways to speak to it."""

    port: int

    def send(self, raw: bytes, *to: str, sender: str = PATIENT) -> tuple[int, bytes]:
        """One mail by SMTP; the answer to its data."""
        db.session.commit()
        return self.send_beside(raw, *to, sender=sender)

    def send_beside(self, raw: bytes, *to: str, sender: str = PATIENT) -> tuple[int, bytes]:
        """As `send`, from any thread: the test's own session is committed already."""
        with smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=30) as client:
            client.ehlo()
            client.mail(sender)
            for address in to:
                code, text = client.rcpt(address)
                if code != 250:
                    return code, text
            return client.data(raw)

    def client(self) -> smtplib.SMTP:
        """A greeted connection."""
        db.session.commit()
        found = smtplib.SMTP("127.0.0.1", self.port, "client.example", timeout=30)
        found.ehlo()
        return found

    def speak(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Write these bytes one after the other, waiting for an answer to each; all that was answered."""
        db.session.commit()
        heard = b""
        with socket.create_connection(("127.0.0.1", self.port), 30) as wire:
            heard += answer(wire)
            for piece in pieces:
                time.sleep(pause)
                try:
                    wire.sendall(piece)
                    heard += answer(wire)
                except OSError:
                    return heard
        return heard

    @contextmanager
    def in_data(self, to: str) -> Iterator[socket.socket]:
        """A connection that has just been told to send its data."""
        db.session.commit()
        with socket.create_connection(("127.0.0.1", self.port), 30) as wire:
            for piece in ("", "EHLO client.example", f"MAIL FROM:<{PATIENT}>", f"RCPT TO:<{to}>", "DATA"):
                wire.sendall(f"{piece}\r\n".encode() if piece else b"")
                answer(wire)
            yield wire


def answer(wire: socket.socket) -> bytes:
    """One whole answer; what there is when the other side hangs up."""
    heard = b""
    while not re.search(rb"^\d{3} [^\n]*\n\Z", heard, re.MULTILINE):
        piece = wire.recv(65536)
        if not piece:
            break
        heard += piece
    return heard


@contextmanager
def listening(app: Flask, limits: Limits | None = None) -> Iterator[Intake]:
    """The intake in a thread of its own, over the given application."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    threads = ThreadPoolExecutor(4)

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve(app, stop, threads, limits))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    port = app.extensions["settings"].intake_port
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.02)
    try:
        yield Intake(port)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


@pytest.fixture
def intake(app: Flask, practice: Practice) -> Iterator[Intake]:
    """The intake of the practice, with its usual limits."""
    with listening(app) as found:
        yield found


@pytest.fixture
def owner(app: Flask) -> Iterator[Owner]:
    """Somebody with a BCC address."""
    yield make_owner(app)
    app.extensions.pop("dns", None)


@pytest.fixture
def bcc_intake(app: Flask, owner: Owner) -> Iterator[Intake]:
    """The intake of somebody with a BCC address."""
    with listening(app) as found:
        yield found
