"""Formatted mail is written with the keyboard alone, leaves as the person saw it, and is shown again as it left."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from playwright.sync_api import Page

from portal.demo.people import ANIL, CONNECTED, PRIYA
from tests.journeys.walking import Walk, expect, flask
from tests.services.portal import RunningPortal

HOSTILE = (
    "<p onclick='window.pwned=1'><i>pasted words</i> <a href='javascript:window.pwned=1'>press</a></p>"
    "<img src='https://evil.example/x.png' onerror='window.pwned=1'><script>window.pwned=1</script>"
    "<iframe src='https://evil.example'></iframe><svg><image href='https://evil.example/y' onload='window.pwned=1'></image></svg>"
)


def teal() -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (120, 60), "teal").save(out, "PNG")
    return out.getvalue()


@pytest.mark.journey
@pytest.mark.rule("S-03")
@pytest.mark.requirement("WEB-4")
@pytest.mark.bad_input(25)
def test_a_formatted_mail_is_written_with_the_keyboard_and_shown_as_it_left(page: Page, portal: RunningPortal) -> None:
    flask(portal, "demo", "seed")
    walk = Walk(page, portal)
    walk.sign_in(CONNECTED)
    walk.open("/contacts")
    walk.press(PRIYA.name)
    walk.press("Write mail")
    page.wait_for_url("**/mail")
    write(walk)
    walk.check()
    walk.press("Send mail")
    arrives_formatted(walk)
    stands_in_the_thread(walk)
    is_forwarded_formatted(walk)


def write(walk: Walk) -> None:
    """Bold, a list, a link and a picture, without the mouse."""
    page = walk.page
    page.get_by_label("Subject").fill("After your visit")
    text = page.get_by_role("textbox", name="Text")
    text.focus()
    keys(page, "Dear Priya,", "+Enter", "+Control+b", "Please read:", "+Control+b", "+Enter")
    keys(page, "+Shift+Tab")  # the toolbar is one stop before the text
    expect(page.get_by_role("button", name="Bold")).to_be_focused()
    keys(page, "+ArrowRight", "+ArrowRight", "+ArrowRight", "+Enter")
    expect(text).to_be_focused()
    keys(page, "sleep on two pillows", "+Enter", "drink water", "+Enter", "+Enter", "More: ")
    page.get_by_role("button", name="Link", exact=True).press("Enter")
    keys(page, "lumen.example/care", "+Enter", ", or look:")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Insert picture").press("Enter")
    chooser.value.set_files({"name": "pillows.png", "mimeType": "image/png", "buffer": teal()})
    expect(text.locator("img")).to_have_count(1)
    keys(page, "+Tab")  # no trap
    expect(text).not_to_be_focused()


def keys(page: Page, *pressed: str) -> None:
    """Type texts, press what begins with a plus."""
    for key in pressed:
        page.keyboard.press(key[1:]) if key.startswith("+") else page.keyboard.type(key)


def arrives_formatted(walk: Walk) -> None:
    """The contact gets the text in words, and the picture beside the HTML."""
    for _try in range(80):
        arrived = [m for m in walk.portal.sandbox.messages(PRIYA.email) if m["headers"]["subject"] == "After your visit"]
        if arrived:
            break
        walk.page.wait_for_timeout(250)
    (mail,) = arrived
    assert mail["text"].splitlines() == [
        "Dear Priya,", "Please read:", "- sleep on two pillows", "- drink water",
        "More: lumen.example/care, or look:[pillows.png]",
    ]  # fmt: skip
    assert mail["attachments"] == ["pillows.png"]


def stands_in_the_thread(walk: Walk) -> None:
    """The frame shows what was written, without asking for anything."""
    page = walk.page
    page.reload()
    page.get_by_text("Show formatted").click()
    frame = page.frame_locator("iframe.mail-frame")
    expect(frame.locator("b")).to_have_text("Please read:")
    expect(frame.locator("li")).to_have_count(2)
    assert frame.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 120
    assert walk.violations == []


def paste(page: Page, html: str) -> None:
    """Paste what another program left on the clipboard."""
    page.get_by_role("textbox", name="Text").focus()
    page.evaluate(
        """html => {
          const data = new DataTransfer();
          data.setData("text/html", html);
          const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
          document.activeElement.dispatchEvent(paste);
        }""",
        html,
    )


def is_forwarded_formatted(walk: Walk) -> None:
    """The editor of a forward begins with the original as it looked."""
    walk.press("Forward")
    page = walk.page
    text = page.get_by_role("textbox", name="Text")
    expect(text.locator("b")).to_have_text("Please read:")
    assert text.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 120
    paste(page, HOSTILE)
    expect(text.get_by_text("pasted words")).to_have_count(1)
    assert text.locator("script, iframe, img[src*=evil], a[href^=javascript], [onclick]").count() == 0
    assert page.evaluate("window.pwned") is None
    walk.violations.clear()  # the browser names what it refused while it read the foreign HTML
    walk.check()
    page.get_by_label("To", exact=True).fill(ANIL.email)
    walk.press("Send forward")
    expect(page.get_by_text("Forwarded message").first).to_be_attached()
    assert walk.violations == []
