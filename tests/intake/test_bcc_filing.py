"""A mail with a person's BCC address: under whom it goes, who becomes a contact, what is tracked, what waits."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from portal.bcc.service import address_of, written_address
from portal.conversations import store
from portal.database import db
from portal.intake import filing
from portal.lib.clock import now
from portal.models import Attachment, AuditEvent, Contact, Mention, OutboxMail, Participant
from portal.rules.reasons import Outcome
from tests import factories
from tests.intake.bcc_owner import COLLEAGUE, NEWCOMER, OWNER, PATIENT, SPOUSE, Owner


def with_file(owner: Owner, data: bytes) -> bytes:
    """A mail with an attachment."""
    raw = owner.mail(is_signed=False, Content_Type='multipart/mixed; boundary="=_b"').partition(b"\r\n\r\n")[0]
    part = "--=_b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n"
    return (
        raw + b"\r\n\r\n--=_b\r\n\r\nSee the plan.\r\n" + part.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(data) + b"--=_b--\r\n"
    )  # fmt: skip


@pytest.mark.rule("B-02")
@pytest.mark.rule("B-03")
@pytest.mark.rule("G-11")
@pytest.mark.rule("E-01")
def test_the_mail_and_its_contact_are_logged(owner: Owner) -> None:
    factories.make_contact(owner.account, SPOUSE, "Anil Raman")
    row = owner.filed(owner.mail(Cc=f"{SPOUSE}, {owner.address}"))
    assert (row.state, row.outcome, row.reason, row.authentication) == ("decided", "logged", "bcc_logged", "proven")
    assert (row.raw, row.peer, row.helo, row.mail_from) == (None, "", "", "")
    (message,), (conversation,) = owner.messages(), owner.conversations()
    assert (message.direction, message.user_id, message.connection_id) == ("outbound", owner.user.id, None)
    assert owner.text(message) == "See you on Monday.\r\n"
    assert (conversation.contact_id, conversation.user_id, conversation.started_by) == (owner.contact.id, owner.user.id, "user")
    assert (conversation.message_count, conversation.last_direction, conversation.connection_id) == (1, "outbound", None)
    assert (row.message_id, row.conversation_id) == (message.id, conversation.id)
    people = select(Participant.email_key)
    assert set(db.session.scalars(people)) == {OWNER, PATIENT, SPOUSE}  # the address itself is nobody
    assert [mention.field for mention in db.session.scalars(select(Mention))] == ["cc"]
    assert owner.tracked() == {PATIENT}
    names = set(db.session.scalars(select(AuditEvent.name)))
    assert {"portal:intake:decided", "portal:tracking:begun"} <= names


@pytest.mark.rule("B-02")
@pytest.mark.rule("G-21")
def test_an_answer_joins_its_thread_and_nothing_else_does(owner: Owner) -> None:
    first = owner.filed(owner.mail(Message_ID="<one@mail>"))
    joined = owner.filed(owner.mail(In_Reply_To="<one@mail>", text="One thing more."))
    assert joined.conversation_id == first.conversation_id
    assert owner.conversations()[0].message_count == 2
    same_subject = owner.filed(owner.mail())
    other = factories.make_contact(owner.account, SPOUSE)
    forward = owner.filed(owner.mail(SPOUSE, References="<one@mail>", Subject="Fwd: Your visit"))
    assert len({first.conversation_id, same_subject.conversation_id, forward.conversation_id}) == 3
    assert owner.conversations()[-1].contact_id == other.id
    assert owner.messages()[-1].is_forward


@pytest.mark.rule("B-06")
@pytest.mark.rule("G-11")
def test_somebody_new_in_to_becomes_a_contact(owner: Owner) -> None:
    factories.make_own_address(owner.account, factories.make_member(owner.account, email=COLLEAGUE), "lena@home.example")
    to = f"Lena <{COLLEAGUE}>, lena@home.example, Front <desk@lumen.example>, {owner.address}, {OWNER}, \"Duarte, Ines\" <{NEWCOMER}>, z@mail.example"
    row = owner.filed(owner.mail(to, Cc="copy@mail.example"))
    contact = db.session.scalars(select(Contact).order_by(Contact.id.desc()).limit(1)).one()
    assert (contact.email, contact.name, contact.source, contact.created_by_id) == (
        NEWCOMER, "Ines Duarte", "bcc_sync", owner.user.id,
    )  # fmt: skip
    assert db.session.scalar(select(func.count()).select_from(Contact)) == 2  # and nobody else
    assert row.reason == "bcc_logged"
    assert owner.tracked() == {NEWCOMER}
    owner.filed(owner.mail(NEWCOMER))
    assert db.session.scalar(select(func.count()).select_from(Contact)) == 2


@pytest.mark.rule("B-06")
def test_names_that_no_form_would_take_are_left_away(owner: Owner) -> None:
    owner.filed(owner.mail(f'"{NEWCOMER}" <{NEWCOMER}>'))
    owner.filed(owner.mail(f"\"{'x' * 300}\" <long@mail.example>"))
    assert {c.name for c in db.session.scalars(select(Contact))} == {"Priya Raman", NEWCOMER, "long@mail.example"}


@pytest.mark.rule("B-06")
@pytest.mark.parametrize(
    ("to", "policy"),
    [
        (NEWCOMER, "ask"), ("undisclosed-recipients:;", "create"), ("", "create"), (f"desk@lumen.example, {OWNER}", "create"),
        ("second@mail.example", "create"),
    ],
    ids=["the policy asks", "nobody named", "no To", "only staff", "an alternate address"],
)  # fmt: skip
def test_without_a_contact_it_waits_for_its_owner(owner: Owner, to: str, policy: str) -> None:
    factories.make_contact(owner.account, "other@mail.example", alternates=("second@mail.example",))
    owner.account.bcc_new_contacts = policy
    row = owner.filed(owner.mail(to, Cc=PATIENT))
    assert (row.state, row.outcome, row.reason) == ("unmatched", Outcome.HELD.value, "unmatched")
    assert (row.raw is not None, row.peer, row.mail_from) == (True, "", "")
    assert (owner.messages(), owner.tracked()) == ([], set())
    assert db.session.scalar(select(func.count()).select_from(Contact)) == 2
    assert owner.file() == ["unmatched"]  # and no worker touches it again
    assert filing.sweep() == 0


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
def test_what_nothing_proves_is_kept_sealed_for_its_owner(owner: Owner) -> None:
    row = owner.filed(owner.mail(is_signed=False))
    assert (row.state, row.outcome, row.reason, row.authentication) == ("unverified", "held", "unverified", "unproven")
    assert row.raw is not None
    assert b"Monday" not in row.raw
    row = owner.filed(owner.mail().replace(b"Monday", b"Friday"))
    assert row.state == "unverified"
    assert (owner.messages(), owner.tracked()) == ([], set())
    waits = list(db.session.scalars(select(AuditEvent.details).where(AuditEvent.name == "portal:bcc:waits")))
    assert waits == [{"reason": "unverified"}] * 2


@pytest.mark.rule("B-05")
def test_silent_name_servers_are_asked_again_and_not_for_ever(owner: Owner) -> None:
    owner.dns.silent = frozenset({"s1._domainkey.lumen.example"})
    raw = owner.mail()
    owner.post(raw)
    assert owner.file() == [""]
    assert filing.sweep() == 0
    assert owner.rows()[0].next_try_at > now() + timedelta(seconds=30)
    owner.dns.silent = frozenset()
    assert owner.file() == ["bcc_logged"]
    owner.dns.silent = frozenset({"s1._domainkey.lumen.example"})
    owner.post(owner.mail())
    assert [owner.file()[-1] for _ in range(filing.TRIES)] == ["", "", "unverified"]


@pytest.mark.rule("B-02")
def test_an_excluded_contact_stays_out_and_untracked(owner: Owner) -> None:
    owner.contact.excluded_from_sync = True
    row = owner.filed(owner.mail())
    assert (row.state, row.reason, row.raw) == ("decided", "excluded_contact", None)
    assert (owner.messages(), owner.tracked()) == ([], set())


@pytest.mark.rule("B-02")
def test_the_same_mail_is_one_message_however_it_came(owner: Owner) -> None:
    conversation = factories.make_conversation(owner.contact, owner.user)
    met = factories.make_message(
        conversation, direction="outbound", internet_message_id="<both@mail>", people={"from": [OWNER], "to": [PATIENT]}
    )
    row = owner.filed(owner.mail(Message_ID="<both@mail>"))
    assert (row.reason, row.message_id, row.conversation_id) == ("already_logged", met.id, conversation.id)
    assert owner.messages() == []
    assert owner.tracked() == {PATIENT}
    row = owner.filed(owner.mail("Anil <anil@mail.example>", text="Another.", Message_ID="<both@mail>"))
    assert row.reason == "bcc_logged"  # the id alone proves nothing


@pytest.mark.rule("B-02")
@pytest.mark.rule("G-13")
def test_files_come_in(owner: Owner) -> None:
    owner.account.bcc_new_contacts = "ask"
    row = owner.filed(with_file(owner, b"%PDF-1.4 plan"))
    assert row.state == "unverified"
    owner.dns["lumen.example", "TXT"] = ("v=spf1 ip4:185.12.14.7 -all",)
    row = owner.filed(with_file(owner, b"%PDF-1.4 plan"))
    assert row.state == "decided"
    (file,) = db.session.scalars(select(Attachment))
    assert (file.state, store.read(file.account_id, file.id, file.store_key)) == ("stored", b"%PDF-1.4 plan")


@pytest.mark.bad_input(1)
@pytest.mark.provider_fault(36)
def test_mails_without_an_id_are_each_their_own(owner: Owner) -> None:
    for text in ("one", "two", "two"):
        owner.filed(owner.mail(text=text, Message_ID="", is_signed=text == "one", Subject=text))
    owner.dns["lumen.example", "TXT"] = ("v=spf1 ip4:185.12.14.7 -all",)
    owner.filed(owner.mail(text="three", Message_ID="<>", is_signed=False))
    assert [row.reason for row in owner.rows()] == ["bcc_logged", "unverified", "bcc_logged"]
    assert {message.internet_message_id.partition("@")[2] for message in owner.messages()} == {"no-message-id.invalid>"}


@pytest.mark.rule("B-01")
def test_a_mail_with_addresses_of_two_accounts_is_filed_in_each(owner: Owner) -> None:
    other = factories.make_account()
    factories.make_member(other, user=owner.user)
    patient = factories.make_contact(other, PATIENT)
    second = written_address(address_of(other.id, owner.user.id))
    assert owner.post(owner.mail(), owner.address, second)
    assert owner.file() == ["bcc_logged", "bcc_logged"]
    assert {c.contact_id for c in owner.conversations()} == {owner.contact.id, patient.id}


@pytest.mark.requirement("TEN-4")
def test_who_left_meanwhile_files_nothing(owner: Owner) -> None:
    owner.post(owner.mail())
    owner.user.deactivated_at = now()
    assert owner.file() == ["foreign_sender"]
    assert owner.rows()[0].raw is None


@pytest.mark.requirement("SMT-4")
@pytest.mark.rule("B-05")
def test_nothing_is_ever_answered(owner: Owner) -> None:
    for raw in (owner.mail(), owner.mail(is_signed=False), owner.mail(From="x@elsewhere.example"), owner.mail(NEWCOMER),
                owner.mail(Disposition_Notification_To=OWNER, Return_Receipt_To=OWNER)):  # fmt: skip
        owner.post(raw)
    owner.file()
    assert db.session.scalar(select(func.count()).select_from(OutboxMail)) == 0
