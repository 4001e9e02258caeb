"""BCC Sync on the pages: the card, and how to use it, true for the mailbox that the person has connected."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from portal.bcc.page import draw_qr
from tests import factories
from tests.bcc.conftest import Desk

PAGE = "/profile/email/bcc"
BOTH_WAYS = "is logged both ways, also in threads that you begin in Gmail"
ONLY_BEARING = "only mail that bears your BCC address is logged"


@pytest.mark.rule("P-01")
@pytest.mark.rule("B-02")
def test_the_card_is_on_without_a_mailbox_and_leads_on(desk: Desk) -> None:
    card = desk.page("/profile/email").partition("BCC Sync")[2].partition("Two-way sync")[0]
    for words in ("On", "Low risk", "Your BCC address", "data-copy=", "How to use it", "0 tracked contacts", "Replace"):
        assert words in card
    assert "for you" not in card  # nothing waits


@pytest.mark.rule("B-04")
def test_delivery_incomplete_is_explained_as_it_is(desk: Desk) -> None:
    page = desk.page(PAGE)
    for words in ("“Delivery incomplete”", "The mail is logged all the same.", "answers late", "The portal answers at once",
                  "it does not come because of BCC", "What to do: nothing."):  # fmt: skip
        assert words in page
    assert "receipt" not in page


@pytest.mark.rule("B-05")
def test_bcc_is_recommended_over_cc_with_the_reason(desk: Desk) -> None:
    page = desk.page(PAGE)
    assert "everybody who gets the mail then sees your address" in page
    assert "Such replies are refused" in page
    for program in ("Gmail", "Outlook", "Phone"):
        assert f"<h3>{program}</h3>" in page


@pytest.mark.rule("B-03")
@pytest.mark.parametrize(
    ("provider", "state", "is_both_ways"),
    [("", "", False), ("google", "connected", True), ("google", "needs_attention", True), ("microsoft", "connected", False)],
)  # fmt: skip
def test_what_is_tracked_afterwards_depends_on_the_mailbox(desk: Desk, provider: str, state: str, is_both_ways: bool) -> None:
    if provider:
        factories.make_connection(desk.account, desk.person, "maren@box.example", provider=provider, state=state)
    page = desk.page(PAGE)
    assert (BOTH_WAYS in page) is is_both_ways
    assert (ONLY_BEARING in page) is (not is_both_ways or state != "connected")
    assert ("You have no mailbox connected" in page) is (not provider)
    assert ("At the moment your mailbox does not sync" in page) is (state == "needs_attention")


@pytest.mark.rule("B-05")
def test_the_page_lists_from_where_one_may_write(desk: Desk) -> None:
    factories.make_connection(desk.account, desk.person, "maren@box.example", aliases=["maren@box.example", "front@lumen.example"])
    factories.make_own_address(desk.account, desk.person, "maren@home.example")
    page = desk.page(PAGE)
    for email, why in (("maren@lumen.example", "You sign in with it"), ("maren@box.example", "Your connected mailbox"),
                       ("front@lumen.example", "An alias of your mailbox"), ("maren@home.example", "Verified")):  # fmt: skip
        assert why in page.partition(f">{email}<")[2].partition("</li>")[0]


@pytest.mark.rule("B-06")
@pytest.mark.parametrize(("policy", "words"), [("create", "becomes one"), ("ask", "waits for your word")])
def test_the_page_says_what_becomes_of_somebody_new(desk: Desk, policy: str, words: str) -> None:
    desk.account.bcc_new_contacts = policy
    assert f"who is no contact yet {words}" in desk.page(PAGE)


@pytest.mark.rule("B-01")
def test_the_qr_code_is_drawn_in_the_page_and_is_the_addresses_own(app: Flask, desk: Desk) -> None:
    one, other = (draw_qr(f"u-{letter * 26}@replies.demo.example", "Lumen <b>&") for letter in "ab")
    assert one != other
    assert "Lumen" not in one
    page = desk.page(PAGE)
    assert 'role="img" aria-label="QR code that saves your BCC address as a contact on a phone"' in page
    assert '<svg viewBox="' in page.partition("QR code")[2]


@pytest.mark.bad_input(34)
@pytest.mark.parametrize("path", ["tracked", "waiting"])
@pytest.mark.parametrize("query", ["before=x", "before=00000000-0000-0000-0000-000000000000", "show=<script>", "before=\0"])
def test_odd_addresses_of_pages_show_the_page(desk: Desk, path: str, query: str) -> None:
    assert "<script>" not in desk.page(f"{PAGE}/{path}?{query}").partition("<main")[2]


@pytest.mark.bad_input(16)
def test_hostile_words_of_a_mail_stay_words(desk: Desk) -> None:
    raw = (
        b"From: =?utf-8?q?=3Cimg_src=3Dx_onerror=3D1=3E?= <maren@lumen.example>\r\nTo: <lena@mail.example>\r\n"
        b"Subject: =?utf-8?q?=3Cscript=3E=0D=0ABcc:?=\r\nMessage-ID: <h@x.example>\r\n\r\nHello\r\n"
    )
    factories.make_waiting_mail(desk.account, desk.person, raw, "unmatched")
    main = desk.page(f"{PAGE}/waiting").partition("<main")[2]
    assert "<script>" not in main
    assert "<img" not in main
    assert "lena@mail.example" in main


@pytest.mark.rule("A-01")
def test_who_reads_no_rules_is_sent_to_an_owner_for_a_mail_server(desk: Desk, app: Flask) -> None:
    assert "An owner can set one up." in desk.page(PAGE)
    owner: Any = app.test_client().sign_in(factories.make_member(desk.account, "owner"))
    assert "Set up the mail server" in owner.get(PAGE).text
