"""What somebody types is there again after a sign-out in another tab, and is not sent by it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from portal.demo.people import CONNECTED, PASSWORD, PRIYA
from tests.journeys.walking import SOON, Walk, expect, flask
from tests.services.portal import RunningPortal


@pytest.mark.journey
@pytest.mark.rule("S-03")
@pytest.mark.bad_input(40)
def test_a_draft_outlives_the_session(page: Page, portal: RunningPortal) -> None:
    flask(portal, "demo", "seed")
    walk = Walk(page, portal)
    walk.sign_in(CONNECTED)
    walk.open("/contacts")
    walk.press(PRIYA.name)
    page.get_by_role("link", name="Write").first.click()
    page.wait_for_url("**/mail")
    page.get_by_label("Subject").fill("After your visit")
    page.get_by_role("textbox", name="Text").click()
    page.keyboard.type("Sleep on two pillows.")
    expect(page.locator("[data-draft]")).to_contain_text("Draft kept", timeout=SOON)
    page.get_by_label("Subject").fill("After your first visit")
    walk.check()
    form = page.url
    other = page.context.new_page()  # leaving this page in time keeps what was typed last
    page.goto(f"{portal.url}/outbox")
    walk.sees("New mail to Priya")
    page.goto(form)
    expect(page.get_by_label("Subject")).to_have_value("After your first visit")
    other.goto(f"{portal.url}/outbox")
    other.locator("details.user-menu summary").click()
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/sign-in*")
    page.get_by_role("button", name="Send mail").click()
    page.wait_for_url("**/sign-in**")
    walk.sees("Nothing was sent.")
    walk.check()
    page.get_by_label("Email").fill(CONNECTED.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(form)
    expect(page.get_by_label("Subject")).to_have_value("After your first visit")
    expect(page.get_by_role("textbox", name="Text")).to_contain_text("Sleep on two pillows.")
    walk.open("/outbox")
    walk.press("Delete draft")
    walk.check()
    walk.press("Delete draft")
    walk.sees("Draft deleted.")
