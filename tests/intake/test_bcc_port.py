"""The port and a BCC address: who is heard, what is kept, and that one answer is given to all others."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from sqlalchemy import event, select

from portal.bcc.service import address_of, replace_address, written_address
from portal.database import db
from portal.intake import bcc, bcc_port, service
from portal.intake.smtpd import MAX_BYTES, Limits
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import AuditEvent, IntakeMail, Membership, OwnAddress
from portal.rules.addresses import match_key
from tests import factories
from tests.intake.bcc_owner import DOMAIN, OWNER, PATIENT, STRANGER, Owner
from tests.intake.conftest import Intake, listening

KEPT, FOREIGN = (250, b"2.0.0 OK, kept"), (550, b"5.7.1 Only its owner may write to this address")
UNKNOWN = (550, b"5.1.1 No such address here")
FULL = (452, b"4.2.2 Too much waits at this address, try again later")


@pytest.mark.rule("B-01")
@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-1")
@pytest.mark.provider_fault(36)
def test_one_answer_for_whatever_is_no_address(bcc_intake: Intake, owner: Owner) -> None:
    """Unknown, replaced, of somebody who left, of somebody who never worked there: all the same."""
    old, left = owner.address, factories.make_account()
    factories.make_member(left, user=owner.user, state="deactivated")
    gone = written_address(address_of(left.id, owner.user.id))
    never = written_address(address_of(owner.account.id, factories.make_user().id))
    new = written_address(replace_address(owner.account.id, owner.user.id))
    with bcc_intake.client() as client:
        client.mail(OWNER)
        answers = {client.rcpt(address) for address in (old, gone, never, f"u-{new_token()}@{DOMAIN}", f"u-x@{DOMAIN}")}
        assert answers == {UNKNOWN}
        assert client.rcpt(new.upper())[0] == 250
        assert client.rcpt(new.replace("@", "+visit@"))[0] == 250
    owner.user.deactivated_at = now()
    with bcc_intake.client() as client:
        client.mail(OWNER)
        assert client.rcpt(new) == UNKNOWN


@pytest.mark.requirement("SMT-1")
def test_guesses_hit_nothing_and_cost_the_same(app: Flask, owner: Owner) -> None:
    """One statement of one shape, whether there is such an address or not, of whichever kind; 130 bits to guess."""
    said: list[str] = []

    def listen(_connection: object, _cursor: object, text: str, *_: object) -> None:
        said.append(text)

    event.listen(db.engine, "before_cursor_execute", listen)
    for address in (owner.address, f"u-{new_token()}@{DOMAIN}", f"r-{new_token()}@{DOMAIN}", "somebody@gmail.com"):
        service.find_target(address, DOMAIN)
    event.remove(db.engine, "before_cursor_execute", listen)
    asked = [text for text in said if "bcc_address" in text]
    assert (len(asked), len(set(asked))) == (4, 1)
    assert not any(service.find_target(f"u-{new_token()}@{DOMAIN}", DOMAIN) for _ in range(100))
    assert len(owner.address.partition("@")[0].removeprefix("u-")) == 26


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
@pytest.mark.provider_fault(36)
@pytest.mark.parametrize(
    "headers",
    [
        {"From": STRANGER},
        {"From": f"Tomas Berg <{STRANGER}>"},
        {"From": f'"{OWNER}" <{STRANGER}>'},
        {"From": f"=?utf-8?Q?{OWNER}?= <{STRANGER}>"},
        {"From": f"{OWNER}, {STRANGER}"},
        {"From": f"{OWNER}\r\nFrom: {STRANGER}"},
        {"From": f"{OWNER})x@elsewhere.example"},
        {"From": ""},
        {"From": PATIENT, "To": OWNER, "Cc": f"u-{'a' * 26}@{DOMAIN}"},
        {"From": STRANGER, "Sender": OWNER, "Reply_To": OWNER},
    ],
)  # fmt: skip
def test_who_is_plainly_not_the_owner_is_refused(bcc_intake: Intake, owner: Owner, headers: dict[str, str]) -> None:
    raw = owner.mail(is_signed=False, text="canary-7f3a91", **headers)
    assert bcc_intake.send(raw, owner.address, sender=OWNER) == FOREIGN
    (row,) = owner.rows()
    assert (row.kind, row.state, row.outcome, row.reason) == ("bcc", "decided", "left_out", "foreign_sender")
    assert (row.user_id, row.raw, row.peer, row.helo, row.mail_from) == (owner.user.id, None, "", "", "")
    events = select(AuditEvent.details).where(AuditEvent.name == "portal:bcc:refused")
    assert list(db.session.scalars(events)) == [{"cause": "foreign_sender"}]
    assert owner.file() == ["foreign_sender"]


@pytest.mark.rule("B-05")
def test_a_flood_of_strangers_fills_no_table(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcc_port, "MOST_REFUSED", 3)
    assert not any(owner.post(owner.mail(is_signed=False, From=STRANGER)) for _ in range(8))
    assert len(owner.rows()) == 3
    again = owner.mail(is_signed=False, From=STRANGER, Message_ID="<again@mail>")
    monkeypatch.setattr(bcc_port, "MOST_REFUSED", 9)
    assert not any(owner.post(again) for _ in range(3))
    assert len(owner.rows()) == 4  # the same mail is one fact
    monkeypatch.setattr(bcc_port, "MOST_TAKEN", 2)
    assert all(owner.post(owner.mail(is_signed=False, From=STRANGER, Auto_Submitted="auto-replied")) for _ in range(5))
    assert len(owner.rows()) == 6


@pytest.mark.requirement("SMT-3")
def test_what_waits_at_an_address_is_bounded(bcc_intake: Intake, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows an address may write to it as its owner, and that is kept; it makes room once it is decided."""
    first = owner.mail(is_signed=False)
    monkeypatch.setattr(service, "MOST_WAITING", len(first) + 100)
    assert bcc_intake.send(first, owner.address, sender=OWNER) == KEPT
    assert bcc_intake.send(owner.mail(is_signed=False), owner.address, sender=OWNER) == FULL
    assert bcc_intake.send(first, owner.address, sender=OWNER) == KEPT  # once more, as after a lost 250
    assert owner.file() == ["unverified"]
    assert bcc_intake.send(owner.mail(is_signed=False), owner.address, sender=OWNER) == FULL
    bcc.drop(owner.rows()[0])
    db.session.commit()
    assert bcc_intake.send(owner.mail(is_signed=False), owner.address, sender=OWNER) == KEPT


