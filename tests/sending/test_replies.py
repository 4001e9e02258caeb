"""Replies: they stay in the thread, and who is no contact is left off until added."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import db
from portal.models import Conversation, ConversationThread
from tests import factories
from tests.sending.conftest import OWN, PATIENT, SPOUSE, Desk


def arrived(desk: Desk, subject: str = "Swelling, day 2", cc: str = "") -> tuple[dict[str, Any], Conversation]:
    """A mail of the contact in the mailbox, and the conversation that the sync made of it."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Priya Raman <{PATIENT}>", OWN, subject
    mail["Message-ID"], mail["References"] = "<wire@mail.example>", "<first@mail.example>"
    if cc:
        mail["Cc"] = cc
    mail.set_content("It feels softer.")
    desk.sandbox.deliver(bytes(mail), OWN, PATIENT)
    remote = desk.sandbox.messages(OWN)[-1]
    conversation = factories.make_conversation(
        desk.contact, desk.user, desk.connection, subject=subject, thread=remote["thread_id"]
    )
    people = {"from": [PATIENT], "to": [OWN], "cc": [part.strip() for part in cc.split(",") if part]}
    factories.make_message(
        conversation, people=people, subject=subject, provider_message_id=remote["id"],
        provider_thread_id=remote["thread_id"], internet_message_id="<wire@mail.example>",
        references="<first@mail.example>",
    )  # fmt: skip
    db.session.commit()
    return remote, conversation


def reply(desk: Desk, client: Any, conversation: Conversation, **values: Any) -> Any:
    """Press Send reply."""
    client.sign_in(desk.user)
    return client.post(f"/conversations/{conversation.id}/reply", data=desk.form(**values))


@pytest.mark.rule("G-19")
@pytest.mark.parametrize("subject", ["Swelling, day 2", "Re: Swelling, day 2", "Schwellung für Ärztin ✓", ""])
def test_a_reply_threads_in_the_mailbox(desk: Desk, client: Any, subject: str) -> None:
    remote, conversation = arrived(desk, subject)
    reply(desk, client, conversation)
    assert desk.deliver() == ["sent"]
    (sent,) = desk.sent()
    assert sent["thread_id"] == remote["thread_id"]
    assert sent["headers"]["in_reply_to"] == "<wire@mail.example>"
    assert sent["headers"]["references"].split() == ["<first@mail.example>", "<wire@mail.example>"]
    message = desk.message()
    assert (message.conversation_id, message.provider_thread_id) == (conversation.id, remote["thread_id"])
    assert len(db.session.scalars(select(ConversationThread)).all()) == 1
    assert desk.received()[0]["headers"]["in_reply_to"] == "<wire@mail.example>"


@pytest.mark.provider_fault(20)
@pytest.mark.rule("G-19")
def test_a_thread_that_the_provider_opens_anew_is_linked_too(desk: Desk, client: Any) -> None:
    remote, conversation = arrived(desk)
    desk.sandbox.quirk("send_new_thread", mailbox=OWN, times=1)
    reply(desk, client, conversation)
    assert desk.deliver() == ["sent"]
    (sent,) = desk.sent()
    assert sent["thread_id"] != remote["thread_id"]
    linked = {link.provider_thread_id for link in db.session.scalars(select(ConversationThread))}
    assert linked == {remote["thread_id"], sent["thread_id"]}


@pytest.mark.bad_input(16)
def test_a_subject_with_line_breaks_never_becomes_a_header(desk: Desk, client: Any) -> None:
    _, conversation = arrived(desk)
    factories.make_message(conversation, subject="Hi\r\nBcc: eve@evil.example")
    reply(desk, client, conversation)
    assert desk.deliver() == ["sent"]
    assert desk.sent()[0]["headers"]["subject"] == "Re: Hi Bcc: eve@evil.example"
    assert desk.sent()[0]["headers"]["bcc"] == ""


@pytest.mark.rule("G-11")
def test_people_who_are_no_contact_are_left_off_until_ticked(desk: Desk, client: Any) -> None:
    factories.make_contact(desk.account, SPOUSE, "Anil Raman")
    _, conversation = arrived(desk, cc=f"{SPOUSE}, n.ortiz@mail.example, {desk.user.email}")
    client.sign_in(desk.user)
    page = client.get(f"/conversations/{conversation.id}").text
    assert f'value="{SPOUSE}" checked' in page
    assert 'value="n.ortiz@mail.example" checked' not in page
    assert "n.ortiz@mail.example · not a contact" in page
    assert "Tomas Berg · colleague" in page
    reply(desk, client, conversation, people=[SPOUSE])
    desk.deliver()
    assert desk.sent()[0]["headers"]["cc"] == SPOUSE
    reply(desk, client, conversation, token="t2", people=[SPOUSE, "n.ortiz@mail.example"])
    desk.deliver()
    assert desk.sent()[1]["headers"]["cc"] == f"{SPOUSE}, n.ortiz@mail.example"


def test_a_refused_reply_shows_the_conversation_with_what_was_written(desk: Desk, client: Any) -> None:
    _, conversation = arrived(desk)
    answer = reply(desk, client, conversation, cc="nobody", text="Take a cold pack.")
    assert answer.status_code == 400
    assert "It feels softer today." in answer.text
    assert "Take a cold pack." in answer.text
    assert "is not an address that mail can go to" in answer.text
    assert desk.mails() == []


def test_a_colleague_replies_through_her_own_mailbox(desk: Desk, client: Any) -> None:
    _, conversation = arrived(desk)
    colleague = factories.make_member(desk.account, name="Ana Ortiz")
    desk.sandbox.add_mailbox("ana@gmail.example", "Ana Ortiz")
    granted = desk.sandbox.call("POST", "/users/ana@gmail.example/grant", json={})
    grant = factories.make_grant(
        colleague, "ana@gmail.example", refresh_token=granted["refresh_token"], subject=granted["sub"]
    )
    factories.make_connection(desk.account, colleague, "ana@gmail.example", grant=grant)
    client.sign_in(colleague)
    client.post(f"/conversations/{conversation.id}/reply", data=desk.form())
    assert desk.deliver() == ["sent"]
    assert desk.received()[0]["headers"]["from"] == "Ana Ortiz <ana@gmail.example>"
    assert desk.received()[0]["headers"]["in_reply_to"] == "<wire@mail.example>"


@pytest.mark.requirement("TEN-1")
def test_another_accounts_conversation_is_nowhere(desk: Desk, client: Any) -> None:
    other = factories.make_account()
    foreign = factories.make_conversation(factories.make_contact(other), factories.make_member(other))
    assert reply(desk, client, foreign).status_code == 404
    assert desk.mails() == []
