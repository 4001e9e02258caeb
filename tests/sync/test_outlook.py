"""An Outlook mailbox: only threads begun by a mail from the CRM sync, then all of them, with small files of known types."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from portal.connections.mailbox import open_mailbox
from portal.connections.service import disconnect
from portal.connections.tokens import REFRESH_TOKEN, owner_of
from portal.conversations.service import end_conversations
from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.lib.http import Http
from portal.models import Account, Attachment, Connection, Contact, Conversation, Grant, Message, OutboxMail, User
from portal.sealing import open_text, seal_text
from portal.sending import individual, outbox, replies
from portal.sending.letters import NewMail
from portal.sync import polling, service
from tests import factories
from tests.services.programs import Sandbox
from tests.sync.conftest import COLLEAGUE, OTHER, PATIENT, connect, reasons

BOX, NEW_BOX = "tomas@outlook.example", "tomas.new@outlook.example"


@dataclass
class Outlook:
    """One account with one connected Outlook mailbox, and its contact Priya."""

    sandbox: Sandbox
    account: Account
    user: User
    contact: Contact
    connection: Connection

    def compose(self, contact: Contact | None = None, conversation: Conversation | None = None) -> OutboxMail:
        """Tomas writes in the CRM, to Priya unless another is named."""
        parent, subject = replies.answered(conversation) if conversation else (None, "Your visit")
        mail = NewMail(
            "reply" if conversation else "new", token=uuid4().hex, contact=contact or self.contact,
            subject=subject, text="Hello.", conversation=conversation, parent=parent,
        )  # fmt: skip
        row = individual.prepare(self.user, mail).outbox
        db.session.commit()
        return row

    def send(self) -> str:
        """A mail of the CRM that has left; its id in the patient's mailbox."""
        assert outbox.deliver(self.compose().id) == "sent"
        return str(self.sandbox.messages(PATIENT)[-1]["id"])

    def answer(self, message_id: str, box: str = PATIENT, **letter: Any) -> str:
        """The owner of a mailbox answers; the id of the answer there."""
        body = {"reply_to": message_id, "text": "Thank you."} | letter
        return str(self.sandbox.write(box, **body)["id"])

    def sync(self) -> str:
        """One job."""
        db.session.commit()
        word = service.sync_mailbox(self.connection.id)
        db.session.expire_all()
        return word

    def reasons(self) -> list[str]:
        """What was decided, in alphabetical order: two folders have no common one."""
        return sorted(reasons(self.connection).values())

    def messages(self) -> list[str]:
        """Directions of the logged messages, in alphabetical order: Graph's moments are whole seconds."""
        db.session.expire_all()
        return sorted(db.session.scalars(select(Message.direction)))


def connect_outlook(
    sandbox: Sandbox, account: Account, user: User, mailbox: str, grant: Grant | None = None
) -> Connection:
    """A connection with a real grant at the stand-in, beginning now, acknowledged."""
    granted = sandbox.grant(mailbox)
    grant = grant or factories.make_grant(user, mailbox, provider="microsoft", subject=granted["sub"])
    grant.refresh_token = seal_text(granted["refresh_token"], REFRESH_TOKEN, owner_of(grant), grant.id)
    grant.access_token = grant.access_expires_at = grant.revoke_pending_at = None
    since = now() - timedelta(seconds=2)
    row = factories.make_connection(account, user, mailbox, grant=grant, provider="microsoft", connected_at=since)
    factories.make_signature(account, user, provider="microsoft")
    db.session.commit()

    async def cursor() -> str:
        async with Http() as http:
            return (await open_mailbox("microsoft", grant.id, row.mailbox_key, http).profile()).cursor

    row.cursor = asyncio.run(cursor())
    db.session.commit()
    return row


@pytest.fixture
def outlook(app: Flask, sandbox: Sandbox) -> Outlook:
    """Tomas with an Outlook mailbox connected two seconds ago; his patient Priya has a mailbox elsewhere."""
    sandbox.add_mailbox(BOX, "Tomas Berg", provider="microsoft")
    for address, name in ((PATIENT, "Priya Raman"), (OTHER, "Anil Raman")):
        sandbox.add_mailbox(address, name)
    account = factories.make_account()
    user = factories.make_member(account, "provider", name="Tomas Berg", email="tomas@lumen.example")
    contact = factories.make_contact(account, PATIENT, "Priya Raman")
    return Outlook(sandbox, account, user, contact, connect_outlook(sandbox, account, user, BOX))


@pytest.mark.rule("O-02")
@pytest.mark.rule("E-01")
def test_only_a_thread_begun_by_a_mail_from_the_crm_syncs(outlook: Outlook) -> None:
    """One begun by the contact or in the mailbox never does, nor does its answer, and each says why."""
    outlook.sandbox.write(PATIENT, to=BOX, subject="Swelling", text="Is this normal?")
    outlook.answer(outlook.sandbox.messages(BOX)[-1]["id"], box=BOX)
    outlook.sandbox.write(BOX, to=PATIENT, subject="Reminder", text="See you.")
    outlook.answer(outlook.sandbox.messages(PATIENT)[-1]["id"])
    outlook.send()
    assert outlook.sync() == "synced"
    assert outlook.reasons() == ["not_started_in_crm"] * 4 + ["sent_from_crm"]
    assert outlook.messages() == ["outbound"]


