"""Somebody without a mailbox writes to a patient: out by the practice's mail server, and the answer comes back to the CRM."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from portal.auth.passwords import hash_password
from portal.database import transaction
from portal.demo.people import NOT_CONNECTED, PASSWORD, PRIYA
from tests import factories
from tests.journeys.walking import Walk, expect
from tests.services.portal import RunningPortal

OWEN = NOT_CONNECTED
GONE, GONE_NAME = "marta.gone@people.example", "Marta Gone"
QUESTION = "How does the left side feel today?"
ANSWER = "Much softer, thank you."


@pytest.mark.journey
@pytest.mark.rule("S-01")
@pytest.mark.rule("G-22")
def test_mail_leaves_by_the_practice_and_answers_come_back(page: Page, portal: RunningPortal) -> None:
    make_practice(portal)
    walk = Walk(page, portal)
    walk.sign_in(OWEN)
    conversation = write(walk, PRIYA.name, "Your visit on Friday", QUESTION)
    reply_to = it_has_left(walk)
    the_patient_answers(walk, conversation, reply_to)
    the_answer_is_answered(walk, reply_to)
    what_bounces_says_why(walk)


def make_practice(portal: RunningPortal) -> None:
    """Owen has no mailbox; Priya has one at the stand-in; nobody lives at Marta's address."""
    portal.sandbox.add_mailbox(PRIYA.email, PRIYA.name)
    portal.sandbox.smtp_fault("bounce", recipient=GONE, status="5.1.1")
    with portal.backend.app.app_context(), transaction():
        account = factories.make_account("uptown")
        factories.make_relay(account, portal.sandbox.smtp_port)
        user = factories.make_user(OWEN.email, name=OWEN.name, password_hash=hash_password(PASSWORD))
        factories.make_member(account, OWEN.role, user=user)
        factories.make_contact(account, PRIYA.email, PRIYA.name)
        factories.make_contact(account, GONE, GONE_NAME)


def write(walk: Walk, to: str, subject: str, text: str) -> str:
    """From the contact's page; the path of the conversation that it begins."""
    page = walk.page
    walk.open("/contacts")
    walk.press(to)
    walk.press("Write mail")
    page.wait_for_url("**/mail")
    walk.check()
    walk.sees("This leaves through the practice’s mail server; answers come back here.")
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("textbox", name="Text").click()
    page.keyboard.type(text)
    walk.press("Send mail")
    page.wait_for_url("**/conversations/*")
    walk.check()
    return page.url.removeprefix(walk.portal.url).partition("#")[0].partition("?")[0]


def it_has_left(walk: Walk) -> str:
    """In the patient's mailbox, once, from Owen by the practice's address; where its answers go."""
    sandbox = walk.portal.sandbox
    for _try in range(80):
        if arrived := sandbox.messages(PRIYA.email):
            break
        walk.page.wait_for_timeout(250)
    (kept,) = sandbox.sink()
    assert len(arrived) == 1
    assert kept["rcpts"] == [PRIYA.email]
    assert "Owen Castellano" in kept["headers"]["from"]
    assert "hello@lumen.example" in kept["headers"]["from"]
    reply_to = kept["headers"]["reply-to"].rpartition("<")[2].rstrip(">")
    domain = walk.portal.backend.environ["REPLY_DOMAIN"]
    assert reply_to.startswith("r-")
    assert reply_to.endswith(f"@{domain}")
    assert kept["mail_from"].startswith("b-")
    assert kept["mail_from"].endswith(f"@{domain}")
    return str(reply_to)


def the_patient_answers(walk: Walk, conversation: str, reply_to: str) -> None:
    """In the stand-in's console, as a person does; the answer stands in the conversation."""
    page, sandbox = walk.page, walk.portal.sandbox
    (met,) = sandbox.messages(PRIYA.email)
    page.goto(f"{walk.portal.console_url}/mailboxes/{PRIYA.email}/messages/{met['id']}")
    page.get_by_role("link", name="Reply", exact=True).click()
    expect(page.get_by_label("To")).to_have_value(reply_to)
    page.get_by_label("Text").fill(ANSWER)
    page.get_by_role("button", name="Send").click()
    walk.until(conversation, lambda shown: shown.get_by_text(ANSWER))
    walk.check()
    expect(page.get_by_text(QUESTION).first).to_be_visible()
    assert page.locator("article.message").count() == 2
    walk.open("/conversations")
    walk.sees("Your visit on Friday")


def the_answer_is_answered(walk: Walk, reply_to: str) -> None:
    """A reply stays in the patient's thread and has the same way back."""
    page, sandbox = walk.page, walk.portal.sandbox
    walk.press("Your visit on Friday")
    page.get_by_role("textbox", name="Your reply").click()
    page.keyboard.type("Good. See you on Friday.")
    walk.press("Send reply")
    for _try in range(80):
        if len(sandbox.sink(PRIYA.email, with_text=False)) == 2:
            break
        page.wait_for_timeout(250)
    second = sandbox.sink(PRIYA.email, with_text=False)[1]
    assert reply_to in second["headers"]["reply-to"]
    assert len({message["thread_id"] for message in sandbox.messages(PRIYA.email)}) == 1


def what_bounces_says_why(walk: Walk) -> None:
    """The report comes back to the intake, and the mail says why it did not arrive."""
    conversation = write(walk, GONE_NAME, "Your next visit", "Shall we find a day?")
    walk.until(conversation, lambda shown: shown.get_by_text("The address does not exist."))
    walk.check()
    assert len(walk.portal.sandbox.sink(GONE, with_text=False)) == 1, "it is not sent again"
    (tried,) = [row for row in walk.portal.sandbox.requests(path="/routes/") if row["mailbox"].startswith("b-")]
    assert tried["status"] == 250
