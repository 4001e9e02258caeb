"""What becomes of mail to a person's BCC address, as tables: at the port, and once it was taken."""

from __future__ import annotations

from typing import Any

import pytest

from portal.rules.bcc import BccFacts, PortFacts, decide_bcc, file_bcc, judge_at_port, people_to_create, person_to_create
from portal.rules.facts import ContactFact, MailFacts
from portal.rules.reasons import Outcome, Reason
from portal.rules.sync import Decision
from tests.rules.mails import ALIAS, ANIL, COLLEAGUE, JONAH, ME, PRIYA, STRANGER, USER, conversation, id_of, mail, people

OWN_GMAIL = "mholt@gmail.com"
OWN = frozenset({ME, ALIAS, OWN_GMAIL})
ROUTED = "u-abcdefghijklmnopqrstuvwxyz@replies.example"
SPOOFED_NAME = mail(STRANGER, PRIYA, sender=people(STRANGER)[0])


def at_port(**values: Any) -> PortFacts:
    return PortFacts(**{"owner_keys": OWN} | values)


@pytest.mark.rule("B-05")
@pytest.mark.requirement("SMT-2")
@pytest.mark.requirement("SMT-4")
@pytest.mark.parametrize(
    ("letter", "around", "reason"),
    [
        pytest.param(mail(ME, PRIYA), at_port(), None, id="the owner"),
        pytest.param(mail(ALIAS, PRIYA), at_port(), None, id="an alias of the mailbox"),
        pytest.param(mail("M.Holt+news@gmail.com", PRIYA), at_port(), None, id="another spelling of the owner's Gmail"),
        pytest.param(mail("maren+x@lumen.example", PRIYA), at_port(), Reason.FOREIGN_SENDER, id="a tag is another address"),
        pytest.param(mail(PRIYA, ME), at_port(), Reason.FOREIGN_SENDER, id="a contact answers all"),
        pytest.param(mail(USER, PRIYA), at_port(), Reason.FOREIGN_SENDER, id="a colleague"),
        pytest.param(SPOOFED_NAME, at_port(), Reason.FOREIGN_SENDER, id="a stranger with the owner's name"),
        pytest.param(mail(ME, PRIYA, sender=None), at_port(), Reason.FOREIGN_SENDER, id="two senders, or none to be read"),
        pytest.param(mail(ME, PRIYA, is_automatic=True), at_port(), Reason.AUTOMATIC_REPLY, id="Auto-Submitted"),
        pytest.param(mail(ME, PRIYA), at_port(has_null_sender=True), Reason.AUTOMATIC_REPLY, id="null sender"),
        pytest.param(mail(STRANGER, ME, is_list=True), at_port(), Reason.LIST_MAIL, id="newsletter"),
        pytest.param(mail(STRANGER, ME, is_bounce=True, sender=None), at_port(), Reason.BOUNCE, id="report"),
        pytest.param(mail(PRIYA, ME, is_receipt=True), at_port(), Reason.READ_RECEIPT, id="receipt"),
        pytest.param(mail(ME, PRIYA), at_port(hops=51), Reason.LOOP, id="51 hops"),
        pytest.param(mail(ME, PRIYA), at_port(hops=50), None, id="50 hops"),
        pytest.param(mail(ME, PRIYA), at_port(is_own_mail=True), Reason.BCC_OF_CRM_MAIL, id="own mail from the CRM"),
        pytest.param(
            mail("desk@lumen.example", PRIYA), at_port(is_own_mail=True), Reason.BCC_OF_CRM_MAIL, id="by the mail server"
        ),
    ],
)
def test_what_is_kept_at_the_port(letter: MailFacts, around: PortFacts, reason: Reason | None) -> None:
    assert judge_at_port(letter, around) is reason


def known(*candidates: Any, contacts: tuple[str, ...] = (PRIYA, ANIL, JONAH), **values: Any) -> BccFacts:
    excluded = values.pop("excluded", ())
    return BccFacts(
        **{
            "owner_keys": OWN, "is_proven": True, "user_keys": frozenset({USER}), "own_domain": "replies.example",
            "contacts": {key: ContactFact(id_of(key), key, key in excluded) for key in contacts},
            "staff": frozenset({COLLEAGUE}), "candidates": candidates,
        } | values
    )  # fmt: skip


