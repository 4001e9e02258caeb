"""Settings > My Profile: what it says of one's own connection in every state, and what it lets one press."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Account, Connection, Decision, OutboxMail, SyncGap, User
from portal.queues import PUSH, queue
from portal.rules.reasons import Cause, Reason
from tests.connections.people import make_signature
from tests.factories import (
    make_account,
    make_connection,
    make_contact,
    make_conversation,
    make_grant,
    make_member,
    make_message,
)

Practice = tuple[Account, User, Any]


@pytest.fixture
def practice(app: Flask, client: Any) -> Practice:
    """An account and a signed-in provider who has signed the risks."""
    account = make_account()
    person = make_member(account, "provider", name="Maren Holt", email="maren@lumen.example")
    make_signature(person, account)
    return account, person, client.sign_in(person)


def connected(practice: Practice, **values: Any) -> Connection:
    account, person, _ = practice
    return make_connection(account, person, "maren@lumen.example", **values)


def outlook(practice: Practice, **values: Any) -> Connection:
    account, person, _ = practice
    grant = make_grant(person, provider="microsoft")
    return make_connection(account, person, "maren@lumen.example", grant=grant, provider="microsoft", **values)


def decide(connection: Connection, reason: Reason, **values: Any) -> None:
    moment = values.pop("at", now())
    db.session.add(
        Decision(
            account_id=connection.account_id, connection_id=connection.id, provider_message_id=new_id().hex,
            direction="inbound", outcome=reason.outcome.value, reason=reason.value, received_at=moment, decided_at=moment,
            **values,
        )
    )  # fmt: skip
    connection.seen += 1
    db.session.flush()


def email_page(practice: Practice, query: str = "") -> str:
    answer = practice[2].get(f"/profile/email{query}")
    assert answer.status_code == 200
    return str(answer.text)


@pytest.mark.rule("P-01")
@pytest.mark.rule("P-02")
def test_not_connected_the_three_ways_stand_there_the_safest_first(practice: Practice) -> None:
    page = email_page(practice)
    assert page.index("Standard email") < page.index("BCC Sync") < page.index("Two-way sync")
    assert "We advise against it for most practices." in page
    assert "Only that mail and its contact are logged." in page
    assert "Not connected" in page
    assert "Check for new mail now" not in page


@pytest.mark.rule("H-01")
def test_without_a_signature_the_only_way_on_is_to_read_the_risks(app: Flask, client: Any) -> None:
    person = make_member(make_account(), "provider")
    page = client.sign_in(person).get("/profile/email").text
    assert "Read the six risks first" in page
    assert "/connections/google/begin" not in page


@pytest.mark.rule("P-06")
@pytest.mark.parametrize("role", ["marketing", "vendor", "compliance"])
def test_who_may_not_connect_gets_the_reason_and_no_button(app: Flask, client: Any, role: str) -> None:
    page = client.sign_in(make_member(make_account(), role)).get("/profile/email").text
    assert "does not let your role connect" in page
    assert "/connections/google/risks" not in page


@pytest.mark.rule("P-02")
@pytest.mark.rule("N-09")
def test_connected_it_says_as_whom_since_when_and_that_seen_is_decided(practice: Practice) -> None:
    account, person, _ = practice
    connection = connected(practice, last_success_at=now())
    contact = make_contact(account, name="Priya Raman")
    conversation = make_conversation(contact, person, connection)
    decide(connection, Reason.CONTACT_WROTE, contact_id=contact.id, conversation_id=conversation.id)
    decide(connection, Reason.CRM_USER)
    page = email_page(practice)
    assert "maren@lumen.example" in page
    assert "In sync" in page
    assert "nothing older was imported" in page
    assert "2 mails seen, 2 decided" in page
    assert "Priya Raman wrote to you from their primary address." in page
    assert Reason.CRM_USER.sentence in page
    assert f"/conversations/{conversation.id}" in page
    assert f"/connections/{connection.id}/disconnect" in page
    assert "are logged, and what follows between you two." in page  # B-03: with Gmail


@pytest.mark.rule("E-01")
def test_the_last_ten_decisions_can_be_filtered_and_all_be_paged_through(practice: Practice) -> None:
    connection = connected(practice)
    for minutes in range(60):
        decide(connection, Reason.NO_CONTACT, at=now() - timedelta(minutes=minutes))
    decide(connection, Reason.LIST_MAIL, at=now() - timedelta(hours=3))
    assert email_page(practice).count(Reason.NO_CONTACT.sentence) == 10
    assert Reason.NO_CONTACT.sentence not in email_page(practice, "?show=logged")
    first = practice[2].get("/profile/email/decisions?show=left_out").text
    assert first.count(Reason.NO_CONTACT.sentence) == 50
    older = first.partition("before=")[2].partition('"')[0]
    rest = practice[2].get(f"/profile/email/decisions?show=left_out&before={older}").text
    assert rest.count(Reason.NO_CONTACT.sentence) == 10
    assert Reason.LIST_MAIL.sentence in rest


@pytest.mark.rule("G-18")
@pytest.mark.rule("P-02")
@pytest.mark.parametrize("cause", [Cause.REVOKED, Cause.PERMISSION_MISSING, Cause.LOGIN_REQUIRED])
def test_needs_attention_says_what_happened_and_what_to_press_in_order(practice: Practice, cause: Cause) -> None:
    connected(practice, state="needs_attention", cause=cause.value)
    page = email_page(practice)
    assert "Needs attention" in page
    assert cause.sentence_of("google") in page
    steps = [page.index(words) for words in ("<strong>Reconnect.</strong>", "remove the app at Google", "Only last: disconnect")]
    assert steps == sorted(steps)
    assert 'value="reconnect"' in page
    assert "Check for new mail now" not in page


@pytest.mark.rule("H-06")
def test_paused_for_a_new_text_it_leads_to_the_text(practice: Practice) -> None:
    connected(practice, state="paused", cause=Cause.ACKNOWLEDGEMENT_MISSING.value)
    page = email_page(practice)
    assert "Sync is paused since" in page
    assert "Read the new text and sign it" in page


def test_delayed_it_says_so_and_that_nothing_is_lost(practice: Practice) -> None:
    connected(practice, failures=3)
    assert "Google cannot be reached right now." in email_page(practice)


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(("used", "words"), [(3, "7 left."), (8, "Above the cap"), (10, "The cap is reached.")])
def test_the_meter_shows_use_warning_and_cap(practice: Practice, used: int, words: str) -> None:
    account, person, _ = practice
    account.send_cap_workspace = 10
    connection = connected(practice)
    conversation = make_conversation(make_contact(account), person, connection)
    for _number in range(used):
        message = make_message(conversation, direction="outbound")
        db.session.add(
            OutboxMail(
                account_id=account.id, user_id=person.id, connection_id=connection.id, mailbox_key=connection.mailbox_key,
                message_id=message.id, form_token=uuid4().hex, crm_ref=uuid4(), state="sent", next_try_at=now(), sent_at=now(),
            )
        )  # fmt: skip
    page = email_page(practice)
    assert f"<strong>{used}</strong> of 10" in page
    assert words in page


def test_check_for_new_mail_now_hands_over_a_job_before_all_polls(practice: Practice) -> None:
    connection = connected(practice)
    answer = practice[2].post("/profile/email/check", follow_redirects=True)
    assert "Checking now." in answer.text
    assert [list(job.args) for job in queue(PUSH).jobs] == [[str(connection.id)]]


@pytest.mark.parametrize("state", ["needs_attention", "paused", None])
def test_there_is_nothing_to_check_unless_it_is_connected(practice: Practice, state: str | None) -> None:
    if state:
        connected(practice, state=state, cause=Cause.REVOKED.value)
    assert "Nothing was changed." in practice[2].post("/profile/email/check", follow_redirects=True).text
    assert queue(PUSH).jobs == []


@pytest.mark.requirement("TEN-1")
def test_a_colleague_sees_nothing_of_my_mailbox(practice: Practice, app: Flask) -> None:
    account, _, _ = practice
    connection = connected(practice)
    decide(connection, Reason.UNREADABLE_MAIL)
    decision = db.session.query(Decision).one()
    colleague: Any = app.test_client().sign_in(make_member(account, "owner"))
    assert "Not connected" in colleague.get("/profile/email").text
    assert colleague.get("/profile/email/decisions").status_code == 302
    assert colleague.post(f"/profile/email/decisions/{decision.id}/fetch").status_code == 404


@pytest.mark.rule("E-01")
def test_an_unreadable_mail_can_be_fetched_again(practice: Practice) -> None:
    connection = connected(practice)
    decide(connection, Reason.UNREADABLE_MAIL)
    decision = db.session.query(Decision).one()
    assert "Fetch it again" in email_page(practice)
    practice[2].post(f"/profile/email/decisions/{decision.id}/fetch")
    assert len(queue(PUSH).jobs) == 1


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_look_is_kept_and_one_stays_where_one_was(practice: Practice, app: Flask, theme: str) -> None:
    base = app.extensions["settings"].base_url
    answer = practice[2].post("/profile/theme", data={"theme": theme}, headers={"Referer": f"{base}/contacts"})
    assert answer.location == "/contacts"
    assert db.session.get_one(User, practice[1].id).theme == theme


@pytest.mark.bad_input(39)
@pytest.mark.parametrize("referrer", ["https://evil.example/contacts", "//evil.example", "javascript:alert(1)", ""])
def test_no_referrer_leads_elsewhere_and_no_other_look_is_taken(practice: Practice, referrer: str) -> None:
    answer = practice[2].post("/profile/theme", data={"theme": "<script>"}, headers={"Referer": referrer})
    assert answer.location == "/profile"
    assert db.session.get_one(User, practice[1].id).theme == "auto"


def test_profile_and_integrations_name_the_places_and_the_mailbox(practice: Practice) -> None:
    connected(practice)
    assert "Lumen Aesthetics, Uptown" in practice[2].get("/profile").text
    assert "maren@lumen.example" in practice[2].get("/profile/integrations").text


@pytest.mark.rule("O-01")
@pytest.mark.rule("P-05")
def test_not_connected_one_chooses_between_two_providers(practice: Practice) -> None:
    """Signed for Gmail, and not for Outlook: each has risks of its own to sign."""
    page = email_page(practice)
    assert "Connect Gmail" in page
    assert "Connect Outlook" in page
    assert "/connections/google/risks" in page
    assert "/connections/microsoft/risks" in page
    assert "for Gmail." in page
    assert "for Outlook." not in page


@pytest.mark.rule("O-01")
@pytest.mark.rule("O-02")
@pytest.mark.rule("O-06")
def test_an_outlook_mailbox_says_what_syncs_and_never_speaks_of_google(practice: Practice) -> None:
    make_signature(practice[1], practice[0], provider="microsoft")
    connection = outlook(practice)
    pages = [email_page(practice), practice[2].get("/profile/integrations").text]
    assert "Connected · Outlook" in pages[0]
    assert "Only that mail and its contact are logged." in pages[0]
    assert "Only threads that begin with a mail you send from the CRM" in pages[0]
    assert "Files up to 3 MB each, of these types: JPG, JPEG, PNG, MP4, MPEG, ZIP, RAR, PDF, DOC, DOCX, TXT." in pages[0]
    assert "Microsoft 365, covered by the practice’s own agreement with Microsoft" in pages[0]
    assert "/connections/microsoft/risks" in pages[0]
    assert "Outlook, connected since" in pages[1]
    connection.is_consumer, connection.failures = True, 1
    pages.append(email_page(practice))
    assert "no agreement between your practice and Microsoft covers it" in pages[2]
    assert "Microsoft cannot be reached right now." in pages[2]
    connection.failures = 0
    db.session.add(
        SyncGap(account_id=practice[0].id, connection_id=connection.id, cause="cursor_expired", from_at=now(), to_at=now())
    )
    db.session.flush()
    pages.append(email_page(practice))
    assert "Microsoft’s history was lost" in pages[3]
    assert [page for page in pages if "Google" in page or "Workspace" in page] == []


@pytest.mark.rule("G-18")
@pytest.mark.rule("O-01")
@pytest.mark.parametrize(
    ("is_consumer", "link"),
    [(True, "https://account.live.com/consent/Manage"), (False, "https://myapps.microsoft.com")],
)
@pytest.mark.parametrize("cause", [Cause.REVOKED, Cause.REFUSED_BY_ADMIN, Cause.MAILBOX_GONE])
def test_an_outlook_mailbox_that_needs_attention_leads_to_microsoft(
    practice: Practice, cause: Cause, is_consumer: bool, link: str
) -> None:
    outlook(practice, state="needs_attention", cause=cause.value, is_consumer=is_consumer)
    page = email_page(practice)
    assert cause.sentence_of("microsoft") in page
    assert f'href="{link}"' in page
    assert "it may ask for a code" in page
    assert "/connections/microsoft/begin" in page
    assert "Google" not in page