@pytest.mark.rule("O-03")
@pytest.mark.rule("G-22")
def test_then_every_message_of_the_thread_syncs_both_ways(outlook: Outlook) -> None:
    received = outlook.send()
    outlook.sync()
    outlook.answer(received, text="Thank you!")
    outlook.sync()
    mine = [m for m in outlook.sandbox.messages(BOX) if "INBOX" in m["labels"]][-1]
    outlook.answer(mine["id"], box=BOX, text="You are welcome.")
    outlook.answer(received, text="I am away.", headers={"Auto-Submitted": "auto-replied"})
    factories.make_contact(outlook.account, OTHER, "Anil Raman")
    outlook.sandbox.write(BOX, forward_of=mine["id"], to=OTHER, text="Please see below.")
    outlook.sync()
    assert outlook.reasons() == [
        "automatic_in_conversation", "contact_replied", "not_started_in_crm", "sent_from_crm", "user_replied",
    ]  # fmt: skip
    assert outlook.messages() == ["inbound", "inbound", "outbound", "outbound"]
    assert len(db.session.scalars(select(Conversation)).all()) == 1


@pytest.mark.rule("O-03")
@pytest.mark.rule("G-19")
def test_a_reply_from_the_crm_stays_in_the_thread_and_is_no_second_message(outlook: Outlook) -> None:
    outlook.answer(outlook.send())
    outlook.sync()
    [conversation] = db.session.scalars(select(Conversation))
    assert outbox.deliver(outlook.compose(conversation=conversation).id) == "sent"
    outlook.sync()
    assert outlook.reasons() == ["contact_replied", "sent_from_crm", "sent_from_crm"]
    assert outlook.messages() == ["inbound", "outbound", "outbound"]
    threads = {m["thread_id"] for m in outlook.sandbox.messages(BOX)}
    assert len(threads) == 1


@pytest.mark.rule("G-19")
@pytest.mark.fault(2)
def test_the_sent_copy_is_known_although_the_answer_to_the_send_was_lost(outlook: Outlook) -> None:
    row = outlook.compose()
    outlook.sandbox.fault(method="POST", path="*/send", times=1, drop=True, after_effect=True)
    assert outbox.deliver(row.id) == "unknown"
    outlook.sync()
    assert outlook.reasons() == ["sent_from_crm"]
    [message] = db.session.scalars(select(Message))
    assert message.state == "sent"


