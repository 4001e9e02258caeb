"""A practice user connects Gmail with open eyes, and mail flows: in a real browser, with every part running."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page

from portal.demo.people import COLLEAGUE_WITH_LOGIN, NOT_CONNECTED, PRIYA
from tests.journeys.walking import SOON, Walk, decisions, expect, flask
from tests.services.portal import RunningPortal

OWEN = NOT_CONNECTED
LETTER = "From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{id}@x.example>\r\n{more}\r\n{text}\r\n"


def letter(sender: str, subject: str, text: str, more: str = "") -> bytes:
    number = f"{time.monotonic_ns()}"
    return LETTER.format(sender=sender, to=OWEN.mailbox, subject=subject, id=number, more=more, text=text).encode()


def through_google(walk: Walk, *, untick: str = "") -> None:
    """Sign in at the stand-in and give the permissions."""
    page = walk.page
    page.get_by_label(OWEN.mailbox).check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Select all").click()
    if untick:
        page.get_by_label(untick).uncheck()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{walk.portal.url}/**")


@pytest.mark.journey
@pytest.mark.rule("H-01")
@pytest.mark.rule("H-02")
@pytest.mark.rule("H-07")
@pytest.mark.rule("G-01")
@pytest.mark.rule("G-02")
@pytest.mark.rule("G-03")
@pytest.mark.rule("G-04")
@pytest.mark.rule("G-17")
@pytest.mark.rule("G-19")
def test_read_the_risks_connect_write_answer_and_disconnect(page: Page, portal: RunningPortal) -> None:
    flask(portal, "demo", "seed")
    portal.sandbox.deliver(letter(PRIYA.email, "Before the connection", "An old question."), OWEN.mailbox)
    walk = Walk(page, portal)
    walk.sign_in(OWEN)
    read_and_sign(walk)
    refuse_a_half_consent(walk)
    connect_whole(walk)
    mail_comes_in(walk)
    answer_and_be_answered(walk)
    what_stays_out_says_why(walk)
    disconnect(walk)


def read_and_sign(walk: Walk) -> None:
    page = walk.page
    walk.open("/profile/email")
    walk.sees("We advise against it for most practices.")
    walk.press("Connect Gmail")
    walk.check()
    walk.sees("We advise against two-way sync for most medical-aesthetics practices.")
    walk.sees("Aesthetix Mail Sync")
    boxes = page.get_by_role("checkbox")
    assert boxes.count() == 6
    expect(page.get_by_role("button", name="Continue to Google")).to_be_disabled()
    for number in range(6):
        boxes.nth(number).check()
    page.get_by_label("Your full name").fill(OWEN.name)
    walk.press("Continue to Google")


def refuse_a_half_consent(walk: Walk) -> None:
    through_google(walk, untick="Send email on your behalf")
    walk.check()
    walk.sees("Send email on your behalf")
    walk.sees("Nothing was connected")
    walk.open("/profile/email")
    walk.sees("Not connected")


def connect_whole(walk: Walk) -> None:
    walk.press("Read them")
    walk.check()
    walk.press("Continue to Google")
    through_google(walk)
    walk.check()
    walk.sees("In sync")
    walk.sees("nothing older was imported")


def mail_comes_in(walk: Walk) -> None:
    text = "The left side is still a bit firm. Is that normal?"
    walk.portal.sandbox.write(PRIYA.email, to=OWEN.mailbox, subject="Firm on one side", text=text)
    walk.until("/conversations", lambda page: page.get_by_text("Firm on one side"))
    walk.check()
    walk.page.get_by_role("link", name="Firm on one side").first.click()
    walk.check()
    walk.sees(text)
    walk.sees("In sync")


def answer_and_be_answered(walk: Walk) -> None:
    page, sandbox = walk.page, walk.portal.sandbox
    page.get_by_label("Your reply").fill("That is common on day 2, Priya. Sleep on two pillows.")
    walk.press("Send reply")
    walk.check()
    for _try in range(80):
        arrived = [m for m in sandbox.messages(PRIYA.email) if "two pillows" in m["text"]]
        if arrived:
            break
        page.wait_for_timeout(250)
    theirs = [m for m in sandbox.messages(PRIYA.email) if m["headers"]["subject"].endswith("Firm on one side")]
    assert len({m["thread_id"] for m in theirs}) == 1, "the answer stands in the patient's own thread"
    assert len(arrived) == 1
    sandbox.write(PRIYA.email, to=OWEN.mailbox, reply_to=arrived[0]["id"], text="Thank you, that helps.")
    conversation = page.url.partition("#")[0].removeprefix(walk.portal.url).partition("?")[0]
    walk.until(conversation, lambda shown: shown.get_by_text("Thank you, that helps."))
    expect(page.get_by_text("Sleep on two pillows.").first).to_be_attached()
    assert page.locator("article.message").count() == 3, "the sent copy is no second message"


def what_stays_out_says_why(walk: Walk) -> None:
    sandbox = walk.portal.sandbox
    sandbox.write(COLLEAGUE_WITH_LOGIN.email, to=OWEN.mailbox, subject="Rota of week 48", text="The rota of week 48")
    more = "List-Unsubscribe: <mailto:off@shop.example>\r\n"
    sandbox.deliver(letter("news@shop.example", "20 % off", "This week only.", more), OWEN.mailbox)
    walk.until("/profile/email", lambda page: page.get_by_text("A newsletter or a mailing list."))
    walk.check()
    walk.sees("The other person is also a CRM user here.")
    met = decisions(walk.portal, OWEN.mailbox)
    assert sorted(d["reason"] for d in met if d["outcome"] == "left_out") == ["crm_user", "list_mail"]
    walk.open("/conversations")
    for hidden in ("Rota of week 48", "20 % off", "Before the connection"):
        expect(walk.page.get_by_text(hidden)).to_have_count(0)


def disconnect(walk: Walk) -> None:
    page, sandbox = walk.page, walk.portal.sandbox
    walk.open("/profile/email")
    walk.press("Disconnect")
    walk.check()
    walk.sees("stays")
    page.get_by_label("Type").fill("DISCONNECT")
    walk.press("Disconnect")
    walk.check()
    walk.sees("your connections at Google")
    expect(page.get_by_role("heading", name="What stayed")).to_be_visible(timeout=SOON)
    for _try in range(40):
        revoked = [r for r in sandbox.requests(path="/google/revoke") if r["mailbox"] == OWEN.mailbox]
        if len(revoked) == 2:
            break
        page.wait_for_timeout(250)
    assert len(revoked) == 2, "access was given back to Google: the half one at once, the whole one now"
    sandbox.write(PRIYA.email, to=OWEN.mailbox, subject="After the end", text="Hello again?")
    walk.open("/conversations")
    walk.sees("Firm on one side")
    page.wait_for_timeout(1500)
    walk.open("/conversations")
    expect(page.get_by_text("After the end")).to_have_count(0)
