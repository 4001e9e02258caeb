"""What becomes of mail to the portal's own addresses, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from portal.rules.bounces import Report, ReportFacts
from portal.rules.facts import ContactFact, MailFacts
from portal.rules.reasons import Outcome, Reason
from portal.rules.routed import RoutedFacts, decide_routed
from portal.rules.routing import Route, parse_routed, routed_address
from tests.rules.mails import ANIL, JONAH, ME, PRIYA, STRANGER, USER, conversation, id_of, mail

OPEN = conversation(PRIYA, ANIL)
USERS = frozenset({ME, USER})
TOKEN = "abcdefghijklmnopqrstuvwxyz"


def to_conversation(**values: Any) -> RoutedFacts:
    return RoutedFacts(**{"route": Route.REPLY, "conversation": OPEN, "user_keys": USERS} | values)


def to_report_address(**values: Any) -> RoutedFacts:
    return RoutedFacts(**{"route": Route.BOUNCE, "user_keys": USERS} | values)


def report(kind: Report) -> dict[str, Any]:
    return {"report": ReportFacts(kind, "5.1.1"), "has_null_sender": True}


@pytest.mark.parametrize(
    ("letter", "around", "reason"),
    [
        pytest.param(mail(PRIYA), to_conversation(), Reason.ROUTED_REPLY, id="the contact answers"),
        pytest.param(mail(ANIL), to_conversation(), Reason.OTHER_REPLIED, id="a participant answers"),
        pytest.param(mail(STRANGER), to_conversation(), Reason.UNKNOWN_SENDER, id="a stranger has the address"),
        pytest.param(mail(JONAH), to_conversation(), Reason.UNKNOWN_SENDER, id="another contact is a stranger here"),
        pytest.param(mail(ME), to_conversation(), Reason.CRM_USER, id="the owner writes from elsewhere"),
        pytest.param(mail(USER), to_conversation(), Reason.CRM_USER, id="a colleague"),
        pytest.param(mail(PRIYA), to_conversation(user_keys=frozenset({PRIYA})), Reason.CRM_USER, id="contact with a login"),
        pytest.param(mail(PRIYA, is_automatic=True), to_conversation(), Reason.ROUTED_AUTOMATIC, id="absence note"),
        pytest.param(
            mail(PRIYA, is_automatic=True, is_list=True), to_conversation(), Reason.ROUTED_AUTOMATIC, id="absence, bulk"
        ),
        pytest.param(mail(PRIYA), to_conversation(has_null_sender=True), Reason.ROUTED_AUTOMATIC, id="null sender"),
        pytest.param(mail(ANIL, is_automatic=True), to_conversation(), Reason.AUTOMATIC_REPLY, id="another's absence"),
        pytest.param(mail(STRANGER, is_automatic=True), to_conversation(), Reason.AUTOMATIC_REPLY, id="stranger's absence"),
        pytest.param(mail(PRIYA, is_list=True), to_conversation(), Reason.LIST_MAIL, id="newsletter"),
        pytest.param(mail(PRIYA, is_receipt=True), to_conversation(), Reason.READ_RECEIPT, id="read receipt"),
        pytest.param(mail(PRIYA, is_receipt=True, is_automatic=True), to_conversation(), Reason.READ_RECEIPT, id="receipt"),
        pytest.param(mail(STRANGER, is_bounce=True), to_conversation(), Reason.BOUNCE, id="bounce without a report"),
        pytest.param(mail(STRANGER), to_conversation(**report(Report.FAILED)), Reason.BOUNCE, id="bounce to the conversation"),
        pytest.param(mail(PRIYA), to_conversation(hops=51), Reason.LOOP, id="51 hops"),
        pytest.param(mail(PRIYA), to_conversation(hops=50), Reason.ROUTED_REPLY, id="50 hops"),
        pytest.param(mail(PRIYA), to_conversation(is_own_mail=True), Reason.LOOP, id="our own mail comes back"),
        pytest.param(mail(PRIYA, sender=None), to_conversation(), Reason.UNREADABLE_SENDER, id="no readable sender"),
        pytest.param(mail(PRIYA, is_readable=False), to_conversation(), Reason.UNREADABLE_MAIL, id="unreadable"),
        pytest.param(mail(STRANGER), to_report_address(**report(Report.FAILED)), Reason.BOUNCE, id="failed"),
        pytest.param(mail(STRANGER), to_report_address(**report(Report.DELAYED)), Reason.DELAY_REPORT, id="delayed"),
        pytest.param(mail(STRANGER), to_report_address(**report(Report.DELIVERED)), Reason.READ_RECEIPT, id="delivered"),
        pytest.param(
            mail(STRANGER, sender=None), to_report_address(**report(Report.FAILED)), Reason.BOUNCE, id="report of nobody"
        ),
        pytest.param(mail(PRIYA), to_report_address(), Reason.UNKNOWN_SENDER, id="a letter to a report address"),
        pytest.param(
            mail(PRIYA, is_automatic=True), to_report_address(), Reason.AUTOMATIC_REPLY, id="absence note to a report address"
        ),
        pytest.param(mail(STRANGER, is_list=True), to_report_address(), Reason.LIST_MAIL, id="newsletter to a report address"),
    ],
)
@pytest.mark.rule("S-01")
@pytest.mark.rule("G-22")
@pytest.mark.rule("G-21")
@pytest.mark.requirement("SMT-4")
def test_every_routed_mail_has_one_reason(letter: MailFacts, around: RoutedFacts, reason: Reason) -> None:
    decision = decide_routed(letter, around)
    assert decision.reason is reason
    assert (decision.conversation_id is not None) == (decision.outcome is Outcome.LOGGED)


@pytest.mark.rule("S-01")
@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("disconnected", Reason.CONVERSATION_ENDED),
        ("updated", Reason.OLD_ADDRESS),
        ("continued_elsewhere", Reason.CONTINUED_ELSEWHERE),
    ],
)
def test_an_ended_conversation_takes_nothing(cause: str, reason: Reason) -> None:
    ended = conversation(PRIYA, is_open=False, ended_cause=cause)
    assert decide_routed(mail(PRIYA), to_conversation(conversation=ended)).reason is reason
    assert decide_routed(mail(STRANGER), to_conversation(conversation=ended)).reason is Reason.UNKNOWN_SENDER


@pytest.mark.rule("G-11")
def test_contacts_in_copy_are_mentioned() -> None:
    contacts = {key: ContactFact(id_of(key), key) for key in (PRIYA, JONAH)}
    decision = decide_routed(mail(PRIYA, ME, cc=(JONAH, PRIYA, STRANGER)), to_conversation(contacts=contacts))
    assert decision.mentions == ((id_of(JONAH), "cc"),)


def test_a_mail_that_came_through_the_mailbox_too_is_that_message() -> None:
    known = id_of("message")
    assert decide_routed(mail(PRIYA), to_conversation(logged_as=known)).message_id == known


@pytest.mark.requirement("SMT-3")
@pytest.mark.parametrize(
    ("address", "found"),
    [
        (f"r-{TOKEN}@replies.example", (Route.REPLY, TOKEN)),
        (f"B-{TOKEN.upper()}@Replies.Example", (Route.BOUNCE, TOKEN)),
        (f"r-{TOKEN}+anything@replies.example", (Route.REPLY, TOKEN)),
        (f"r-{TOKEN}@other.example", None),
        (f"r-{TOKEN[:-1]}@replies.example", None),
        (f"r-{TOKEN}a@replies.example", None),
        (f"x-{TOKEN}@replies.example", None),
        (f"r-{TOKEN}@replies.example@evil.example", None),
        (f"r-{TOKEN}%evil.example@replies.example", None),
        (f'"r-{TOKEN}"@replies.example', None),
        ("postmaster@replies.example", None),
        ("", None),
    ],
)
def test_only_addresses_of_ours_are_read(address: str, found: tuple[Route, str] | None) -> None:
    assert parse_routed(address, "replies.example") == found


def test_a_written_address_reads_back() -> None:
    assert parse_routed(routed_address(Route.BOUNCE, TOKEN, "replies.example"), "replies.example") == (Route.BOUNCE, TOKEN)
