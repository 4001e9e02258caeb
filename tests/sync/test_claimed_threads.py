"""After the first reply from the CRM a thread of a shared mailbox goes on in one account alone (X-02, provider fault 38)."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from portal.connections.service import disconnect
from portal.database import db
from portal.models import Account, Connection, Conversation, Decision, Message, ThreadClaim
from portal.sending import individual, outbox
from portal.sending.letters import NewMail
from portal.sync import page, service, writing
from tests import factories
from tests.sync.conftest import OWN, Practice, reasons, second_place


def write_reply(conversation: Conversation) -> UUID:
    """Tomas answers from the CRM; the mail that is to leave."""
    user, contact = conversation.user, conversation.contact
    parent = db.session.scalar(select(Message).where(Message.conversation_id == conversation.id).limit(1))
    mail = NewMail(
        "reply", token=f"t{conversation.id.hex}", contact=contact, subject="Re: Swelling",
        text="Cold compresses, please.", conversation=conversation, parent=parent,
    )  # fmt: skip
    outbox_id = individual.prepare(user, mail).outbox.id
    db.session.commit()
    return outbox_id


def reply(conversation: Conversation) -> str:
    """Tomas answers from the CRM; the state that the mail is left in."""
    return outbox.deliver(write_reply(conversation))


def conversation_of(account: Account) -> Conversation:
    """The account's one conversation."""
    db.session.expire_all()
    return db.session.scalars(select(Conversation).where(Conversation.account_id == account.id)).one()


@pytest.mark.rule("X-02")
@pytest.mark.requirement("TEN-6")
@pytest.mark.provider_fault(38)
def test_after_a_reply_from_the_crm_the_thread_goes_on_there_alone(practice: Practice) -> None:
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    first = practice.arrives(Message_ID="<first@mail.example>")
    practice.sync()
    service.sync_mailbox(other.id)
    assert reply(conversation_of(account)) == "sent"
    late, third = second_place(practice)  # connected after the claim, and has no conversation of the thread
    factories.make_contact(late, practice.contact.email)
    db.session.commit()
    sent = next(m for m in practice.sandbox.messages(OWN) if "SENT" in m["labels"])
    answer = practice.arrives(subject="Re: Swelling", In_Reply_To=sent["headers"]["message_id"],
                              References=f"<first@mail.example> {sent['headers']['message_id']}")  # fmt: skip
    new = practice.arrives(subject="Another matter")
    for connection in (practice.connection, other, third):
        assert service.sync_mailbox(connection.id) == "synced"
    assert reasons(other) == {
        first: "contact_wrote", sent["id"]: "sent_from_crm", answer: "contact_replied", new: "contact_wrote",
    }  # fmt: skip
    elsewhere = {sent["id"]: "continued_elsewhere", answer: "continued_elsewhere", new: "contact_wrote"}
    assert reasons(practice.connection) == {first: "contact_wrote"} | elsewhere
    assert {key: reasons(third).get(key) for key in (answer, new)} == {answer: "continued_elsewhere", new: "contact_wrote"}
    ended = [c for c in practice.conversations() if c.state == "ended"]
    assert [(c.account_id, c.message_count) for c in ended] == [(practice.account.id, 1)]  # kept, with what it had
    left_out = db.session.scalars(select(Decision).where(Decision.reason == "continued_elsewhere")).all()
    assert {(d.contact_id, d.conversation_id, d.message_id) for d in left_out} == {(None, None, None)}
    assert practice.is_consistent()


@pytest.mark.rule("X-02")
def test_a_reply_in_the_mailbox_itself_claims_nothing(practice: Practice) -> None:
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    mail = practice.arrives()
    practice.sync()
    service.sync_mailbox(other.id)
    answer = practice.replies(mail)["id"]
    practice.sync()
    service.sync_mailbox(other.id)
    for connection in (practice.connection, other):
        assert reasons(connection) == {mail: "contact_wrote", answer: "user_replied"}
    assert db.session.scalars(select(ThreadClaim)).all() == []
    assert {c.state for c in practice.conversations()} == {"open"}


@pytest.mark.rule("X-02")
def test_disconnecting_where_it_goes_on_keeps_the_claim_and_the_grant(practice: Practice) -> None:
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    first = practice.arrives(Message_ID="<first@mail.example>")
    practice.sync()
    service.sync_mailbox(other.id)
    assert reply(conversation_of(account)) == "sent"
    disconnect(db.session.get_one(Connection, other.id), "user")
    db.session.commit()
    answer = practice.arrives(subject="Re: Swelling", In_Reply_To="<first@mail.example>")
    assert practice.sync() == "synced"
    assert reasons(practice.connection)[first] == "contact_wrote"
    assert reasons(practice.connection)[answer] == "continued_elsewhere"
    assert not practice.calls("/google/revoke")


@pytest.mark.rule("X-02")
def test_a_claim_made_while_a_page_is_fetched_holds_for_it(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail was admitted by its headers; the decision that counts is made where it is written."""
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    mail = practice.arrives()
    service.sync_mailbox(other.id)
    mine = conversation_of(account).id

    def answer_first(point: str) -> None:
        if point == "bodies-read":
            write_reply(db.session.get_one(Conversation, mine))

    monkeypatch.setattr(page, "crash_point", answer_first)
    assert practice.sync() == "synced"
    assert practice.reason(mail) == "continued_elsewhere"
    assert [c.account_id for c in practice.conversations()] == [account.id]


@pytest.mark.rule("X-02")
def test_a_reply_waits_for_a_page_that_is_being_written_and_ends_what_it_began(
    app: Flask, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of locks: the page holds the other account's connection, the reply needs all of the mailbox's."""
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    mail = practice.arrives()
    service.sync_mailbox(other.id)
    mine = conversation_of(account).id
    waiting: list[Future[str]] = []

    def answer() -> str:
        with app.app_context():
            return reply(db.session.get_one(Conversation, mine))

    with ThreadPoolExecutor() as threads:

        def answer_now(point: str) -> None:
            if point == "page-written" and not waiting:
                waiting.append(threads.submit(answer))
                with pytest.raises(NotYet):
                    waiting[0].result(timeout=0.7)

        monkeypatch.setattr(writing, "crash_point", answer_now)
        assert practice.sync() == "synced"
        assert waiting[0].result(timeout=20) == "sent"
    assert practice.reason(mail) == "contact_wrote"
    theirs = conversation_of(practice.account)
    assert (theirs.state, theirs.ended_cause, theirs.continued_in_id) == ("ended", "continued_elsewhere", account.id)
