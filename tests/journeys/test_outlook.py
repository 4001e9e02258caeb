"""A practice user connects Outlook with a code step and writes from the CRM; only what began here syncs."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from portal.demo.people import PRIYA, WITH_OUTLOOK
from tests.journeys.walking import Walk, decisions, expect, flask
from tests.services.portal import RunningPortal

NOA = WITH_OUTLOOK
SUBJECT = "Your visit on Friday"


@pytest.mark.journey
@pytest.mark.rule("O-01")
@pytest.mark.rule("O-02")
@pytest.mark.rule("O-03")
@pytest.mark.rule("O-06")
def test_connect_outlook_with_a_code_write_and_be_answered(page: Page, portal: RunningPortal) -> None:
    flask(portal, "demo", "seed")
    portal.sandbox.require_code(NOA.mailbox)
    walk = Walk(page, portal)
    walk.sign_in(NOA)
    read_and_sign(walk)
    through_microsoft(walk)
    conversation = write_to_the_patient(walk)
    the_answer_comes_in(walk, conversation)
    what_began_elsewhere_stays_out(walk)
    a_file_of_three_megabytes_is_refused(walk)


def read_and_sign(walk: Walk) -> None:
    page = walk.page
    walk.open("/profile/email")
    walk.press("Connect Outlook")
    walk.check()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_label("Your full name").fill(NOA.name)
    walk.press("Continue to Microsoft")


def through_microsoft(walk: Walk) -> None:
    """Account, code, consent; and back, connected from this moment on."""
    page = walk.page
    page.get_by_label(NOA.mailbox).check()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill("000")
    page.get_by_role("button", name="Verify").click()
    page.get_by_label("Code").fill(walk.portal.sandbox.code_of(NOA.mailbox))
    page.get_by_role("button", name="Verify").click()
    page.get_by_role("button", name="Accept").click()
    page.wait_for_url(f"{walk.portal.url}/profile/email**")
    walk.check()
    walk.sees(f"Connected as {NOA.mailbox}")
    walk.sees("Connected · Outlook")
    walk.sees("In sync")


def write_to_the_patient(walk: Walk) -> str:
    """A new mail from the contact's page; it leaves as the Outlook address. The conversation's path."""
    page = walk.page
    walk.open("/contacts")
    walk.press(PRIYA.name)
    walk.press("Write mail")
    page.wait_for_url("**/mail")
    walk.check()
    page.get_by_label("Subject").fill(SUBJECT)
    page.get_by_role("textbox", name="Text").click()
    page.keyboard.type("Please come ten minutes early.")
    walk.press("Send mail")
    page.wait_for_url("**/conversations/*")
    (met,) = arrived(walk, PRIYA.email)
    assert NOA.mailbox in met["headers"]["from"]
    return page.url.removeprefix(walk.portal.url).partition("#")[0].partition("?")[0]


def arrived(walk: Walk, address: str) -> list[dict[str, Any]]:
    """The mails with the journey's subject in a mailbox, once there is one."""
    for _try in range(80):
        if found := [m for m in walk.portal.sandbox.messages(address) if m["headers"]["subject"].endswith(SUBJECT)]:
            return found
        walk.page.wait_for_timeout(250)
    raise AssertionError(f"nothing came to {address}")


def the_answer_comes_in(walk: Walk, conversation: str) -> None:
    sandbox = walk.portal.sandbox
    (met,) = arrived(walk, PRIYA.email)
    sandbox.write(PRIYA.email, to=NOA.mailbox, reply_to=met["id"], text="I will be there at nine.")
    walk.until(conversation, lambda shown: shown.get_by_text("I will be there at nine."))
    walk.check()
    assert walk.page.locator("article.message").count() == 2, "the sent copy is no second message"


def what_began_elsewhere_stays_out(walk: Walk) -> None:
    walk.portal.sandbox.write(PRIYA.email, to=NOA.mailbox, subject="Something else", text="Do you sell gift cards?")
    walk.until("/profile/email", lambda shown: shown.get_by_text("This thread did not begin with a mail from the CRM."))
    walk.check()
    assert [d["reason"] for d in decisions(walk.portal, NOA.mailbox)].count("not_started_in_crm") == 1
    walk.open("/conversations")
    expect(walk.page.get_by_text("Something else")).to_have_count(0)


def a_file_of_three_megabytes_is_refused(walk: Walk) -> None:
    """Before anything leaves, with its name and what to do; what was written is kept."""
    page = walk.page
    walk.press(SUBJECT)
    page.get_by_role("textbox", name="Your reply").click()
    page.keyboard.type("Here is the form.")
    file = {"name": "consent.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\n" + b"0" * 3_250_586}
    page.get_by_label("Attach files").set_input_files(file)  # type: ignore[arg-type]
    walk.press("Send reply")
    walk.check()
    walk.sees("consent.pdf is 3.1 MB")
    walk.sees("Outlook takes files up to 3 MB each")
    expect(page.get_by_text("Here is the form.").first).to_be_attached()
    assert [NOA.mailbox in met["headers"]["from"] for met in arrived(walk, PRIYA.email)].count(True) == 1
