"""What may not leave: each refusal says why, sends nothing, and loses nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from portal.conversations import store
from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, Conversation, Message, OutboxMail
from portal.sending import drafts
from tests import factories
from tests.sending.conftest import OWN, Desk

MEBIBYTE = 1024 * 1024


def kept(desk: Desk, kind: str = "new", row_id: Any = None) -> dict[str, Any]:
    """The draft that a refusal left."""
    return drafts.load(desk.user.id, desk.account.id, drafts.purpose_of(kind, row_id or desk.contact.id))


def fill_cap(desk: Desk, count: int, account: Any = None) -> None:
    """Mails that have left a moment ago."""
    conversation = factories.make_conversation(desk.contact, desk.user, desk.connection)
    for _ in range(count):
        message = factories.make_message(conversation, direction="outbound", origin="crm", state="sent")
        db.session.add(
            OutboxMail(
                account_id=(account or desk.account).id, user_id=desk.user.id, connection_id=desk.connection.id,
                mailbox_key=OWN, message_id=message.id, form_token=message.id.hex, crm_ref=message.id, state="sent",
                next_try_at=now(), sent_at=now(),
            )
        )  # fmt: skip
    db.session.commit()


@pytest.mark.rule("S-03")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("paused", "Your mailbox is paused"),
        ("needs_attention", "Your mailbox needs attention"),
        ("disconnected", "You have no connected mailbox"),
    ],
)
def test_a_closed_mailbox_refuses_and_keeps_the_text(
    desk: Desk, press: Callable[..., Any], state: str, words: str
) -> None:
    desk.connection.state = state
    desk.connection.disconnected_at = now() if state == "disconnected" else None
    answer = press(cc="anil@mail.example")
    assert answer.status_code == 409
    assert words in answer.text
    assert "your text is kept as a draft" in answer.text
    assert "How is it today?" in answer.text
    assert kept(desk) == {"cc": "anil@mail.example", "subject": "Swelling", "text": "How is it today?"}
    assert (desk.mails(), desk.sends()) == ([], 0)
    refusal = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:mail:refused")).one()
    assert (refusal.outcome, refusal.actor_id) == ("refused", desk.user.id)


@pytest.mark.rule("G-14")
@pytest.mark.requirement("NET-4")
def test_at_the_cap_the_next_mail_waits_as_a_draft_and_the_time_is_named(desk: Desk, press: Callable[..., Any]) -> None:
    desk.account.send_cap = 5
    other = factories.make_account()  # the same mailbox, connected in another account
    factories.make_connection(other, factories.make_member(other), OWN)
    fill_cap(desk, 2)
    fill_cap(desk, 2, account=other)
    assert press(token="fifth").status_code == 303
    answer = press(token="sixth")
    assert answer.status_code == 409
    assert "has sent 5 of 5 individual mails in the last 24 hours" in answer.text
    assert "The next mail can leave" in answer.text
    assert ">Send mail<" not in answer.text  # nobody sees a button that would only refuse
    assert "Send when the cap frees up" in answer.text
    assert kept(desk)["text"] == "How is it today?"
    assert len(desk.mails()) == 5


@pytest.mark.rule("G-14")
def test_the_cap_is_shown_and_warns_at_80_per_cent(desk: Desk, client: Any) -> None:
    client.sign_in(desk.user)
    desk.account.send_cap = 5
    fill_cap(desk, 4)
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert "4 of 5 individual mails in the last 24 hours" in page
    assert "note-warn" in page


@pytest.mark.rule("G-07")
@pytest.mark.parametrize("state", ["active", "invited", "deactivated"])
def test_a_colleague_saved_as_a_contact_is_not_written_to(desk: Desk, press: Callable[..., Any], state: str) -> None:
    factories.make_member(desk.account, email="a.nurse@gmail.com", state=state)
    desk.contact.email = desk.contact.email_key = "anurse+work@gmail.com"  # the same mailbox, spelled otherwise
    answer = press()
    assert answer.status_code == 409
    assert "is also a CRM user here" in answer.text
    assert desk.mails() == []


def test_a_contact_without_an_address_is_not_written_to(desk: Desk, press: Callable[..., Any]) -> None:
    desk.contact.email = desk.contact.email_key = ""
    answer = press()
    assert answer.status_code == 409
    assert "has no address that mail can go to" in answer.text


@pytest.mark.rule("G-16")
@pytest.mark.rule("G-17")
def test_an_ended_conversation_takes_no_reply(desk: Desk, client: Any) -> None:
    conversation = factories.make_conversation(
        desk.contact, desk.user, desk.connection, state="ended", ended_cause="disconnected", ended_at=now()
    )
    client.sign_in(desk.user)
    answer = client.post(f"/conversations/{conversation.id}/reply", data=desk.form())
    assert answer.status_code == 409
    assert kept(desk, "reply", conversation.id)["text"] == "How is it today?"
    assert desk.mails() == []


@pytest.mark.rule("G-13")
@pytest.mark.requirement("ATT-1")
@pytest.mark.provider_fault(21)
def test_25_mib_of_files_leave_and_one_byte_more_does_not(desk: Desk, press: Callable[..., Any]) -> None:
    over = [(io.BytesIO(b"\1" * size), f"{size}.bin") for size in (20 * MEBIBYTE, 5 * MEBIBYTE + 1)]
    answer = press(files=over)
    assert answer.status_code == 400
    assert "over 25 MB together" in answer.text
    assert (desk.mails(), db.session.scalars(select(Message)).all()) == ([], [])
    exact = [(io.BytesIO(b"\1" * size), f"{size}.bin") for size in (20 * MEBIBYTE, 5 * MEBIBYTE)]
    assert press(files=exact).status_code == 303
    assert desk.deliver() == ["sent"]
    assert len(desk.received()[0]["attachments"]) == 2


@pytest.mark.requirement("ATT-1")
@pytest.mark.bad_input(31)
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("run.exe", b"MZ\x90\x00", "this kind of file can run a program"),
        ("face.jpg", b"<html><script>1</script>", "its content is not what its name says"),
    ],
)
def test_dangerous_files_do_not_leave(
    desk: Desk, press: Callable[..., Any], name: str, data: bytes, words: str
) -> None:
    answer = press(files=[(io.BytesIO(data), name)])
    assert answer.status_code == 400
    assert words in answer.text
    assert desk.mails() == []


@pytest.mark.requirement("ATT-2")
def test_a_files_name_is_made_harmless_on_its_way(desk: Desk, press: Callable[..., Any]) -> None:
    press(files=[(io.BytesIO(b"hello"), "../../C:\\x\u202efdp.txt")])
    desk.deliver()
    (name,) = desk.received()[0]["attachments"]
    assert name == "x\ufffdfdp.txt"


@pytest.mark.fault(27)
def test_a_full_store_refuses_and_leaves_no_row(
    desk: Desk, press: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.os, "fsync", _no_space)
    answer = press(files=[(io.BytesIO(b"hello"), "a.txt")])
    assert answer.status_code == 409
    assert "could not be stored" in answer.text
    assert kept(desk)["subject"] == "Swelling"
    assert (db.session.scalars(select(Conversation)).all(), desk.mails()) == ([], [])


def _no_space(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.rule("S-03")
def test_a_draft_is_kept_shown_again_and_gone_once_sent(desk: Desk, press: Callable[..., Any], client: Any) -> None:
    assert press(action="draft", subject="", text="Not yet", cc="no address yet").status_code == 303
    assert desk.mails() == []
    page = client.get(f"/contacts/{desk.contact.id}/mail").text
    assert "Not yet" in page
    assert "no address yet" in page
    press()
    assert kept(desk) == {}


@pytest.mark.requirement("DAT-1")
def test_a_draft_is_sealed(desk: Desk, press: Callable[..., Any]) -> None:
    press(action="draft", text="CANARY-DRAFT")
    row = db.session.execute(select(drafts.Draft.content)).scalar_one()
    assert b"CANARY" not in row