@pytest.mark.rule("B-05")
def test_addresses_of_the_owner_are_heard(owner: Owner) -> None:
    account, user = owner.account, owner.user
    factories.make_connection(account, user, "t.berg@gmail.com", aliases=["t.berg@gmail.com", "hello@lumen.example"])
    for email, verified_at in (("tomas@home.example", now()), ("later@home.example", None)):
        key = match_key(email)
        db.session.add(OwnAddress(account_id=account.id, user_id=user.id, email=email, email_key=key, verified_at=verified_at))
    heard = {
        sender: owner.post(owner.mail(is_signed=False, From=sender))
        for sender in (OWNER.upper(), "tberg+x@googlemail.com", "hello@lumen.example", "tomas@home.example",
                       "later@home.example", "tomas+x@lumen.example")
    }  # fmt: skip
    assert [sender for sender, is_taken in heard.items() if not is_taken] == ["later@home.example", "tomas+x@lumen.example"]


@pytest.mark.rule("B-05")
@pytest.mark.provider_fault(36)
def test_a_mail_refused_once_is_taken_when_the_address_is_verified(owner: Owner) -> None:
    raw = owner.mail(is_signed=False, From="tomas@home.example")
    assert not owner.post(raw)
    db.session.add(
        OwnAddress(
            account_id=owner.account.id, user_id=owner.user.id, email="tomas@home.example", email_key="tomas@home.example",
            verified_at=now(),
        )
    )  # fmt: skip
    assert owner.post(raw)
    assert owner.file() == ["foreign_sender", "unverified"]


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-4")
@pytest.mark.provider_fault(36)
def test_machines_are_heard_and_left_out(bcc_intake: Intake, owner: Owner) -> None:
    """A refusal would come back to somebody as a report: 250, and nothing is kept but the reason."""
    hops = b"Received: from a by b; Tue, 24 Nov 2026 09:00:00 +0000\r\n" * 51
    report = {"From": "MAILER-DAEMON@mx.example", "Content_Type": "multipart/report; report-type=delivery-status; boundary=x"}
    mails = {
        "automatic_reply": owner.mail(is_signed=False, Auto_Submitted="auto-replied"),
        "list_mail": owner.mail(is_signed=False, From=STRANGER, List_Id="<news>"),
        "read_receipt": owner.mail(
            is_signed=False, From=PATIENT, Content_Type="multipart/report; report-type=disposition-notification; boundary=x"
        ),
        "bounce": owner.mail(is_signed=False, **report),
        "loop": hops + owner.mail(is_signed=False),
    }
    for raw in mails.values():
        assert bcc_intake.send(raw, owner.address, sender=OWNER) == KEPT
    assert bcc_intake.send(owner.mail(is_signed=False), owner.address, sender="") == KEPT
    assert [row.reason for row in owner.rows()] == [*mails, "automatic_reply"]
    assert {(row.state, row.raw) for row in owner.rows()} == {("decided", None)}
    assert owner.file() == [*mails, "automatic_reply"]
    assert (owner.messages(), owner.tracked()) == ([], set())