@pytest.mark.rule("B-02")
@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
@pytest.mark.rule("G-07")
@pytest.mark.rule("G-08")
@pytest.mark.rule("G-09")
@pytest.mark.parametrize(
    ("letter", "around", "reason", "contact"),
    [
        pytest.param(mail(ME, PRIYA), known(), Reason.BCC_LOGGED, PRIYA, id="to a contact"),
        pytest.param(mail(ME, JONAH, PRIYA), known(), Reason.BCC_LOGGED, JONAH, id="the first in To"),
        pytest.param(mail(ME, STRANGER, PRIYA), known(), Reason.BCC_LOGGED, PRIYA, id="a contact before somebody new"),
        pytest.param(mail(ME, USER, PRIYA), known(), Reason.BCC_LOGGED, PRIYA, id="a colleague beside"),
        pytest.param(mail(ME, USER), known(contacts=(USER,)), Reason.UNMATCHED, None, id="a contact with a login"),
        pytest.param(mail(ME, ME, ROUTED), known(contacts=(ME, ROUTED)), Reason.UNMATCHED, None, id="only to oneself"),
        pytest.param(mail(ME, "m.holt@gmail.com"), known(), Reason.UNMATCHED, None, id="another spelling of oneself"),
        pytest.param(mail(ME, STRANGER), known(), Reason.BCC_LOGGED, None, id="somebody new"),
        pytest.param(mail(ME, STRANGER), known(creates=False), Reason.UNMATCHED, None, id="the policy asks"),
        pytest.param(mail(ME, PRIYA), known(creates=False), Reason.BCC_LOGGED, PRIYA, id="the policy asks of new ones only"),
        pytest.param(mail(ME, COLLEAGUE), known(), Reason.UNMATCHED, None, id="staff is never created"),
        pytest.param(mail(ME, COLLEAGUE), known(contacts=(COLLEAGUE,)), Reason.BCC_LOGGED, COLLEAGUE, id="a contact like staff"),
        pytest.param(mail(ME), known(), Reason.UNMATCHED, None, id="undisclosed recipients"),
        pytest.param(mail(ME, cc=(PRIYA, STRANGER), bcc=(ANIL,)), known(), Reason.UNMATCHED, None, id="copies only"),
        pytest.param(mail(ME, PRIYA), known(excluded=(PRIYA,)), Reason.EXCLUDED_CONTACT, PRIYA, id="excluded"),
        pytest.param(mail(ME, PRIYA), known(is_proven=False), Reason.UNVERIFIED, None, id="nothing proves it"),
        pytest.param(mail(ME, STRANGER), known(is_proven=False), Reason.UNVERIFIED, None, id="nothing proves it, somebody new"),
        pytest.param(mail(STRANGER, PRIYA), known(), Reason.FOREIGN_SENDER, None, id="no longer the owner's address"),
        pytest.param(mail(ME, PRIYA, sender=None), known(), Reason.UNREADABLE_SENDER, None, id="no readable sender"),
        pytest.param(mail(ME, PRIYA, is_readable=False), known(), Reason.UNREADABLE_MAIL, None, id="unreadable"),
    ],
)
def test_under_whom_it_goes(letter: MailFacts, around: BccFacts, reason: Reason, contact: str | None) -> None:
    decision = decide_bcc(letter, around)
    assert (decision.reason, decision.contact_id) == (reason, id_of(contact) if contact else None)
    assert decision.conversation_id is None


@pytest.mark.rule("B-06")
@pytest.mark.rule("G-11")
def test_who_may_become_a_contact() -> None:
    letter = mail(ME, COLLEAGUE, USER, ROUTED, ME, PRIYA, STRANGER, "new@mail.example", cc=("copy@mail.example",))
    assert [person.email for person in people_to_create(letter, known())] == [STRANGER, "new@mail.example"]
    assert person_to_create(letter, known()) == people(STRANGER)[0]
    assert person_to_create(mail(ME, cc=(STRANGER,)), known()) is None


@pytest.mark.rule("B-02")
@pytest.mark.rule("G-21")
@pytest.mark.parametrize(
    ("candidates", "joined"),
    [
        pytest.param((conversation(PRIYA, name="one"),), "one", id="the thread that it answers"),
        pytest.param((conversation(JONAH, name="his"), conversation(PRIYA, name="hers")), "hers", id="never another contact's"),
        pytest.param((conversation(PRIYA, name="one", is_open=False),), "", id="an ended one begins anew"),
        pytest.param((), "", id="none"),
    ],
)
def test_in_which_conversation(candidates: tuple[Any, ...], joined: str) -> None:
    decision = decide_bcc(mail(ME, PRIYA, is_forward=True), known(*candidates))
    assert decision.conversation_id == (id_of(joined) if joined else None)


@pytest.mark.rule("B-02")
def test_what_is_here_already_is_not_logged_twice() -> None:
    met = (id_of("message"), id_of("conversation"), id_of(PRIYA))
    decision = decide_bcc(mail(ME, STRANGER), known(met_as=met))
    assert decision == Decision(Reason.ALREADY_LOGGED, id_of(PRIYA), id_of("conversation"), id_of("message"))
    assert decide_bcc(mail(ME, PRIYA), known(met_as=met, is_written_here=True)).reason is Reason.BCC_OF_CRM_MAIL
    assert decide_bcc(mail(ME, PRIYA), known(met_as=met, is_proven=False)).reason is Reason.UNVERIFIED


@pytest.mark.rule("G-11")
def test_contacts_in_copy_are_mentioned() -> None:
    letter = mail(ME, PRIYA, cc=(ANIL, STRANGER), bcc=(JONAH, PRIYA))
    assert file_bcc(letter, known(), ContactFact(id_of(PRIYA), PRIYA)).mentions == ((id_of(ANIL), "cc"), (id_of(JONAH), "bcc"))


@pytest.mark.rule("B-05")
def test_what_waits_is_held() -> None:
    assert {Reason.UNVERIFIED.outcome, Reason.UNMATCHED.outcome} == {Outcome.HELD}
    assert Reason.DROPPED_BY_OWNER.outcome is Reason.FOREIGN_SENDER.outcome is Outcome.LEFT_OUT
