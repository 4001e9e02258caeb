"""The first reply claims: one mailbox, several accounts, one place where the conversation goes on (X-02, TEN-6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.database import db
from portal.models import Account, AuditEvent, Connection, Contact, Conversation, Draft, OutboxMail, ThreadClaim, User
from tests import factories

OWN, PATIENT, THREAD = "tomas@gmail.example", "priya@mail.example", "thread-1"
REPLY = {"token": "t1", "action": "send", "text": "Cold compresses, please."}


@dataclass
class Place:
    """One location with Tomas's mailbox and its own record of Priya's thread."""

    account: Account
    connection: Connection
    contact: Contact
    conversation: Conversation

    @property
    def reply_url(self) -> str:
        return f"/conversations/{self.conversation.id}/reply"


@pytest.fixture
def tomas(app: Flask) -> User:
    """Works in several places."""
    return factories.make_user("tomas@lumen.example", name="Tomas Berg")


def make_place(tomas: User, location: str, *, thread: str = THREAD) -> Place:
    """A location; `thread` "" where the thread has not arrived."""
    account = factories.make_account(location=location)
    factories.make_member(account, user=tomas)
    grant = db.session.scalar(select(Connection).limit(1))
    connection = factories.make_connection(account, tomas, OWN, grant=grant.grant if grant else None)
    contact = factories.make_contact(account, PATIENT)
    conversation = factories.make_conversation(contact, tomas, connection, thread=thread)
    factories.make_message(conversation, provider_message_id="m1", provider_thread_id=thread or None)
    db.session.commit()
    return Place(account, connection, contact, conversation)


@pytest.fixture
def places(tomas: User) -> tuple[Place, Place]:
    """Harbor and Uptown."""
    return make_place(tomas, "Harbor"), make_place(tomas, "Uptown")


def at(app: Flask, tomas: User, place: Place) -> Any:
    """Tomas's browser, signed in at a place."""
    client: Any = app.test_client()
    return client.sign_in(tomas, place.account.id)


def audit(account: Account) -> list[AuditEvent]:
    """What an account's trail tells of claims."""
    names = ("person:conversation:claimed", "portal:conversation:ended", "person:mail:refused")
    query = select(AuditEvent).where(AuditEvent.account_id == account.id, AuditEvent.name.in_(names))
    return list(db.session.scalars(query.order_by(AuditEvent.id)))