@pytest.mark.rule("B-02")
@pytest.mark.requirement("SMT-4")
def test_a_copy_of_a_mail_written_in_the_crm_changes_nothing(owner: Owner) -> None:
    """Also when the practice's mail server sent it: a refusal there would come back as a report on the whole mail."""
    conversation = factories.make_conversation(owner.contact, owner.user)
    written = factories.make_message(
        conversation, direction="outbound", origin="crm", crm_ref=new_id(), internet_message_id="<crm@mail>"
    )
    message_id, conversation_id, mark = written.id, conversation.id, str(written.crm_ref)
    assert owner.post(owner.mail(is_signed=False, X_CRM_Ref=mark))
    assert owner.post(owner.mail(is_signed=False, X_CRM_Ref=mark, From="hello@lumen.example"))
    assert not owner.post(owner.mail(is_signed=False, X_CRM_Ref=str(new_id()), From="hello@lumen.example"))
    assert [row.reason for row in owner.rows()] == ["bcc_of_crm_mail", "bcc_of_crm_mail", "foreign_sender"]
    assert (owner.rows()[0].message_id, owner.rows()[0].conversation_id) == (message_id, conversation_id)
    assert owner.tracked() == set()
    answer = owner.filed(owner.mail(X_CRM_Ref=mark, In_Reply_To="<crm@mail>"))  # some programs copy every field
    assert (answer.reason, answer.conversation_id) == ("bcc_logged", conversation_id)


@pytest.mark.rule("B-05")
@pytest.mark.provider_fault(36)
def test_one_answer_for_a_mail_with_several_recipients(bcc_intake: Intake, owner: Owner) -> None:
    """Taken if anybody takes it; for the others only the fact is kept."""
    colleague = factories.make_member(owner.account, email="lena@lumen.example")
    hers = written_address(address_of(owner.account.id, colleague.id))
    conversation = factories.make_conversation(owner.contact, owner.user, reply_token=new_token())
    routed = f"r-{conversation.reply_token}@{DOMAIN}"
    assert bcc_intake.send(owner.mail(), owner.address, hers, sender=OWNER) == KEPT
    assert [(row.state, row.reason) for row in owner.rows()] == [("received", ""), ("decided", "foreign_sender")]
    assert bcc_intake.send(owner.mail(From=STRANGER), owner.address, hers, sender=STRANGER) == FOREIGN
    assert bcc_intake.send(owner.mail(From=PATIENT), owner.address, routed, sender=PATIENT) == KEPT
    assert owner.rows()[-1].kind == "reply"


@pytest.mark.rule("B-02")
@pytest.mark.rule("B-04")
@pytest.mark.fault(30)
@pytest.mark.requirement("SMT-5")
@pytest.mark.provider_fault(36)
def test_kept_sealed_in_no_time_and_once(bcc_intake: Intake, owner: Owner) -> None:
    """Gmail tries again after a lost 250; a large mail is taken within five seconds and without a question to the DNS."""
    raw = owner.mail(text="canary-7f3a91 " * 700_000, is_signed=False, Message_ID="<once@mail>")
    started = time.monotonic()
    assert bcc_intake.send(raw, owner.address, sender=OWNER) == KEPT
    assert time.monotonic() - started < 5
    assert bcc_intake.send(b"Received: from a by b\r\n" + raw, owner.address, sender=OWNER) == KEPT
    (row,) = owner.rows()
    assert (row.state, row.kind, row.peer, row.helo, row.mail_from) == ("received", "bcc", "127.0.0.1", "client.example", OWNER)
    assert row.raw is not None
    assert b"canary" not in row.raw
    assert not hasattr(owner.dns, "asked")
    assert bcc_intake.send(raw + b"x" * MAX_BYTES, owner.address, sender=OWNER)[0] == 552


@pytest.mark.requirement("SMT-3")
def test_a_slow_client_is_shown_out(app: Flask, owner: Owner) -> None:
    with listening(app, Limits(idle_seconds=0.3)) as intake:
        with intake.in_data(owner.address) as wire:
            wire.sendall(owner.mail()[:50])
            time.sleep(0.8)
        assert owner.rows() == []
        assert intake.send(owner.mail(), owner.address, sender=OWNER) == KEPT


@pytest.mark.rule("B-05")
@pytest.mark.requirement("RBA-5")
@pytest.mark.parametrize("change", [{"state": "deactivated"}, {"role": "marketing"}], ids=["left", "may write no mail"])
def test_a_membership_that_ends_ends_the_address(bcc_intake: Intake, owner: Owner, change: dict[str, str]) -> None:
    assert service.find_target(owner.address, DOMAIN) is not None
    membership = db.session.scalars(select(Membership).where(Membership.user_id == owner.user.id)).one()
    for name, value in change.items():
        setattr(membership, name, value)
    assert bcc_intake.send(owner.mail(), owner.address, sender=OWNER) == UNKNOWN
    assert db.session.scalars(select(IntakeMail)).all() == []
