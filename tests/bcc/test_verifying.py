"""Addresses that a person names as their own: proven by a code that goes there, and nobody else's (B-05)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.audit import events
from portal.bcc import queries, verifying
from portal.bcc.verifying import Answer
from portal.database import db
from portal.models import Membership, OwnAddress
from portal.queues import SENDING, queue
from tests import factories
from tests.bcc.conftest import Desk, code_in, send_codes
from tests.providers.smtp_server import MailServer

PAGE = "/profile/email/bcc"
HOME = "maren@home.example"


def named() -> OwnAddress:
    return db.session.scalars(select(OwnAddress)).one()


def is_own(desk: Desk) -> bool:
    return HOME in queries.owner_keys(desk.account.id, desk.person.id)


def ask(desk: Desk, email: str = HOME) -> Any:
    return desk.client.post(f"{PAGE}/addresses", data={"email": email})


def enter(desk: Desk, code: str) -> str:
    return str(desk.client.post(f"{PAGE}/addresses/{named().id}/verify", data={"code": code}, follow_redirects=True).text)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.mark.rule("B-05")
def test_the_code_that_came_there_makes_it_ones_own(desk: Desk, server: MailServer) -> None:
    factories.make_relay(desk.account, server.port)
    assert ask(desk).status_code == 303
    assert "Code on its way" in desk.page(PAGE)
    assert server.letters == []  # no request waits for a mail server
    send_codes()
    [letter] = server.letters
    code = code_in(letter)
    assert b"Auto-Submitted: auto-generated" in letter
    assert f"RCPT TO:<{HOME}>" in [line.split(" SIZE")[0] for line in server.lines]
    row = named()
    assert code not in row.code_hash
    assert not is_own(desk)
    assert "Waiting for the code" in desk.page(PAGE)
    assert "Verified. You may write from maren@home.example now." in enter(desk, f" {code[:3]} {code[3:]} ")
    assert is_own(desk)
    assert (named().code_hash, named().tries) == ("", 0)
    assert "has run out" in enter(desk, code)  # it worked once
    assert [len(desk.audited(name)) for name in (events.OWN_ADDRESS_ADDED, events.OWN_ADDRESS_VERIFIED)] == [1, 1]


@pytest.mark.rule("B-05")
def test_a_code_bears_five_tries_and_a_new_one_begins_anew(desk: Desk, server: MailServer) -> None:
    factories.make_relay(desk.account, server.port)
    ask(desk)
    send_codes()
    code = code_in(server.letters[0])
    for _try in range(verifying.MOST_TRIES - 1):
        assert "not the code" in enter(desk, wrong(code))
    assert "no longer works" in enter(desk, wrong(code))
    assert "no longer works" in enter(desk, code)
    assert not is_own(desk)
    assert "Code has run out" in desk.page(PAGE)
    desk.client.post(f"{PAGE}/addresses/{named().id}/code")
    send_codes()
    second = code_in(server.letters[1])
    if second != code:
        assert "not the code" in enter(desk, code)
    assert "Verified" in enter(desk, second)


@pytest.mark.rule("B-05")
def test_a_code_works_for_fifteen_minutes(desk: Desk, frozen_clock: Any) -> None:
    row = factories.make_own_address(desk.account, desk.person, HOME, is_verified=False)
    code = verifying.issue_code(row)
    frozen_clock.shift(timedelta(minutes=14, seconds=59))
    assert verifying.verify(row, wrong(code)) is Answer.WRONG
    frozen_clock.shift(timedelta(seconds=1))
    assert verifying.verify(row, code) is Answer.EXPIRED
    assert row.verified_at is None


@pytest.mark.rule("B-05")
@pytest.mark.bad_input(34)
@pytest.mark.parametrize("typed", ["", "12345", "1234567", "٠١٢٣٤٥", "\0", "x" * 5_000, "\ud800"])
def test_what_is_no_code_is_a_wrong_one(desk: Desk, typed: str) -> None:
    row = factories.make_own_address(desk.account, desk.person, HOME, is_verified=False)
    verifying.issue_code(row)
    assert verifying.verify(row, typed) is Answer.WRONG


@pytest.mark.rule("B-05")
@pytest.mark.parametrize(
    ("email", "words"),
    [
        ("tom@lumen.example", "a colleague’s address"), ("TOM@Lumen.Example", "a colleague’s address"),
        ("tom.berg+x@gmail.com", "a colleague’s address"), ("front@lumen.example", "a colleague’s address"),
        ("priya@mail.example", "a contact’s address"),
        ("maren@lumen.example", "You may write from this address already"),
        ("named@home.example", "stands in the list"),
        ("u-aaaaaaaaaaaaaaaaaaaaaaaaaa@replies.demo.example", "such as you@example.com"),
        ("no address", "such as you@example.com"), ("a@b.example\r\nBcc: c@d.example", "such as you@example.com"),
        ("", "Give one mail address"),
    ],
)  # fmt: skip
def test_an_address_that_is_somebody_elses_or_none_is_refused(desk: Desk, email: str, words: str) -> None:
    account = desk.account
    factories.make_relay(account, 1)
    tom = factories.make_member(account, email="tom@lumen.example", name="Tom Berg")
    factories.make_connection(account, tom, "tomberg@gmail.com", aliases=["tomberg@gmail.com", "front@lumen.example"])
    factories.make_contact(account, "priya@mail.example")
    factories.make_own_address(account, desk.person, "named@home.example")
    answer = ask(desk, email)
    assert answer.status_code in (400, 409)
    assert words in answer.text
    assert named().email == "named@home.example"
    assert queue(SENDING).jobs == []


@pytest.mark.rule("B-05")
def test_it_is_refused_also_when_it_became_a_contacts_meanwhile(desk: Desk) -> None:
    row = factories.make_own_address(desk.account, desk.person, HOME, is_verified=False)
    code = verifying.issue_code(row)
    factories.make_contact(desk.account, HOME)
    answer = desk.client.post(f"{PAGE}/addresses/{row.id}/verify", data={"code": code})
    assert answer.status_code == 409
    assert "a contact’s address" in answer.text
    assert not is_own(desk)


@pytest.mark.rule("B-05")
def test_without_a_mail_server_the_page_says_so_and_nothing_is_kept(desk: Desk) -> None:
    page = desk.page(PAGE)
    assert "this location has no mail server of its own yet" in page
    assert "Add address" not in page
    assert ask(desk).status_code == 409
    assert db.session.scalar(select(OwnAddress.id)) is None


@pytest.mark.rule("B-05")
@pytest.mark.parametrize("answers", [{"RCPT": "550 5.1.1 no such user"}, {"GREETING": "421 later"}, {"DOT": "554 no"}])
def test_a_code_that_did_not_leave_is_void_and_the_page_says_so(desk: Desk, server: MailServer, answers: dict[str, str]) -> None:
    server.script.answers = answers
    factories.make_relay(desk.account, server.port)
    ask(desk)
    send_codes()
    page = desk.page(PAGE)
    assert "Code not sent" in page
    assert "Send a new code" in page
    assert named().code_hash == ""


@pytest.mark.requirement("RBA-5")
@pytest.mark.parametrize("change", ["left", "role", "verified", "removed"])
def test_no_code_leaves_for_who_may_not_ask_any_more(desk: Desk, server: MailServer, change: str) -> None:
    factories.make_relay(desk.account, server.port)
    ask(desk)
    place = db.session.scalars(select(Membership).where(Membership.user_id == desk.person.id)).one()
    if change == "left":
        place.state = "ended"
    elif change == "role":
        place.role = "vendor"
    elif change == "verified":
        named().verified_at = factories.now()
    else:
        db.session.delete(named())
    db.session.commit()
    send_codes()
    assert server.letters == []


@pytest.mark.rule("B-05")
def test_removed_it_is_no_longer_ones_own(desk: Desk) -> None:
    row = factories.make_own_address(desk.account, desk.person, HOME)
    assert is_own(desk)
    answer = desk.client.post(f"{PAGE}/addresses/{row.id}/remove", follow_redirects=True)
    assert "is refused from now on" in answer.text
    assert not is_own(desk)
    assert len(desk.audited(events.OWN_ADDRESS_REMOVED)) == 1


@pytest.mark.requirement("TEN-1")
def test_a_colleague_cannot_touch_my_addresses(desk: Desk, app: Flask) -> None:
    row = factories.make_own_address(desk.account, desk.person, HOME, is_verified=False)
    code = verifying.issue_code(row)
    colleague: Any = app.test_client().sign_in(factories.make_member(desk.account, "owner"))
    for step in ("verify", "code", "remove"):
        answer = colleague.post(f"{PAGE}/addresses/{row.id}/{step}", data={"code": code})
        assert answer.status_code == 404
    assert named().verified_at is None


@pytest.mark.rule("B-05")
def test_codes_are_limited_whoever_they_go_to(desk: Desk) -> None:
    factories.make_relay(desk.account, 1)
    answers = [ask(desk, f"me{number}@home.example").status_code for number in range(5)]
    again = f"{PAGE}/addresses/{factories.make_own_address(desk.account, desk.person, HOME, is_verified=False).id}/code"
    answers += [desk.client.post(again).status_code for _ in range(2)]
    assert answers == [303] * 6 + [429]  # whether it is a new address or a code once more


@pytest.mark.rule("B-05")
def test_a_person_names_ten_addresses_at_most(desk: Desk) -> None:
    factories.make_relay(desk.account, 1)
    for number in range(verifying.MOST_ADDRESSES):
        factories.make_own_address(desk.account, desk.person, f"me{number}@home.example")
    assert re.search("You have 10 addresses here", ask(desk).text)
