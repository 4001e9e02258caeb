"""What becomes of kept mail: the answer in its conversation, the report at its mail, everything else left out with a reason."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal.conversations import store
from portal.database import db
from portal.intake import filing, service
from portal.lib.clock import now
from portal.models import Attachment, AuditEvent, Conversation, IntakeMail, Mention, Message, Participant
from portal.rules.routing import Route
from portal.rules.sending import MAX_FILE_BYTES
from tests import factories
from tests.intake.conftest import DOMAIN, OFFICE, PATIENT, SPOUSE, STRANGER, Practice, dsn


def receive(practice: Practice, raw: bytes, to: str = "", *, is_null: bool = False) -> None:
    """Keep a mail as the port does."""
    db.session.commit()
    target = service.find_target(to or practice.reply_address, DOMAIN)
    assert target is not None
    service.keep([target], raw, service.Handed("" if is_null else PATIENT))


def with_files(practice: Practice, *files: tuple[str, bytes]) -> bytes:
    """An answer with attachments."""
    head = practice.mail(Content_Type='multipart/mixed; boundary="=_b"').partition(b"\r\n\r\n")[0]
    parts = [b"--=_b\r\nContent-Type: text/plain\r\n\r\nSee the pictures.\r\n"]
    for name, data in files:
        parts.append(
            f'--=_b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{name}"\r\n'
            "Content-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(data) + b"\r\n"
        )
    return head + b"\r\n\r\n" + b"".join(parts) + b"--=_b--\r\n"


@pytest.mark.rule("S-01")
@pytest.mark.rule("E-01")
def test_an_answer_comes_back_to_its_conversation(practice: Practice) -> None:
    receive(practice, practice.mail(In_Reply_To=practice.wire_id, Cc=SPOUSE))
    assert practice.file_all() == ["routed_reply"]
    (message,) = practice.answers()
    assert (message.direction, message.state, message.is_automatic) == ("inbound", "logged", False)
    assert practice.text(message) == "It feels softer today.\r\n"
    assert message.connection_id is None
    conversation = db.session.get_one(Conversation, practice.conversation.id)
    assert (conversation.message_count, conversation.last_direction) == (2, "inbound")
    assert conversation.last_message_at == message.sent_at
    people = select(Participant.field, Participant.email_key).where(Participant.message_id == message.id)
    assert {(field, key) for field, key in db.session.execute(people)} == {("from", PATIENT), ("cc", SPOUSE)}
    (row,) = practice.rows()
    assert (row.state, row.outcome, row.message_id, row.raw) == ("decided", "logged", message.id, None)
    events = select(AuditEvent.details).where(AuditEvent.name == "portal:intake:decided")
    assert list(db.session.scalars(events)) == [{"decided": "logged", "reason": "routed_reply"}]


@pytest.mark.rule("G-21")
@pytest.mark.rule("G-07")
@pytest.mark.requirement("SMT-4")
def test_mail_that_is_no_answer_is_left_out_with_its_reason(practice: Practice) -> None:
    marked = str(practice.outbox.crm_ref)
    mails = {
        "other_replied": practice.mail(SPOUSE),
        "unknown_sender": practice.mail(STRANGER, In_Reply_To=practice.wire_id),
        "crm_user": practice.mail("tomas@lumen.example"),
        "list_mail": practice.mail(List_Id="<news.example>"),
        "read_receipt": practice.mail(Content_Type="multipart/report; report-type=disposition-notification; boundary=x"),
        "automatic_reply": practice.mail(STRANGER, Auto_Submitted="auto-replied"),
        "unreadable_sender": practice.mail(f"{PATIENT}, {SPOUSE}"),
    }
    for raw in (*mails.values(), practice.mail(OFFICE), practice.mail(X_CRM_Ref=marked)):
        receive(practice, raw)
    hops = b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0000\r\n" * 51
    receive(practice, hops + practice.mail())
    assert practice.file_all() == [*mails, "crm_user", "loop", "loop"]
    assert len(practice.answers()) == 1
    assert [row.raw is None for row in practice.rows()] == [reason != "unreadable_sender" for reason in practice.file_all()]


@pytest.mark.rule("S-01")
@pytest.mark.requirement("SMT-4")
def test_an_answer_that_bears_our_mark_is_an_answer(practice: Practice) -> None:
    """Some programs copy every field of the mail that they answer."""
    receive(practice, practice.mail(X_CRM_Ref=str(practice.outbox.crm_ref), In_Reply_To=practice.wire_id))
    assert practice.file_all() == ["routed_reply"]


@pytest.mark.rule("G-22")
@pytest.mark.parametrize("is_null", [False, True])
def test_an_absence_note_of_the_contact_is_logged_and_marked(practice: Practice, is_null: bool) -> None:
    note = practice.mail(**({} if is_null else {"Auto_Submitted": "auto-replied", "Precedence": "bulk"}))
    receive(practice, note, is_null=is_null)
    assert practice.file_all() == ["routed_automatic"]
    assert [message.is_automatic for message in practice.answers()] == [True]


@pytest.mark.rule("S-01")
def test_an_ended_conversation_takes_nothing(practice: Practice) -> None:
    practice.conversation.state, practice.conversation.ended_cause = "ended", "disconnected"
    receive(practice, practice.mail())
    assert practice.file_all() == ["conversation_ended"]


@pytest.mark.rule("S-01")
def test_what_came_through_the_mailbox_too_is_logged_once(practice: Practice) -> None:
    met = factories.make_message(practice.conversation, internet_message_id="<both@mail.example>")
    receive(practice, practice.mail(Message_ID="<both@mail.example>"))
    assert practice.file_all() == ["routed_reply"]
    assert practice.answers() == []
    assert practice.rows()[0].message_id == met.id


@pytest.mark.bad_input(18)
def test_the_same_message_id_with_another_text_is_another_message(practice: Practice) -> None:
    for text in ("one", "two"):
        receive(practice, practice.mail(text=text, Message_ID="<same@mail.example>"))
    practice.file_all()
    assert [practice.text(message) for message in practice.answers()] == ["one\r\n", "two\r\n"]


@pytest.mark.bad_input(19)
@pytest.mark.rule("G-21")
def test_references_to_another_thread_lead_nowhere_else(practice: Practice) -> None:
    other = factories.make_conversation(factories.make_contact(practice.account, SPOUSE), practice.user)
    victim = factories.make_message(other)
    receive(practice, practice.mail(In_Reply_To=victim.internet_message_id))
    practice.file_all()
    assert [message.conversation_id for message in practice.answers()] == [practice.conversation.id]


@pytest.mark.rule("G-11")
def test_a_contact_in_copy_is_mentioned(practice: Practice) -> None:
    anil = factories.make_contact(practice.account, SPOUSE, "Anil Raman")
    receive(practice, practice.mail(Cc=SPOUSE))
    practice.file_all()
    assert [(row.contact_id, row.field) for row in db.session.scalars(select(Mention))] == [(anil.id, "cc")]


@pytest.mark.rule("G-13")
def test_files_come_in_and_what_is_too_large_is_named(practice: Practice) -> None:
    large = b"\0" * (MAX_FILE_BYTES - 1000)
    receive(practice, with_files(practice, ("day2.bin", b"\0" * 2000), ("scan.bin", large), ("run.exe", b"MZ\0\0")))
    practice.file_all()
    files = list(db.session.scalars(select(Attachment).order_by(Attachment.position)))
    assert [(file.state, file.reason) for file in files] == [
        ("stored", ""), ("left_out", "too_large_answer"), ("blocked", "dangerous"),
    ]  # fmt: skip
    assert store.read(files[0].account_id, files[0].id, files[0].store_key) == b"\0" * 2000
    assert practice.text(practice.answers()[0]).strip() == "See the pictures."


@pytest.mark.fault(27)
def test_without_a_place_for_its_files_an_answer_waits(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise store.StoreUnavailable("full")

    receive(practice, with_files(practice, ("day2.bin", b"\0" * 2000)))
    monkeypatch.setattr(store, "put", full)
    for _ in range(5):
        assert practice.file_all() == [""]
    monkeypatch.undo()
    assert practice.file_all() == ["routed_reply"]


@pytest.mark.rule("G-22")
@pytest.mark.parametrize(
    ("action", "status", "state", "error"),
    [
        ("failed", "5.1.1", "failed", "The address does not exist. (5.1.1)"),
        ("failed", "5.0.0", "failed", "The mailbox is full. (5.2.2)"),
        ("delayed", "4.4.1", "sent", ""),
        ("delivered", "2.0.0", "sent", ""),
    ],
)
def test_a_report_fails_its_mail_with_the_reason(
    practice: Practice, action: str, status: str, state: str, error: str
) -> None:
    receive(practice, dsn(practice, action, status, f"550 {error and '5.2.2'} x"), practice.bounce_address, is_null=True)
    reasons = {"failed": "bounce", "delayed": "delay_report", "delivered": "read_receipt"}
    assert practice.file_all() == [reasons[action]]
    assert (practice.outbox.state, practice.message.state) == (state, state)
    assert error in practice.outbox.error
    assert practice.answers() == []


@pytest.mark.rule("G-22")
def test_a_report_to_the_conversation_finds_its_mail(practice: Practice) -> None:
    receive(practice, dsn(practice), is_null=True)
    stranger = practice.wire_id.replace("<", "<x")
    receive(practice, dsn(practice).replace(practice.wire_id.encode(), stranger.encode()), is_null=True)
    assert practice.file_all() == ["bounce", "bounce"]
    assert practice.outbox.state == "failed"


@pytest.mark.rule("G-22")
def test_what_is_no_report_changes_nothing(practice: Practice) -> None:
    receive(practice, practice.mail(), practice.bounce_address)
    receive(practice, practice.mail(Auto_Submitted="auto-replied"), practice.bounce_address, is_null=True)
    assert practice.file_all() == ["unknown_sender", "automatic_reply"]
    assert practice.outbox.state == "sent"


@pytest.mark.rule("G-22")
@pytest.mark.rule("S-02")
def test_a_report_fails_its_delivery(practice: Practice) -> None:
    campaign = factories.make_campaign(practice.account, practice.user)
    delivery = factories.make_delivery(campaign, practice.contact, state="sent", handed_at=now(), sent_at=now())
    address = f"{Route.BOUNCE.value}-{delivery.token}@{DOMAIN}"
    receive(practice, dsn(practice), address, is_null=True)
    assert practice.file_all() == ["bounce"]
    assert (delivery.state, delivery.cause) == ("failed", "bounced")
    assert "The address does not exist. (5.1.1)" in delivery.error
    assert practice.rows()[0].user_id == practice.user.id


@pytest.mark.rule("S-01")
def test_an_answer_settles_an_uncertain_mail(practice: Practice) -> None:
    practice.outbox.state = practice.message.state = "unknown"
    receive(practice, practice.mail(In_Reply_To=practice.wire_id))
    practice.file_all()
    assert (practice.outbox.state, practice.message.state) == ("sent", "sent")


@pytest.mark.fault(23)
@pytest.mark.requirement("SMT-5")
def test_a_poisonous_mail_is_set_aside_and_others_flow(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    receive(practice, practice.mail(text="poison"))
    receive(practice, practice.mail(text="a good one"))
    read = filing.read_mail

    def broken(raw: bytes, *rest: object) -> object:
        if b"poison" in raw:
            raise LookupError("poison")
        return read(raw, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(filing, "read_mail", broken)
    assert practice.file_all() == ["", "routed_reply"]
    assert practice.file_all() == ["", "routed_reply"]
    assert practice.file_all() == ["unreadable_mail", "routed_reply"]
    bad = practice.rows()[0]
    assert (bad.state, bad.raw is not None, bad.attempts) == ("unreadable", True, 3)
    monkeypatch.undo()
    filing.read_again(bad)
    assert practice.file_all() == ["routed_reply", "routed_reply"]


def test_the_sweep_hands_over_what_is_due(app: Flask, practice: Practice) -> None:
    receive(practice, practice.mail())
    assert filing.sweep() == 1
    row = practice.rows()[0]
    row.next_try_at = now() + timedelta(minutes=1)
    db.session.commit()
    assert filing.sweep() == 0


@pytest.mark.requirement("SMT-4")
def test_nothing_is_ever_answered(practice: Practice) -> None:
    for raw in (practice.mail(), practice.mail(STRANGER), practice.mail(Disposition_Notification_To=PATIENT)):
        receive(practice, raw)
    practice.file_all()
    messages = db.session.scalar(select(func.count()).select_from(Message).where(Message.direction == "outbound"))
    assert messages == 1
    assert db.session.scalar(select(func.count()).select_from(IntakeMail)) == 3
