"""The same mail met twice is one message: in two mailboxes, or by BCC Sync and in the mailbox."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Conversation, ConversationThread, Message
from portal.sync import page, service
from tests import factories
from tests.sync.conftest import COLLEAGUE, OWN, PATIENT, Practice, connect, reasons

BOTH = f"{OWN}, {COLLEAGUE}"


@pytest.fixture
def dana(practice: Practice) -> Connection:
    """A colleague's connected mailbox."""
    practice.sandbox.add_mailbox(COLLEAGUE, "Dana Ruiz")
    user = factories.make_member(practice.account, name="Dana Ruiz", email=COLLEAGUE)
    return connect(practice.sandbox, practice.account, user, COLLEAGUE)


def priya_writes(practice: Practice, to: str = BOTH, **letter: Any) -> str:
    """Priya writes; the id of her mail in her mailbox."""
    body = {"to": to, "subject": "Swelling", "text": "Is this normal?"} | letter
    return str(practice.sandbox.call("POST", f"/mailboxes/{PATIENT}/send", json=body)["id"])


def newest(connection: Connection) -> str:
    """The reason of the mailbox's newest decision."""
    return list(reasons(connection).values())[-1]


@pytest.mark.rule("E-01")
@pytest.mark.parametrize("is_dana_first", [False, True])
def test_a_mail_to_two_colleagues_is_one_message(practice: Practice, dana: Connection, is_dana_first: bool) -> None:
    """Each mailbox says what became of its copy, and answers join the one conversation, through whichever they come."""
    first, second = (dana, practice.connection) if is_dana_first else (practice.connection, dana)
    mail = priya_writes(practice)
    assert [service.sync_mailbox(c.id) for c in (first, second)] == ["synced", "synced"]
    assert (newest(first), newest(second)) == ("contact_wrote", "already_logged")
    [conversation], [message] = practice.conversations(), practice.messages()
    assert (conversation.user_id, conversation.message_count) == (first.user_id, 1)
    assert message.connection_id == first.id
    assert [d.message_id for d in practice.decisions().values()] == [message.id]
    box = second.mailbox
    practice.replies(practice.sandbox.messages(box)[0]["id"], box=box, text="It is.")
    priya_writes(practice, to=box, reply_to=mail, text="And now?")
    service.sync_mailbox(second.id)
    assert [m.direction for m in practice.messages()] == ["inbound", "outbound", "inbound"]
    assert len(practice.conversations()) == 1
    assert practice.is_consistent()


@pytest.mark.rule("G-21")
@pytest.mark.parametrize("is_dana_first", [False, True])
def test_an_answer_to_all_stays_in_the_conversation_it_answers(
    practice: Practice, dana: Connection, is_dana_first: bool
) -> None:
    """Whichever of the two mailboxes is looked into first."""
    first = practice.arrives(Message_ID="<first@mail.example>", Cc="")
    practice.sync()
    practice.replies(first, cc=COLLEAGUE)
    practice.sync()
    [received] = practice.sandbox.messages(PATIENT)
    priya_writes(practice, reply_to=received["id"], to=BOTH, subject="Re: Swelling")
    order = (dana, practice.connection) if is_dana_first else (practice.connection, dana)
    for connection in order:
        service.sync_mailbox(connection.id)
    assert newest(order[1]) == "already_logged"
    assert newest(order[0]) == "contact_replied"
    [conversation] = practice.conversations()
    assert (conversation.user_id, conversation.message_count) == (practice.user.id, 3)
    assert practice.is_consistent()


@pytest.mark.rule("B-02")
@pytest.mark.rule("B-03")
def test_what_came_by_bcc_is_not_logged_again_and_answers_join(practice: Practice) -> None:
    sent = practice.writes(PATIENT, text="See you.")
    [copy] = practice.sandbox.messages(OWN)
    conversation = by_bcc(practice, copy["headers"]["message_id"])
    practice.sync()
    assert practice.reason(sent["id"]) == "already_logged"
    [link] = db.session.scalars(select(ConversationThread))
    assert (link.conversation_id, link.connection_id) == (conversation.id, practice.connection.id)
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT)
    practice.sync()
    assert [m.origin for m in practice.messages()] == ["bcc", "mailbox"]
    assert len(practice.conversations()) == 1
    assert practice.is_consistent()


def by_bcc(practice: Practice, wire_id: str, **values: Any) -> Conversation:
    """A conversation that Tomas's own mail began through his BCC address."""
    conversation = factories.make_conversation(practice.contact, practice.user, started_by="user")
    factories.make_message(
        conversation, direction="outbound", origin="bcc", provider_message_id=None, internet_message_id=wire_id,
        user_id=practice.user.id, people={"from": [OWN], "to": [PATIENT]}, **values,
    )  # fmt: skip
    db.session.commit()
    return conversation


@pytest.mark.rule("G-21")
@pytest.mark.bad_input(18)
def test_a_message_id_alone_proves_nothing(practice: Practice, dana: Connection) -> None:
    """Another mail to a colleague under the same Message-ID is a message of its own."""
    practice.arrives(Message_ID="<first@mail.example>")
    practice.sync()
    practice.sandbox.deliver(
        f"From: {PATIENT}\r\nTo: {COLLEAGUE}\r\nSubject: Other\r\nMessage-ID: <first@mail.example>\r\n\r\nHi\r\n".encode(),
        COLLEAGUE,
    )
    service.sync_mailbox(dana.id)
    assert newest(dana) == "contact_wrote"
    assert len(practice.messages()) == 2


@pytest.mark.rule("G-16")
def test_a_thread_is_not_tied_to_a_conversation_that_has_ended(practice: Practice, dana: Connection) -> None:
    """Its answers would be left out as of an old address that is not this mailbox's."""
    priya_writes(practice)
    practice.sync()
    conversation = practice.conversations()[0]
    conversation.state, conversation.ended_cause, conversation.ended_at = "ended", "updated", now()
    db.session.commit()
    service.sync_mailbox(dana.id)
    assert newest(dana) == "already_logged"
    priya_writes(practice, to=COLLEAGUE, subject="Another matter")
    service.sync_mailbox(dana.id)
    assert newest(dana) == "contact_wrote"
    assert db.session.scalars(select(ConversationThread.connection_id)).all().count(practice.connection.id) == 1


@pytest.mark.fault(3)
def test_two_workers_meet_the_same_mail_at_once(
    app: Flask, practice: Practice, dana: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have decided to log it and hold its text; whoever writes second sees the message of the first."""
    priya_writes(practice)
    ids, together = [practice.connection.id, dana.id], Barrier(2, timeout=20)

    def wait(point: str) -> None:
        if point == "bodies-read":
            together.wait()

    monkeypatch.setattr(page, "crash_point", wait)
    words: list[str] = []

    def work(index: int) -> None:
        with app.app_context():
            words.append(service.sync_mailbox(ids[index]))

    db.session.commit()
    workers = [Thread(target=work, args=(index,)) for index in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert words == ["synced", "synced"]
    assert sorted([newest(practice.connection), newest(dana)]) == ["already_logged", "contact_wrote"]
    assert len(db.session.scalars(select(Message)).all()) == len(practice.conversations()) == 1
    assert practice.is_consistent()
