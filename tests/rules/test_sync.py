"""Every reason of the sync as a table: one mail, what the CRM knows, what becomes of it, under whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portal.rules.facts import ConversationFact, CrmFacts, Direction, MailFacts
from portal.rules.reasons import Outcome, Reason
from portal.rules.sync import Decision, decide
from tests.rules.mails import (
    ALIAS,
    ANIL,
    COLLEAGUE,
    CONNECTED,
    JONAH,
    ME,
    PRIYA,
    STRANGER,
    USER,
    conversation,
    crm,
    id_of,
    mail,
    people,
)

rule = pytest.mark.rule
LATER = CONNECTED + timedelta(hours=1)


def case(given: MailFacts, known: CrmFacts, reason: Reason, contact: str = "", *rules: str, joins: str = "") -> Any:
    """A row: the mail, the CRM, the reason, the contact filed under, the rules it proves, the conversation joined."""
    return pytest.param(given, known, reason, contact, joins, marks=[rule(name) for name in rules])


def check(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> Decision:
    decision = decide(given, known)
    assert decision.reason is reason
    assert decision.contact_id == (id_of(contact) if contact else None)
    assert decision.conversation_id == (id_of(joins) if joins else None)
    return decision


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(PRIYA, ME), crm(), Reason.CONTACT_WROTE, PRIYA, "G-04", "G-09"),
        case(mail(PRIYA, ALIAS), crm(), Reason.CONTACT_WROTE, PRIYA, "G-04"),
        case(mail(PRIYA, STRANGER, cc=(ME,)), crm(), Reason.CONTACT_WROTE, PRIYA, "G-04"),
        case(mail(PRIYA, STRANGER), crm(), Reason.CONTACT_WROTE, PRIYA, "G-04"),  # the mailbox got it as BCC
        case(mail(PRIYA, ME, is_automatic_forward=True), crm(), Reason.AUTOMATIC_FORWARD, "", "G-04"),
        case(mail(PRIYA, ME, is_list=True), crm(), Reason.LIST_MAIL, "", "G-04", "G-22"),
        case(mail("PRIYA@Mail.Example", ME), crm(), Reason.CONTACT_WROTE, PRIYA, "G-08"),
        case(mail("pri.ya@mail.example", ME), crm(), Reason.NO_CONTACT, "", "G-08"),
        case(mail("priya+a@mail.example", ME), crm(), Reason.NO_CONTACT, "", "G-08"),
        case(mail("p@old.example", ME), crm(alternates=frozenset({"p@old.example"})), Reason.ALTERNATE_ADDRESS, "", "G-08"),
        case(mail(STRANGER, ME), crm(), Reason.NO_CONTACT, "", "G-07"),
        case(mail(PRIYA, ME), crm(excluded=(PRIYA,)), Reason.EXCLUDED_CONTACT, "", "R-04"),
        case(mail(ME, ME), crm(), Reason.OWN_MAIL, "", "G-07"),
        case(mail(ME, ALIAS, cc=(ME,)), crm(), Reason.OWN_MAIL, "", "G-07"),
    ],
)  # fmt: skip
def test_mail_that_begins_a_conversation(
    given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str
) -> None:
    check(given, known, reason, contact, joins)


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        # Inbound from a CRM user stays out whoever else is in it.
        case(mail(USER, ME), crm(contacts=(PRIYA, USER)), Reason.CRM_USER, "", "G-07"),
        case(mail(USER, ME, PRIYA), crm(conversation(PRIYA, USER)), Reason.CRM_USER, "", "G-07"),
        case(mail("T.omas+x@gmail.com", ME), crm(users=("tomas@gmail.com",)), Reason.CRM_USER, "", "G-07"),
        # Among recipients the filter works per contact.
        case(mail(ME, USER, is_forward=True), crm(contacts=(USER,)), Reason.CRM_USER, "", "G-07"),
        case(mail(ME, USER, PRIYA, is_forward=True), crm(contacts=(USER, PRIYA)), Reason.USER_FORWARDED, PRIYA,
             "G-07", "G-09"),
        case(mail(PRIYA, ME, cc=(USER,)), crm(), Reason.CONTACT_WROTE, PRIYA, "G-07", "R-05"),
        case(mail(PRIYA, ME, COLLEAGUE), crm(), Reason.CONTACT_WROTE, PRIYA, "R-05"),
        # It looks at every mail, not only at the first of a conversation.
        case(mail(PRIYA, ME), crm(conversation(PRIYA), users=(PRIYA,)), Reason.CRM_USER, "", "G-07"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA), users=(PRIYA,)), Reason.CRM_USER, "", "G-07"),
        case(mail(STRANGER, ME), crm(conversation(PRIYA, STRANGER), users=(PRIYA,)), Reason.CRM_USER, "", "G-07"),
    ],
)  # fmt: skip
def test_the_user_filter(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


WITH_PRIYA = f"with {PRIYA}"


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(ME, PRIYA), crm(), Reason.STARTED_IN_MAILBOX, "", "G-05"),
        case(mail(ME, STRANGER), crm(), Reason.NO_CONTACT, "", "G-07"),
        case(mail(ME, STRANGER, cc=(PRIYA,)), crm(), Reason.NO_CONTACT, "", "G-05", "G-11"),
        case(mail(PRIYA, ME, references=("<unknown@x>",)), crm(), Reason.CONTACT_WROTE, PRIYA, "G-05"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA)), Reason.USER_REPLIED, PRIYA, "G-04", joins=WITH_PRIYA),
        case(mail(PRIYA, ME), crm(conversation(PRIYA)), Reason.CONTACT_REPLIED, PRIYA, "G-04", joins=WITH_PRIYA),
        case(mail(ANIL, ME), crm(conversation(PRIYA, ANIL)), Reason.OTHER_REPLIED, PRIYA, "G-09", joins=WITH_PRIYA),
        case(mail(STRANGER, ME), crm(conversation(PRIYA, STRANGER)), Reason.OTHER_REPLIED, PRIYA, "G-09", joins=WITH_PRIYA),
        # Forged references of a stranger, and another contact's, do not join.
        case(mail(STRANGER, ME), crm(conversation(PRIYA)), Reason.NO_CONTACT, "", "G-21"),
        case(mail(ANIL, ME), crm(conversation(PRIYA)), Reason.CONTACT_WROTE, ANIL, "G-21"),
        case(mail(ME, ANIL), crm(conversation(PRIYA)), Reason.STARTED_IN_MAILBOX, "", "G-21"),
        # The nearest open conversation goes before an ended one.
        case(mail(PRIYA, ME), crm(conversation(PRIYA, name="old", is_open=False, ended_cause="updated"),
                                  conversation(PRIYA)), Reason.CONTACT_REPLIED, PRIYA, "G-16", joins=WITH_PRIYA),
    ],
)  # fmt: skip
def test_threads(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(ME, PRIYA, is_forward=True), crm(), Reason.USER_FORWARDED, PRIYA, "G-06"),
        # A forward goes to its own contact, even when the provider keeps it in another contact's thread.
        case(mail(ME, ANIL, is_forward=True), crm(conversation(PRIYA)), Reason.USER_FORWARDED, ANIL, "G-21"),
        case(mail(ME, ANIL, is_forward=True), crm(conversation(PRIYA, ANIL)), Reason.USER_FORWARDED, ANIL, "G-21"),
        case(mail(ME, PRIYA, is_forward=True), crm(conversation(PRIYA)), Reason.USER_FORWARDED, PRIYA, "G-06",
             joins=WITH_PRIYA),
        # The first address in To that belongs to an eligible contact; it is not split.
        case(mail(ME, STRANGER, JONAH, PRIYA, is_forward=True), crm(), Reason.USER_FORWARDED, JONAH, "G-09"),
        case(mail(ME, PRIYA, is_forward=True), crm(excluded=(PRIYA,)), Reason.EXCLUDED_CONTACT, "", "R-04"),
        case(mail(ME, STRANGER, is_forward=True), crm(), Reason.NO_CONTACT, "", "G-07"),
    ],
)  # fmt: skip
def test_forwards(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        # The reply-all between colleagues that loops in a contact: captured mail never enters by itself.
        case(mail(COLLEAGUE, ME, PRIYA), crm(), Reason.CAPTURED, "", "G-09", "R-05"),
        case(mail(COLLEAGUE, ME, cc=(PRIYA,)), crm(), Reason.CAPTURED, "", "G-09", "R-05"),
        case(mail(ME, COLLEAGUE, cc=(PRIYA,), is_forward=True), crm(), Reason.CAPTURED, "", "G-09", "R-05"),
        case(mail(USER, ME, cc=(PRIYA,)), crm(), Reason.CRM_USER, "", "G-07", "R-05"),
    ],
)  # fmt: skip
def test_captured_mail(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


CLAIMED = crm(is_claimed_elsewhere=True)


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        # Another account was first to answer: whether this one has the thread already or meets it only now.
        case(mail(PRIYA, ME), CLAIMED, Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(PRIYA, ME), crm(conversation(PRIYA), is_claimed_elsewhere=True), Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(PRIYA, ME), crm(conversation(PRIYA, is_open=False, ended_cause="disconnected"), is_claimed_elsewhere=True),
             Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(ANIL, ME), crm(conversation(PRIYA, ANIL), is_claimed_elsewhere=True),
             Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA), is_claimed_elsewhere=True), Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(ME, ANIL, is_forward=True), CLAIMED, Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(ME, PRIYA), CLAIMED, Reason.CONTINUED_ELSEWHERE, "", "X-02"),  # else: "it starts when the contact answers"
        # What would not come in anyway says its own reason, and so nothing of the other account (TEN-6).
        case(mail(STRANGER, ME), CLAIMED, Reason.NO_CONTACT, "", "X-02"),
        case(mail(ME, STRANGER), CLAIMED, Reason.NO_CONTACT, "", "X-02"),
        case(mail(USER, ME), CLAIMED, Reason.CRM_USER, "", "X-02"),
        case(mail(PRIYA, ME), crm(excluded=(PRIYA,), is_claimed_elsewhere=True), Reason.EXCLUDED_CONTACT, "", "X-02"),
        case(mail(PRIYA, ME, is_spam=True), CLAIMED, Reason.SPAM, "", "X-02"),
        case(mail(PRIYA, ME, is_automatic=True), crm(conversation(PRIYA), is_claimed_elsewhere=True),
             Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(ME, PRIYA), crm(sent_message=(id_of("m"), id_of("c"), id_of(PRIYA)), is_claimed_elsewhere=True),
             Reason.SENT_FROM_CRM, PRIYA, "X-02", joins="c"),
    ],
)  # fmt: skip
def test_threads_that_go_on_elsewhere(
    given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str
) -> None:
    check(given, known, reason, contact, joins)


OLD = {"received_at": CONNECTED - timedelta(seconds=1)}


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(PRIYA, ME, **OLD), crm(), Reason.BEFORE_CONNECTION, "", "G-03"),
        case(mail(PRIYA, ME, **OLD), crm(conversation(PRIYA)), Reason.BEFORE_CONNECTION, "", "G-03"),
        case(mail(ME, PRIYA, **OLD), crm(conversation(PRIYA)), Reason.BEFORE_CONNECTION, "", "G-03"),
        case(mail(PRIYA, ME, received_at=CONNECTED), crm(), Reason.CONTACT_WROTE, PRIYA, "G-03"),
        case(mail(PRIYA, ME), crm(conversation(PRIYA, is_open=False, ended_cause="updated")), Reason.OLD_ADDRESS, "", "G-16"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA, is_open=False, ended_cause="updated")), Reason.OLD_ADDRESS, "", "G-16"),
        case(mail(PRIYA, ME), crm(conversation(PRIYA, is_open=False, ended_cause="continued_elsewhere")),
             Reason.CONTINUED_ELSEWHERE, "", "X-02"),
        case(mail(PRIYA, ME), crm(conversation(PRIYA, is_open=False, ended_cause="disconnected")),
             Reason.CONTACT_WROTE, PRIYA, "G-17"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA, is_open=False, ended_cause="disconnected")),
             Reason.CONVERSATION_ENDED, "", "G-17"),
    ],
)  # fmt: skip
def test_beginnings_and_ends(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(PRIYA, ME, is_receipt=True), crm(conversation(PRIYA)), Reason.READ_RECEIPT, "", "G-22"),
        case(mail("mailer-daemon@mail.example", ME, is_bounce=True, is_automatic=True), crm(), Reason.BOUNCE, "", "G-22"),
        case(mail(PRIYA, ME, is_list=True), crm(conversation(PRIYA)), Reason.LIST_MAIL, "", "G-22"),
        case(mail(PRIYA, ME, is_automatic=True), crm(), Reason.AUTOMATIC_REPLY, "", "G-22"),
        case(mail(PRIYA, ME, is_automatic=True), crm(conversation(PRIYA)), Reason.AUTOMATIC_IN_CONVERSATION, PRIYA,
             "G-22", joins=WITH_PRIYA),
        case(mail(ANIL, ME, is_automatic=True), crm(conversation(PRIYA, ANIL)), Reason.AUTOMATIC_REPLY, "", "G-22"),
        case(mail(PRIYA, ME, is_automatic=True), crm(conversation(PRIYA, is_open=False, ended_cause="updated")),
             Reason.AUTOMATIC_REPLY, "", "G-22"),
        case(mail(ME, PRIYA, is_automatic=True), crm(conversation(PRIYA)), Reason.AUTOMATIC_REPLY, "", "G-22"),
        case(mail(PRIYA, ME, is_draft=True), crm(), Reason.DRAFT, "", "E-01"),
        case(mail(PRIYA, ME, is_chat=True), crm(), Reason.CHAT, "", "E-01"),
        case(mail(PRIYA, ME, is_spam=True), crm(), Reason.SPAM, "", "E-01"),
        case(mail(PRIYA, ME, is_trash=True), crm(), Reason.TRASH, "", "E-01"),
        case(mail(PRIYA, ME, is_readable=False), crm(), Reason.UNREADABLE_MAIL, "", "E-01"),
        case(mail(PRIYA, ME, sender=None), crm(conversation(PRIYA)), Reason.UNREADABLE_SENDER, "", "E-01"),
        case(mail(ME), crm(), Reason.NO_CONTACT, "", "E-01"),
    ],
)  # fmt: skip
def test_what_machines_write_and_what_cannot_be_read(
    given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str
) -> None:
    check(given, known, reason, contact, joins)


def outlook(*candidates: ConversationFact, **values: Any) -> CrmFacts:
    """The CRM around a mail of an Outlook mailbox."""
    return crm(*candidates, only_crm_threads=True, **values)


OURS = {"began_in_crm": True}
OWN_COPY = (id_of("message"), id_of("conversation"), id_of(PRIYA))


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        # Begun by the contact or in the mailbox: never, and an answer begins nothing (O-02).
        case(mail(PRIYA, ME), outlook(), Reason.NOT_STARTED_IN_CRM, "", "O-02"),
        case(mail(ME, PRIYA), outlook(), Reason.NOT_STARTED_IN_CRM, "", "O-02"),
        case(mail(ME, PRIYA, is_forward=True), outlook(), Reason.NOT_STARTED_IN_CRM, "", "O-02"),
        case(mail(PRIYA, ME, references=("<x@y>",)), outlook(), Reason.NOT_STARTED_IN_CRM, "", "O-02"),
        case(mail(COLLEAGUE, ME, cc=(PRIYA,)), outlook(), Reason.NOT_STARTED_IN_CRM, "", "O-02", "R-05"),
        # A conversation that came in by BCC Sync or from Gmail does not carry this mailbox's thread either (B-03).
        case(mail(PRIYA, ME), outlook(conversation(PRIYA)), Reason.NOT_STARTED_IN_CRM, "", "O-02", "B-03"),
        case(mail(ME, PRIYA), outlook(conversation(PRIYA)), Reason.NOT_STARTED_IN_CRM, "", "O-02", "B-03"),
        case(mail(STRANGER, ME), outlook(conversation(PRIYA, STRANGER)), Reason.NOT_STARTED_IN_CRM, "", "O-02"),
        # Begun in the CRM: everything of the thread, both ways (O-03).
        case(mail(PRIYA, ME), outlook(conversation(PRIYA, **OURS)), Reason.CONTACT_REPLIED, PRIYA, "O-03", joins=WITH_PRIYA),
        case(mail(ME, PRIYA), outlook(conversation(PRIYA, **OURS)), Reason.USER_REPLIED, PRIYA, "O-03", joins=WITH_PRIYA),
        case(mail(STRANGER, ME), outlook(conversation(PRIYA, STRANGER, **OURS)), Reason.OTHER_REPLIED, PRIYA,
             "O-03", joins=WITH_PRIYA),
        case(mail(PRIYA, ME, is_automatic=True), outlook(conversation(PRIYA, **OURS)), Reason.AUTOMATIC_IN_CONVERSATION,
             PRIYA, "O-03", "G-22", joins=WITH_PRIYA),
        case(mail(ME, PRIYA, is_forward=True), outlook(conversation(PRIYA, **OURS)), Reason.USER_FORWARDED, PRIYA,
             "O-03", joins=WITH_PRIYA),
        case(mail(PRIYA, ME), outlook(conversation(PRIYA, name="bcc"), conversation(PRIYA, **OURS)),
             Reason.CONTACT_REPLIED, PRIYA, "O-03", joins=WITH_PRIYA),
        # A forward to somebody else is of no thread begun in the CRM.
        case(mail(ME, ANIL, is_forward=True), outlook(conversation(PRIYA, **OURS)), Reason.NOT_STARTED_IN_CRM, "", "O-03"),
        case(mail(ANIL, ME), outlook(conversation(PRIYA, **OURS)), Reason.NOT_STARTED_IN_CRM, "", "O-03", "G-21"),
        case(mail(PRIYA, ME, is_automatic=True), outlook(conversation(PRIYA)), Reason.AUTOMATIC_REPLY, "", "O-02", "G-22"),
        case(mail(ME, PRIYA), outlook(conversation(PRIYA, **OURS), sent_message=OWN_COPY), Reason.SENT_FROM_CRM, PRIYA,
             "O-02", joins="conversation"),
        # Ended: by another address, by disconnecting; nothing begins anew (O-04, O-05).
        case(mail(PRIYA, ME), outlook(conversation(PRIYA, **OURS, is_open=False, ended_cause="updated")),
             Reason.OLD_ADDRESS, "", "O-04"),
        case(mail(PRIYA, ME), outlook(conversation(PRIYA, **OURS, is_open=False, ended_cause="disconnected")),
             Reason.CONVERSATION_ENDED, "", "O-05"),
        case(mail(ME, PRIYA), outlook(conversation(PRIYA, **OURS, is_open=False, ended_cause="disconnected")),
             Reason.CONVERSATION_ENDED, "", "O-05"),
        # What would stay out anyway says the more exact reason.
        case(mail(PRIYA, ME, **OLD), outlook(), Reason.BEFORE_CONNECTION, "", "O-02"),
        case(mail(PRIYA, ME, is_spam=True), outlook(), Reason.SPAM, "", "O-02"),
        case(mail(PRIYA, ME, is_list=True), outlook(conversation(PRIYA, **OURS)), Reason.LIST_MAIL, "", "O-02"),
        case(mail(USER, ME), outlook(), Reason.CRM_USER, "", "O-02"),
        case(mail(STRANGER, ME), outlook(), Reason.NO_CONTACT, "", "O-02"),
        case(mail(PRIYA, ME), outlook(excluded=(PRIYA,)), Reason.EXCLUDED_CONTACT, "", "O-02"),
        case(mail(ME, ME), outlook(), Reason.OWN_MAIL, "", "O-02"),
        case(mail(PRIYA, ME), outlook(conversation(PRIYA, **OURS), is_claimed_elsewhere=True),
             Reason.CONTINUED_ELSEWHERE, "", "O-02", "X-02"),
    ],
)  # fmt: skip
def test_outlook_syncs_only_what_began_in_the_crm(
    given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str
) -> None:
    check(given, known, reason, contact, joins)


TRACKED = {"tracked": frozenset({id_of(PRIYA)})}
GONE = conversation(PRIYA, is_open=False, ended_cause="disconnected")


@pytest.mark.parametrize(
    ("given", "known", "reason", "contact", "joins"),
    [
        case(mail(ME, PRIYA), crm(**TRACKED), Reason.TRACKED_WRITTEN, PRIYA, "G-05", "B-03"),
        case(mail(ME, STRANGER, PRIYA), crm(**TRACKED), Reason.TRACKED_WRITTEN, PRIYA, "B-03"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA), **TRACKED), Reason.USER_REPLIED, PRIYA, "B-03", joins=WITH_PRIYA),
        case(mail(ME, PRIYA), crm(GONE, **TRACKED), Reason.TRACKED_WRITTEN, PRIYA, "B-03"),
        case(mail(ME, PRIYA), crm(conversation(PRIYA, is_open=False, ended_cause="updated"), **TRACKED),
             Reason.OLD_ADDRESS, "", "B-03", "G-16"),
        # The pair of user and contact is tracked, nobody else, and the filter stands.
        case(mail(ME, ANIL, PRIYA), crm(**TRACKED), Reason.STARTED_IN_MAILBOX, "", "B-03"),
        case(mail(ME, STRANGER, cc=(PRIYA,)), crm(**TRACKED), Reason.NO_CONTACT, "", "B-03"),
        case(mail(ME, PRIYA), crm(**TRACKED, excluded=(PRIYA,)), Reason.EXCLUDED_CONTACT, "", "B-03", "R-04"),
        case(mail(ME, PRIYA), crm(**TRACKED, users=(PRIYA,)), Reason.CRM_USER, "", "B-03", "G-07"),
        case(mail(ME, PRIYA), crm(**TRACKED, is_claimed_elsewhere=True), Reason.CONTINUED_ELSEWHERE, "", "B-03", "X-02"),
        case(mail(ME, PRIYA), outlook(**TRACKED), Reason.NOT_STARTED_IN_CRM, "", "B-03", "O-02"),
        case(mail(PRIYA, ME), outlook(**TRACKED), Reason.NOT_STARTED_IN_CRM, "", "B-03", "O-02"),
    ],
)  # fmt: skip
def test_contacts_tracked_by_bcc_sync(given: MailFacts, known: CrmFacts, reason: Reason, contact: str, joins: str) -> None:
    check(given, known, reason, contact, joins)


MET = {"met_as": OWN_COPY}


@pytest.mark.parametrize(
    ("given", "known", "reason"),
    [
        (mail(PRIYA, ME), crm(**MET), Reason.ALREADY_LOGGED),
        (mail(PRIYA, ME), crm(conversation(PRIYA), **MET), Reason.ALREADY_LOGGED),
        (mail(ME, PRIYA, is_forward=True), crm(**MET), Reason.ALREADY_LOGGED),
        (mail(PRIYA, ME), outlook(conversation(PRIYA, **OURS), **MET), Reason.ALREADY_LOGGED),
        # The user's own mail bore the BCC address.
        (mail(ME, PRIYA), crm(**MET), Reason.ALREADY_LOGGED),
        (mail(ME, PRIYA), outlook(**MET), Reason.ALREADY_LOGGED),
        # What stays out stays out, whoever else has it.
        (mail(PRIYA, ME), outlook(**MET), Reason.NOT_STARTED_IN_CRM),
        (mail(PRIYA, ME, is_spam=True), crm(**MET), Reason.SPAM),
        (mail(PRIYA, ME, **OLD), crm(**MET), Reason.BEFORE_CONNECTION),
        (mail(USER, ME), crm(**MET), Reason.CRM_USER),
        (mail(STRANGER, ME), crm(**MET), Reason.NO_CONTACT),
        (mail(PRIYA, ME), crm(excluded=(PRIYA,), **MET), Reason.EXCLUDED_CONTACT),
        (mail(PRIYA, ME), crm(is_claimed_elsewhere=True, **MET), Reason.CONTINUED_ELSEWHERE),
        (mail(ME, PRIYA), crm(sent_message=OWN_COPY, **MET), Reason.SENT_FROM_CRM),
    ],
)  # fmt: skip
@rule("B-02")
@rule("E-01")
def test_a_mail_that_came_in_another_way_is_no_second_message(given: MailFacts, known: CrmFacts, reason: Reason) -> None:
    decision = decide(given, known)
    assert decision.reason is reason
    if reason is Reason.ALREADY_LOGGED:
        assert (decision.message_id, decision.conversation_id, decision.contact_id) == OWN_COPY


@rule("G-19")
def test_the_sent_copy_of_a_crm_mail_is_the_mail_itself() -> None:
    own = (id_of("message"), id_of("conversation"), id_of(PRIYA))
    decision = decide(mail(ME, PRIYA), crm(conversation(PRIYA), sent_message=own))
    assert decision == Decision(Reason.SENT_FROM_CRM, id_of(PRIYA), id_of("conversation"), id_of("message"))


@rule("G-11")
def test_contacts_in_cc_and_bcc_are_mentioned_once_each_and_never_the_one_filed_under() -> None:
    given = mail(PRIYA, ME, cc=(ANIL, PRIYA, STRANGER, "ANIL@mail.example"), bcc=(JONAH,))
    assert decide(given, crm()).mentions == ((id_of(ANIL), "cc"), (id_of(JONAH), "bcc"))


@rule("G-10")
def test_of_duplicates_the_facts_hold_the_one_created_first_and_the_mail_goes_there() -> None:
    assert decide(mail(PRIYA, ME), crm()).contact_id == id_of(PRIYA)


@rule("E-01")
def test_every_reason_has_an_outcome_and_a_sentence() -> None:
    for reason in Reason:
        assert reason.outcome in Outcome
        assert reason.sentence.endswith(".")
        assert (reason.outcome is Outcome.LOGGED) == (reason.press == "Open conversation")


@rule("E-01")
def test_logged_means_filed_and_nothing_else_is() -> None:
    """Whatever the combination, a decision has a contact exactly when it is logged."""
    flags = ("is_draft", "is_spam", "is_list", "is_automatic", "is_forward", "is_receipt", "is_bounce", "is_automatic_forward")
    for sender in (ME, USER, PRIYA, STRANGER, COLLEAGUE):
        for to in ((ME,), (PRIYA,), (USER, PRIYA), (STRANGER,), ()):
            for flag in ("", *flags):
                for known in (crm(), crm(conversation(PRIYA, STRANGER)), crm(conversation(ANIL, PRIYA, is_open=False))):
                    given = mail(sender, *to, cc=(ANIL,), **({flag: True} if flag else {}))
                    decision = decide(given, known)
                    assert (decision.outcome is Outcome.LOGGED) == (decision.contact_id is not None)
                    assert decision.contact_id != id_of(USER)


def test_direction_is_what_the_mailbox_says_not_the_sender() -> None:
    """A mail from an alias that the mailbox got is inbound, and still the user's own."""
    given = mail(ALIAS, ME, direction=Direction.INBOUND, sender=people(ALIAS)[0])
    assert decide(given, crm()).reason is Reason.OWN_MAIL
