"""Somebody without a mailbox puts the BCC address into a mail of their own mail program, and it stands with its contact."""

from __future__ import annotations

import re
import smtplib

import pytest
from playwright.sync_api import Page

from portal.demo.people import NOT_CONNECTED, PRIYA
from tests.journeys.walking import Walk, expect, flask
from tests.services.portal import RunningPortal

OWEN = NOT_CONNECTED
NEWCOMER = "Ada Newcomer <ada.newcomer@mail.example>"


@pytest.mark.journey
@pytest.mark.rule("B-01")
@pytest.mark.rule("B-02")
@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
def test_a_mail_with_the_bcc_address_stands_with_its_contact(page: Page, portal: RunningPortal) -> None:
    flask(portal, "demo", "seed")
    walk = Walk(page, portal)
    walk.sign_in(OWEN)
    address = find_the_address(walk)
    the_mail_is_filed(walk, address)
    somebody_new_becomes_a_contact(walk, address)
    what_nothing_proves_waits(walk, address)
    a_replaced_address_stops(walk, address)


def find_the_address(walk: Walk) -> str:
    walk.open("/profile/email")
    walk.sees("Your BCC address")
    address = re.search(r"u-[a-z2-7]{26}@[a-z.]+", walk.page.inner_text("main") + walk.page.content())
    assert address is not None
    walk.press("How to use it")
    walk.check()
    walk.sees("Delivery incomplete")
    return address[0]


def the_mail_is_filed(walk: Walk, address: str) -> None:
    """Written in the person's own mail program; no mailbox is connected."""
    sandbox = walk.portal.sandbox
    text = "Cool it gently tonight."
    sandbox.write(OWEN.mailbox, to=f"{PRIYA.name} <{PRIYA.email}>", bcc=address, subject="After your visit", text=text)
    walk.until("/conversations", lambda shown: shown.get_by_text("After your visit"))
    walk.press("After your visit")
    walk.check()
    walk.sees(text)
    expect(walk.page.get_by_text(address)).to_have_count(0)
    walk.open("/profile/email/bcc/tracked")
    walk.sees(PRIYA.name)


def somebody_new_becomes_a_contact(walk: Walk, address: str) -> None:
    walk.portal.sandbox.write(OWEN.mailbox, to=NEWCOMER, bcc=address, subject="Welcome", text="See you on Monday.")
    walk.until("/contacts?q=Newcomer", lambda shown: shown.get_by_role("link", name="Ada Newcomer"))
    walk.check()


def what_nothing_proves_waits(walk: Walk, address: str) -> None:
    """From Owen by its header, handed in by a stranger's machine without a signature: Owen alone decides."""
    page, environ = walk.page, walk.portal.backend.environ
    raw = f"From: {OWEN.mailbox}\r\nTo: {PRIYA.email}\r\nSubject: Unsigned\r\nMessage-ID: <u1@x.example>\r\n\r\nBy phone.\r\n"
    with smtplib.SMTP("127.0.0.1", int(environ["INTAKE_PORT"])) as client:
        client.sendmail("someone@elsewhere.example", [address], raw)
        with pytest.raises(smtplib.SMTPDataError, match="Only its owner"):
            client.sendmail("x@elsewhere.example", [address], raw.replace(OWEN.mailbox, "x@elsewhere.example"))
    walk.until("/profile/email/bcc/waiting", lambda shown: shown.get_by_text("Unsigned"))
    walk.check()
    walk.press("It is mine, file it")
    walk.until("/conversations", lambda shown: shown.get_by_text("Unsigned"))
    assert page.url.endswith("/conversations")


def a_replaced_address_stops(walk: Walk, address: str) -> None:
    walk.open("/profile/email")
    walk.press("Replace")
    walk.check()
    walk.press("Replace the address")
    walk.open("/profile/email")
    expect(walk.page.get_by_text(address)).to_have_count(0)
    with smtplib.SMTP("127.0.0.1", int(walk.portal.backend.environ["INTAKE_PORT"])) as client:
        client.ehlo()
        client.mail("owen@x.example")
        assert client.rcpt(address)[0] == 550