@pytest.mark.rule("X-02")
@pytest.mark.requirement("TEN-6")
def test_a_reply_claims_and_the_others_end(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    harbor, uptown = places
    assert at(app, tomas, harbor).post(harbor.reply_url, data=REPLY).status_code == 303
    claim = db.session.scalars(select(ThreadClaim)).one()
    assert (claim.account_id, claim.mailbox_key, claim.provider_thread_id) == (harbor.account.id, OWN, THREAD)
    assert (harbor.conversation.state, uptown.conversation.state) == ("open", "ended")
    assert (uptown.conversation.ended_cause, uptown.conversation.continued_in_id) == (
        "continued_elsewhere", harbor.account.id,
    )  # fmt: skip
    assert [event.name for event in audit(harbor.account)] == ["person:conversation:claimed"]
    (ended,) = audit(uptown.account)
    assert (ended.object_id, ended.actor_id, ended.ip, ended.request_id) == (uptown.conversation.id, None, "", "")
    assert ended.details == {"cause": "continued_elsewhere", "count": 1}
    assert str(harbor.account.id) not in str(ended.details)


@pytest.mark.rule("X-02")
def test_who_was_first_may_go_on(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    harbor, uptown = places
    client = at(app, tomas, harbor)
    for token in ("t1", "t1", "t2"):  # a second press is the same mail, a second reply is another
        assert client.post(harbor.reply_url, data=REPLY | {"token": token}).status_code == 303
    assert len(db.session.scalars(select(OutboxMail)).all()) == 2
    assert len(db.session.scalars(select(ThreadClaim)).all()) == 1
    assert len(audit(harbor.account)) == len(audit(uptown.account)) == 1


@pytest.mark.rule("X-02")
@pytest.mark.rule("S-03")
@pytest.mark.requirement("TEN-6")
def test_who_comes_second_is_refused_and_keeps_the_text(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    harbor, uptown = places
    at(app, tomas, harbor).post(harbor.reply_url, data=REPLY)
    answer = at(app, tomas, uptown).post(uptown.reply_url, data=REPLY | {"token": "t2", "text": "From Uptown."})
    assert answer.status_code == 409
    assert "goes on in Harbor" in answer.text
    assert "From Uptown." in answer.text  # the draft, although there is no box any more
    assert len(db.session.scalars(select(OutboxMail)).all()) == 1
    assert [draft.account_id for draft in db.session.scalars(select(Draft))] == [uptown.account.id]
    assert audit(uptown.account)[-1].details == {"cause": "continued_elsewhere"}


@pytest.mark.rule("X-02")
@pytest.mark.requirement("TEN-6")
def test_the_place_is_named_to_its_own_people_only(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    harbor, uptown = places
    colleague = factories.make_member(uptown.account)
    at(app, tomas, harbor).post(harbor.reply_url, data=REPLY)
    page = f"/conversations/{uptown.conversation.id}"
    assert "continued in Harbor" in at(app, tomas, uptown).get(page).text
    theirs: Any = app.test_client()
    theirs.sign_in(colleague)
    read = theirs.get(page).text
    assert ": continued in another location</p>" in read  # no moment either
    refused = theirs.post(uptown.reply_url, data=REPLY).text
    assert "goes on in another location" in refused
    for text in (read, refused, theirs.get("/conversations").text):
        assert "Harbor" not in text
        assert str(harbor.account.id) not in text
    tomas_there = db.session.scalar(select(factories.Membership).where(factories.Membership.account_id == harbor.account.id))
    assert tomas_there is not None
    tomas_there.state = "ended"
    assert "Harbor" not in at(app, tomas, uptown).get(page).text


@pytest.mark.rule("X-02")
def test_what_claims_nothing(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    """A new mail, a forward, a colleague's own reply, and a reply that may not leave."""
    harbor, uptown = places
    client = at(app, tomas, harbor)
    assert client.post(f"/contacts/{harbor.contact.id}/mail", data=REPLY | {"token": "n", "subject": "New"}).status_code == 303
    message = db.session.scalar(
        select(factories.Message).where(factories.Message.conversation_id == harbor.conversation.id)
    )
    assert message is not None
    forward = REPLY | {"token": "f", "subject": "Fwd", "to": PATIENT}
    assert client.post(f"/messages/{message.id}/forward", data=forward).status_code == 303
    harbor.account.send_cap = harbor.account.send_cap_workspace = 2
    assert client.post(harbor.reply_url, data=REPLY).status_code == 409
    colleague = factories.make_member(harbor.account, email="dana@lumen.example")
    factories.make_connection(harbor.account, colleague, "dana@gmail.example")
    theirs: Any = app.test_client()
    assert theirs.sign_in(colleague).post(harbor.reply_url, data=REPLY).status_code == 303
    assert db.session.scalars(select(ThreadClaim)).all() == []
    assert (harbor.conversation.state, uptown.conversation.state) == ("open", "open")


@pytest.mark.rule("X-02")
@pytest.mark.parametrize("how", ["through the practice's mail server", "waiting for the cap"])
def test_a_reply_claims_when_it_is_written_however_it_leaves(
    app: Flask, tomas: User, places: tuple[Place, Place], how: str
) -> None:
    harbor, uptown = places
    client, action = at(app, tomas, harbor), "send"
    if how == "waiting for the cap":
        harbor.account.send_cap = harbor.account.send_cap_workspace = 1
        new = REPLY | {"token": "n", "subject": "New"}
        assert client.post(f"/contacts/{harbor.contact.id}/mail", data=new).status_code == 303
        action = "queue"
    else:
        factories.make_relay(harbor.account, 25)
        harbor.connection.state = "paused"
    assert client.post(harbor.reply_url, data=REPLY | {"action": action}).status_code == 303
    mail = db.session.scalars(select(OutboxMail).order_by(OutboxMail.id.desc())).first()
    assert mail is not None
    assert (mail.path, mail.waits_for) == (("mailbox", "reset") if action == "queue" else ("provider", ""))
    assert db.session.scalars(select(ThreadClaim)).one().conversation_id == harbor.conversation.id
    assert (harbor.conversation.state, uptown.conversation.state) == ("open", "ended")


@pytest.mark.rule("X-02")
def test_only_the_same_thread_of_the_same_mailbox_ends(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    harbor, uptown = places
    other_thread = factories.make_conversation(uptown.contact, tomas, uptown.connection, thread="thread-2")
    stranger = factories.make_member(uptown.account)
    box = factories.make_connection(uptown.account, stranger, "box@gmail.example")
    other_box = factories.make_conversation(uptown.contact, stranger, box, thread=THREAD)
    at(app, tomas, harbor).post(harbor.reply_url, data=REPLY)
    assert (uptown.conversation.state, other_thread.state, other_box.state) == ("ended", "open", "open")


@pytest.mark.rule("X-02")
@pytest.mark.rule("S-03")
@pytest.mark.requirement("TEN-6")
def test_of_two_replies_at_once_one_leaves(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    """Each thread is another machine: it has loaded its page before, and presses at the same moment."""
    clients = [(at(app, tomas, place), place.reply_url, f"t{n}") for n, place in enumerate(places)]
    db.session.commit()

    def press(given: tuple[Any, str, str]) -> int:
        client, url, token = given
        with app.app_context():
            status: int = client.post(url, data=REPLY | {"token": token}).status_code
            return status

    with ThreadPoolExecutor() as threads:
        assert sorted(threads.map(press, clients)) == [303, 409]
    db.session.expire_all()
    mail, claim = db.session.scalars(select(OutboxMail)).one(), db.session.scalars(select(ThreadClaim)).one()
    draft = db.session.scalars(select(Draft)).one()
    assert mail.account_id == claim.account_id != draft.account_id
    assert {place.conversation.state for place in places if place.account.id == claim.account_id} == {"open"}
    assert {place.conversation.state for place in places if place.account.id != claim.account_id} == {"ended"}


@pytest.mark.rule("X-02")
def test_the_claim_stands_although_the_page_was_loaded_before(app: Flask, tomas: User) -> None:
    """A conversation that the claim could not end, for it was linked only now, is refused all the same."""
    harbor, uptown = make_place(tomas, "Harbor"), make_place(tomas, "Uptown", thread="")
    at(app, tomas, harbor).post(harbor.reply_url, data=REPLY)
    link = factories.ConversationThread(
        account_id=uptown.account.id, conversation_id=uptown.conversation.id,
        connection_id=uptown.connection.id, provider_thread_id=THREAD,
    )  # fmt: skip
    db.session.add(link)
    answer = at(app, tomas, uptown).post(uptown.reply_url, data=REPLY | {"token": "t2"})
    assert answer.status_code == 409
    assert "goes on in Harbor" in answer.text
    assert len(db.session.scalars(select(OutboxMail)).all()) == 1


@pytest.mark.rule("X-02")
@pytest.mark.requirement("TEN-6")
def test_a_claim_binds_nobody_else_who_uses_the_mailbox(app: Flask, tomas: User, places: tuple[Place, Place]) -> None:
    """A practice's shared mailbox, connected by another person at another practice: their conversation goes on."""
    other = factories.make_user("lena@lumen.example", name="Lena Fischer")
    theirs = make_place(other, "Elsewhere")
    at(app, tomas, places[0]).post(places[0].reply_url, data=REPLY)
    db.session.expire_all()
    assert places[1].conversation.state == "ended"
    assert theirs.conversation.state == "open"
