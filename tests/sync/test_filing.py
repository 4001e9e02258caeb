"""The filing table, end to end: mail in a real mailbox at the stand-in, rows in both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import Contact, Decision, Mention, Participant
from tests import factories
from tests.sync.conftest import COLLEAGUE, OTHER, OWN, PATIENT, STRANGER, Practice


@pytest.mark.rule("G-04")
@pytest.mark.rule("E-01")
def test_contact_writes_and_begins_a_conversation(practice: Practice) -> None:
    mail = practice.arrives(text="It feels softer today.")
    assert practice.sync() == "synced"
    decision = practice.decisions()[mail]
    assert (decision.outcome, decision.reason) == ("logged", "contact_wrote")
    assert decision.contact_id == practice.contact.id
    [conversation], [message] = practice.conversations(), practice.messages()
    assert (conversation.contact_id, conversation.started_by, conversation.state) == (practice.contact.id, "contact", "open")
    assert (conversation.message_count, conversation.last_direction) == (1, "inbound")
    assert (message.direction, message.origin, message.provider_message_id) == ("inbound", "mailbox", mail)
    assert practice.text(message).strip() == "It feels softer today."
    assert practice.subject(message) == "Swelling"
    assert practice.is_consistent()


@pytest.mark.rule("G-04")
def test_both_sides_stay_in_the_thread(practice: Practice) -> None:
    first = practice.arrives()
    practice.sync()
    answer = practice.replies(first, text="Yes, it is.")
    practice.sync()
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT, text="Thank you!")
    practice.sync()
    assert practice.reason(answer["id"]) == "user_replied"
    assert [d.reason for d in practice.decisions().values()] == ["contact_wrote", "user_replied", "contact_replied"]
    [conversation] = practice.conversations()
    assert (conversation.message_count, conversation.last_direction) == (3, "inbound")
    assert [m.direction for m in practice.messages()] == ["inbound", "outbound", "inbound"]
    assert practice.is_consistent()


@pytest.mark.rule("G-04")
def test_batch_size_changes_no_decision(practice: Practice) -> None:
    """The whole exchange met by one job reads like the one met mail by mail."""
    first = practice.arrives()
    practice.replies(first)
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT)
    practice.sync()
    assert [d.reason for d in practice.decisions().values()] == ["contact_wrote", "user_replied", "contact_replied"]
    assert len(practice.conversations()) == 1
    assert practice.is_consistent()


@pytest.mark.rule("G-05")
def test_thread_begun_in_gmail_starts_with_the_contacts_answer(practice: Practice) -> None:
    begun = practice.writes(PATIENT)
    practice.sync()
    assert practice.reason(begun["id"]) == "started_in_mailbox"
    assert not practice.messages()
    [received] = practice.sandbox.messages(PATIENT)
    practice.replies(received["id"], box=PATIENT)
    practice.sync()
    assert [m.direction for m in practice.messages()] == ["inbound"]
    assert practice.conversations()[0].started_by == "contact"


@pytest.mark.rule("G-06")
@pytest.mark.rule("G-21")
@pytest.mark.provider_fault(37)
def test_forward_goes_to_its_own_contact(practice: Practice) -> None:
    """Gmail keeps it in the first contact's thread; it shows in the second contact's conversation only."""
    other = factories.make_contact(practice.account, OTHER, "Anil Raman")
    first = practice.arrives(text="secret of Priya")
    practice.sync()
    sent = practice.writes(OTHER, forward_of=first)
    assert sent["thread_id"] == first  # the trap: the thread is another contact's
    practice.sync()
    assert practice.reason(sent["id"]) == "user_forwarded"
    by_contact = {c.contact_id: c for c in practice.conversations()}
    assert by_contact[practice.contact.id].message_count == 1
    assert (by_contact[other.id].message_count, by_contact[other.id].started_by) == (1, "user")
    [received] = practice.sandbox.messages(OTHER)
    practice.replies(received["id"], box=OTHER)  # and their answer stays with them
    practice.sync()
    by_contact = {c.contact_id: c for c in practice.conversations()}
    assert (by_contact[practice.contact.id].message_count, by_contact[other.id].message_count) == (1, 2)


@pytest.mark.rule("G-07")
@pytest.mark.parametrize("state", ["active", "invited", "deactivated"])
def test_mail_of_a_crm_user_is_left_out_whoever_else_is_in_it(practice: Practice, state: str) -> None:
    factories.make_member(practice.account, "front_desk", email=COLLEAGUE, state=state)
    factories.make_contact(practice.account, COLLEAGUE, "Dana Ruiz")
    mail = practice.arrives(COLLEAGUE, to=f"{OWN}, {PATIENT}", Cc=OTHER)
    sent = practice.writes(COLLEAGUE)
    practice.sync()
    assert practice.reason(mail) == practice.reason(sent["id"]) == "crm_user"
    assert not practice.messages()


@pytest.mark.rule("G-07")
@pytest.mark.parametrize("kind", ["alias", "former", "verified"])
def test_a_colleague_is_known_by_every_address_of_theirs(practice: Practice, kind: str) -> None:
    """Also where it is a contact's by mistake. An address that is not proven to be theirs is nobody's."""
    other, theirs = factories.make_member(practice.account, email=COLLEAGUE), "d.holt@mail.example"
    factories.make_contact(practice.account, theirs)
    if kind == "verified":
        row = factories.make_own_address(practice.account, other, theirs, is_verified=False)
        known = practice.arrives(theirs)
        practice.sync()
        assert practice.reason(known) == "contact_wrote"
        row.verified_at = row.created_at
    else:
        ended = {"state": "disconnected", "disconnected_at": now()} if kind == "former" else {}
        factories.make_connection(practice.account, other, "dana@gmail.example", aliases=["Dana@gmail.example", theirs], **ended)
    mail, sent = practice.arrives(theirs), practice.writes(theirs)
    practice.sync()
    assert practice.reason(mail) == practice.reason(sent["id"]) == "crm_user"


@pytest.mark.rule("G-07")
def test_copying_a_colleague_does_not_lose_patient_mail(practice: Practice) -> None:
    factories.make_member(practice.account, "front_desk", email=COLLEAGUE)
    mail = practice.arrives(to=f"{COLLEAGUE}, {OWN}")
    practice.sync()
    assert practice.decisions()[mail].contact_id == practice.contact.id


@pytest.mark.rule("G-08")
def test_alternate_addresses_do_not_match(practice: Practice) -> None:
    factories.make_contact(practice.account, "main@mail.example", alternates=(OTHER,))
    mail = practice.arrives(OTHER)
    practice.sync()
    assert practice.reason(mail) == "alternate_address"


@pytest.mark.rule("G-09")
@pytest.mark.rule("G-11")
@pytest.mark.rule("G-12")
def test_filed_under_the_sender_others_are_mentioned_nobody_is_created(practice: Practice) -> None:
    other = factories.make_contact(practice.account, OTHER, "Anil Raman")
    before = db.session.scalar(select(db.func.count()).select_from(Contact))
    mail = practice.arrives(Cc=f"{OTHER}, {STRANGER}")
    practice.sync()
    assert practice.decisions()[mail].contact_id == practice.contact.id
    [mention] = db.session.scalars(select(Mention))
    assert (mention.contact_id, mention.field) == (other.id, "cc")
    assert db.session.scalar(select(db.func.count()).select_from(Contact)) == before
    people = {(p.field, p.email) for p in db.session.scalars(select(Participant))}
    assert people == {("from", PATIENT), ("to", OWN), ("cc", OTHER), ("cc", STRANGER)}


@pytest.mark.rule("G-09")
def test_captured_mail_is_left_out_with_its_reason(practice: Practice) -> None:
    mail = practice.arrives(STRANGER, to=f"{PATIENT}, {OWN}")
    practice.sync()
    assert practice.reason(mail) == "captured"
    assert not practice.messages()


@pytest.mark.rule("G-10")
def test_of_duplicates_the_one_created_first(practice: Practice) -> None:
    early = factories.make_contact(practice.account, OTHER, created_at=now() - timedelta(days=9))
    factories.make_contact(practice.account, OTHER, created_at=now() - timedelta(days=3))
    mail = practice.arrives(OTHER)
    practice.sync()
    assert practice.decisions()[mail].contact_id == early.id


@pytest.mark.rule("G-15")
def test_deleting_in_gmail_removes_nothing(practice: Practice) -> None:
    mail = practice.arrives()
    practice.sync()
    practice.sandbox.call("DELETE", f"/mailboxes/{OWN}/messages/{mail}")
    assert practice.sync() == "synced"
    assert len(practice.messages()) == 1


@pytest.mark.rule("G-21")
@pytest.mark.requirement("SYN-4")
@pytest.mark.bad_input(19)
def test_forged_references_of_a_stranger_do_not_join(practice: Practice) -> None:
    first = practice.arrives(Message_ID="<known@mail.example>")
    practice.sync()
    forged = practice.arrives(STRANGER, In_Reply_To="<known@mail.example>", References="<known@mail.example>")
    practice.sync()
    assert practice.reason(forged) == "no_contact"
    assert [m.provider_message_id for m in practice.messages()] == [first]


@pytest.mark.rule("G-21")
def test_references_of_a_contact_into_anothers_thread_begin_their_own(practice: Practice) -> None:
    factories.make_contact(practice.account, OTHER, "Anil Raman")
    practice.arrives(Message_ID="<known@mail.example>")
    practice.sync()
    mail = practice.arrives(OTHER, References="<known@mail.example>")
    practice.sync()
    assert practice.reason(mail) == "contact_wrote"
    assert {c.message_count for c in practice.conversations()} == {1}
    assert len(practice.conversations()) == 2


@pytest.mark.rule("G-21")
def test_a_known_participant_joins_by_references_alone(practice: Practice) -> None:
    """Another subject opens another thread at Gmail; the wire ids still tell."""
    practice.arrives(Message_ID="<known@mail.example>", Cc=OTHER)
    practice.sync()
    mail = practice.arrives(OTHER, subject="Something else", References="<known@mail.example>")
    practice.sync()
    assert practice.reason(mail) == "other_replied"
    assert len(practice.conversations()) == 1


@pytest.mark.rule("G-22")
@pytest.mark.bad_input(30)
@pytest.mark.parametrize(
    "headers, reason",
    [
        ({"List_Id": "<news.example>"}, "list_mail"),
        ({"Precedence": "bulk"}, "list_mail"),
        ({"Auto_Submitted": "auto-replied"}, "automatic_reply"),
        ({"Content_Type": "multipart/report; report-type=disposition-notification; boundary=x"}, "read_receipt"),
        ({"X_Forwarded_To": OWN, "X_Forwarded_For": f"old@mail.example {OWN}"}, "automatic_forward"),
    ],
)  # fmt: skip
def test_mail_that_machines_wrote_is_left_out(practice: Practice, headers: dict[str, str], reason: str) -> None:
    mail = practice.arrives(**headers)
    practice.sync()
    assert practice.reason(mail) == reason
    assert not practice.messages()


@pytest.mark.rule("G-22")
def test_automatic_reply_inside_a_conversation_is_logged_and_marked(practice: Practice) -> None:
    practice.arrives(Message_ID="<known@mail.example>")
    practice.sync()
    mail = practice.arrives(Auto_Submitted="auto-replied", In_Reply_To="<known@mail.example>")
    practice.sync()
    assert practice.reason(mail) == "automatic_in_conversation"
    assert [m.is_automatic for m in practice.messages()] == [False, True]


@pytest.mark.rule("E-01")
def test_own_mail_drafts_and_spam_have_their_reasons(practice: Practice) -> None:
    own = practice.writes(OWN)
    draft = practice.sandbox.call("POST", f"/mailboxes/{OWN}/drafts", json={"to": PATIENT, "text": "half"})
    spam = practice.arrives(labels="SPAM")
    trash = practice.arrives(labels="TRASH")
    practice.sync()
    found = {key: row.reason for key, row in practice.decisions().items()}
    assert found == {own["id"]: "own_mail", draft["id"]: "draft", spam: "spam", trash: "trash"}
    assert not practice.messages()


@pytest.mark.rule("E-01")
@pytest.mark.provider_fault(16)
def test_mail_rescued_from_spam_is_looked_at_again(practice: Practice) -> None:
    mail = practice.arrives(labels="SPAM")
    practice.sync()
    assert practice.reason(mail) == "spam"
    practice.sandbox.call("POST", f"/mailboxes/{OWN}/messages/{mail}/labels", json={"add": ["INBOX"], "remove": ["SPAM"]})
    practice.sync()
    assert practice.reason(mail) == "contact_wrote"
    assert len(practice.messages()) == 1
    assert len(db.session.scalars(select(Decision)).all()) == 1
    assert practice.is_consistent()


def test_excluded_contact_stays_out(practice: Practice) -> None:
    practice.contact.excluded_from_sync = True
    mail = practice.arrives()
    practice.sync()
    assert practice.reason(mail) == "excluded_contact"


@pytest.mark.rule("G-04")
def test_alias_counts_as_the_mailbox(practice: Practice) -> None:
    practice.sandbox.add_mailbox(OWN, aliases=["clinic@lumen.example"])
    practice.connection.aliases = [OWN, "clinic@lumen.example"]
    mail = practice.arrives(to="clinic@lumen.example", box="clinic@lumen.example")
    sent = practice.writes("clinic@lumen.example")
    practice.sync()
    assert practice.reason(mail) == "contact_wrote"
    assert practice.reason(sent["id"]) == "own_mail"