def with_files(files: dict[str, bytes], parent: str) -> bytes:
    """Priya's answer with files."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = PATIENT, BOX, "Re: Your visit"
    mail["Message-ID"], mail["In-Reply-To"] = f"<{uuid4().hex}@mail.example>", parent
    mail.set_content("Here they are.")
    for name, data in files.items():
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


@pytest.mark.rule("O-06")
@pytest.mark.provider_fault(29)
def test_files_over_3_mb_and_of_other_types_are_left_out_and_named(outlook: Outlook) -> None:
    outlook.send()
    outlook.sync()
    parent = db.session.scalars(select(Message.internet_message_id)).one()
    pdf = b"%PDF-1.7\n" + b"0" * 1000
    files = {"plan.pdf": pdf, "scan.PDF": pdf + b"0" * 3_300_000, "x-ray.tiff": b"II*\x00" + b"0" * 100}
    outlook.sandbox.deliver(with_files(files, parent), BOX)
    outlook.sync()
    rows = db.session.scalars(select(Attachment).order_by(Attachment.position))
    found = [(open_text(r.name, "attachment.name", r.account_id, r.id), r.state, r.reason) for r in rows]
    assert found == [
        ("plan.pdf", "stored", ""),
        ("scan.PDF", "left_out", "too_large_outlook"),
        ("x-ray.tiff", "left_out", "type_not_synced"),
    ]
    assert outlook.messages() == ["inbound", "outbound"]
    asked = [call for call in outlook.sandbox.requests() if call["path"].endswith("/$value")]
    assert len(asked) == 1  # what is left out never travels


def _disconnected(outlook: Outlook) -> None:
    grant = outlook.connection.grant
    disconnect(outlook.connection, "user")
    db.session.commit()
    outlook.connection = connect_outlook(outlook.sandbox, outlook.account, outlook.user, BOX, grant)


def _updated(outlook: Outlook) -> None:
    outlook.sandbox.add_mailbox(NEW_BOX, "Tomas Berg", provider="microsoft")
    end_conversations(outlook.connection.id, "updated")
    outlook.connection.state, outlook.connection.disconnected_at = "disconnected", now()
    db.session.commit()
    outlook.connection = connect_outlook(outlook.sandbox, outlook.account, outlook.user, NEW_BOX)


@pytest.mark.parametrize(
    ("end", "box", "reason"),
    [
        pytest.param(_disconnected, BOX, "conversation_ended", marks=pytest.mark.rule("O-05"), id="deleted"),
        pytest.param(_updated, NEW_BOX, "old_address", marks=pytest.mark.rule("O-04"), id="updated"),
    ],
)
def test_threads_of_a_deleted_connection_or_an_old_address_stay_ended(
    outlook: Outlook, end: Callable[[Outlook], None], box: str, reason: str
) -> None:
    """Their later mail says so; a new mail from the CRM begins a thread that syncs."""
    received = outlook.send()
    outlook.sync()
    end(outlook)
    outlook.answer(received, to=box, reply_all=False)
    outlook.sync()
    assert outlook.reasons() == [reason]
    outlook.answer(outlook.send())
    outlook.sync()
    assert outlook.reasons() == sorted([reason, "sent_from_crm", "contact_replied"])
    states = db.session.scalars(select(Conversation.state).order_by(Conversation.id)).all()
    assert states == ["ended", "open"]


@pytest.mark.rule("O-03")
@pytest.mark.provider_fault(25)
def test_an_answer_that_a_rule_of_the_inbox_puts_away_is_met(outlook: Outlook) -> None:
    """No delta names it: it is asked for by its thread, at most every quarter of an hour, also where nothing else is new."""
    outlook.send()
    outlook.sync()
    parent = db.session.scalars(select(Message.internet_message_id)).one()
    outlook.sandbox.deliver(with_files({}, parent), BOX, labels="FOLDER:Patients")
    outlook.sync()
    assert outlook.messages() == ["outbound"]
    polling.poll_shard([outlook.connection.id])
    assert outlook.messages() == ["outbound"]
    clock.set_offset(20 * 60, allowed=True)
    polling.poll_shard([outlook.connection.id])
    assert outlook.messages() == ["inbound", "outbound"]
    assert outlook.reasons() == ["contact_replied", "sent_from_crm"]


@pytest.mark.rule("G-22")
@pytest.mark.provider_fault(27)
def test_a_delivery_report_marks_the_mail_as_failed(outlook: Outlook) -> None:
    """Outlook accepts first; a report in the Inbox says that it did not arrive."""
    unknown = factories.make_contact(outlook.account, "nobody@mail.example", "Gone Person")
    row = outlook.compose(unknown)
    outbox.deliver(row.id)
    outlook.sync()
    assert "bounce" in outlook.reasons()
    assert db.session.scalars(select(Message.state)).one() == "failed"


@pytest.mark.rule("O-03")
@pytest.mark.rule("E-01")
@pytest.mark.parametrize("is_gmail_first", [False, True])
def test_an_answer_to_all_met_at_outlook_and_at_gmail_is_one_message(outlook: Outlook, is_gmail_first: bool) -> None:
    """It stays in the thread that the CRM began, whichever mailbox is looked into first."""
    outlook.sandbox.add_mailbox(COLLEAGUE, "Dana Ruiz")
    dana = factories.make_member(outlook.account, name="Dana Ruiz", email=COLLEAGUE)
    gmail = connect(outlook.sandbox, outlook.account, dana, COLLEAGUE)
    received = outlook.send()
    outlook.sync()
    outlook.answer(received, to=f"{BOX}, {COLLEAGUE}")
    order = (gmail, outlook.connection) if is_gmail_first else (outlook.connection, gmail)
    assert [service.sync_mailbox(c.id) for c in order] == ["synced", "synced"]
    assert list(reasons(order[0]).values())[-1] == "contact_replied"
    assert list(reasons(order[1]).values())[-1] == "already_logged"
    assert outlook.messages() == ["inbound", "outbound"]
    assert len(db.session.scalars(select(Conversation)).all()) == 1


@pytest.mark.rule("B-03")
@pytest.mark.rule("O-02")
def test_only_what_bears_the_bcc_address_is_logged(outlook: Outlook) -> None:
    """The mail itself came in that way already; its thread did not begin in the CRM, so the answer stays out."""
    sent = outlook.sandbox.write(BOX, to=PATIENT, subject="Reminder", text="See you.")
    conversation = factories.make_conversation(outlook.contact, outlook.user, started_by="user")
    factories.make_message(
        conversation, direction="outbound", origin="bcc", provider_message_id=None, user_id=outlook.user.id,
        internet_message_id=sent["headers"]["message_id"], people={"from": [BOX], "to": [PATIENT]},
    )  # fmt: skip
    outlook.answer(outlook.sandbox.messages(PATIENT)[-1]["id"])
    outlook.sync()
    assert outlook.reasons() == ["already_logged", "not_started_in_crm"]
    assert outlook.messages() == ["outbound"]
