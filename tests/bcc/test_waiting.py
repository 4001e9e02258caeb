"""Mails at the BCC address that wait for their owner, who alone sees and decides them (B-05, B-06)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.audit import events
from portal.database import db
from portal.intake import bcc as intake
from portal.models import Contact, Conversation, IntakeMail, TrackedContact
from tests import factories
from tests.bcc.conftest import Desk

PAGE = "/profile/email/bcc/waiting"


def raw(to: str, subject: str = "After your visit", sender: str = "Maren Holt <maren@lumen.example>") -> bytes:
    return (
        f"From: {sender}\r\nTo: {to}\r\nCc: cc@mail.example\r\nSubject: {subject}\r\nMessage-ID: <{subject.split()[0]}@x.example>\r\n"
        "Date: Tue, 24 Nov 2026 15:00:00 +0000\r\n\r\nKeep it dry. Secret words.\r\n"
    ).encode()


def waits(desk: Desk, state: str, to: str, **values: Any) -> IntakeMail:
    return factories.make_waiting_mail(desk.account, desk.person, raw(to, **values), state)


def press(desk: Desk, row: IntakeMail, step: str, **data: Any) -> str:
    return str(desk.client.post(f"{PAGE}/{row.id}/{step}", data=data, follow_redirects=True).text)


@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
def test_the_owner_sees_when_from_whom_to_whom_and_about_what(desk: Desk) -> None:
    assert "Nothing waits" in desk.page(PAGE)
    factories.make_contact(desk.account, "priya@mail.example")
    waits(desk, "unverified", "Priya Raman <priya@mail.example>")
    waits(desk, "unmatched", "Lena Fischer <lena@mail.example>", subject="Welcome Lena")
    assert ">2 mails wait for you<" in desk.page("/profile/email")
    page = desk.page(PAGE)
    for words in ("After your visit", "maren@lumen.example", "priya@mail.example", "It is mine, file it", "Leave it out",
                  "Welcome Lena", "Create Lena Fischer and file it", "File under an existing contact"):  # fmt: skip
        assert words in page
    assert "Secret words" not in page
    assert "Create cc@mail.example" not in page  # B-06: people in CC never become contacts
    assert desk.audited(events.BCC_LISTED) == [{"shown": 0}, {"shown": 2}]


@pytest.mark.rule("B-05")
@pytest.mark.requirement("TEN-1")
def test_nobody_but_the_owner_sees_or_decides_it(desk: Desk, app: Flask) -> None:
    contact = factories.make_contact(desk.account)
    row = waits(desk, "unmatched", "lena@mail.example")
    for account, role in ((desk.account, "owner"), (factories.make_account(), "owner")):
        other: Any = app.test_client().sign_in(factories.make_member(account, role))
        assert "lena@mail.example" not in other.get(PAGE).text
        assert other.get(f"{PAGE}/{row.id}/contact").status_code == 404
        for step in ("file", "create", "drop", "contact"):
            data = {"address": "lena@mail.example", "contact_id": str(contact.id)}
            assert other.post(f"{PAGE}/{row.id}/{step}", data=data).status_code == 404
    assert db.session.get_one(IntakeMail, row.id).state == "unmatched"


@pytest.mark.rule("B-05")
@pytest.mark.rule("B-03")
def test_on_ones_word_an_unverified_mail_is_filed_and_its_contact_tracked(desk: Desk) -> None:
    contact = factories.make_contact(desk.account, "priya@mail.example")
    row = waits(desk, "unverified", "priya@mail.example")
    assert "Filed. It stands in its conversation now." in press(desk, row, "file")
    assert db.session.scalars(select(Conversation.contact_id)).all() == [contact.id]
    assert db.session.scalars(select(TrackedContact.contact_id)).all() == [contact.id]
    assert db.session.get_one(IntakeMail, row.id).raw is None
    assert "decided already" in press(desk, row, "file")  # pressed twice
    assert db.session.scalars(select(Conversation.id)).all() != []


@pytest.mark.rule("B-06")
def test_a_verified_mail_to_nobody_known_still_waits_where_the_practice_asks(desk: Desk) -> None:
    desk.account.bcc_new_contacts = "ask"
    row = waits(desk, "unverified", "lena@mail.example")
    assert "It still waits, because nobody in To is a contact." in press(desk, row, "file")
    assert "Create lena@mail.example and file it" in desk.page(PAGE)
    assert db.session.scalar(select(Contact.id)) is None


@pytest.mark.rule("B-06")
def test_one_press_creates_the_person_in_to_and_files_the_mail(desk: Desk) -> None:
    row = waits(desk, "unmatched", "Lena Fischer <lena@mail.example>, bob@mail.example")
    assert "Filed." in press(desk, row, "create", address="lena@mail.example")
    [contact] = db.session.scalars(select(Contact))
    assert (contact.name, contact.email, contact.source) == ("Lena Fischer", "lena@mail.example", "bcc_sync")
    assert "a CSV import" not in desk.page(f"/contacts/{contact.id}")


@pytest.mark.rule("B-06")
@pytest.mark.parametrize("address", ["cc@mail.example", "x@elsewhere.example", "maren@lumen.example", "", "\0"])
def test_only_somebody_in_to_is_ever_created(desk: Desk, address: str) -> None:
    row = waits(desk, "unmatched", "Lena Fischer <lena@mail.example>, maren@lumen.example")
    assert desk.client.post(f"{PAGE}/{row.id}/create", data={"address": address}).status_code == 404
    assert db.session.scalar(select(Contact.id)) is None
    assert db.session.get_one(IntakeMail, row.id).state == "unmatched"


@pytest.mark.rule("B-06")
def test_it_can_be_filed_under_a_contact_that_is_looked_for(desk: Desk) -> None:
    contact = factories.make_contact(desk.account, "lena.private@mail.example", name="Lena Fischer")
    row = waits(desk, "unmatched", "lena@mail.example")
    search = f"{PAGE}/{row.id}/contact"
    assert "File it here" not in desk.page(search)
    assert "No contact has all these words" in desk.page(f"{search}?q=nobody")
    assert f'value="{contact.id}"' in desk.page(f"{search}?q=fischer")
    assert "Filed." in press(desk, row, "contact", contact_id=str(contact.id))
    assert db.session.scalars(select(Conversation.contact_id)).all() == [contact.id]


@pytest.mark.rule("B-06")
def test_nothing_is_filed_under_whom_nothing_may_be_filed(desk: Desk) -> None:
    excluded = factories.make_contact(desk.account, name="Jonah Whitfield", excluded_from_sync=True)
    foreign = factories.make_contact(factories.make_account())
    row = waits(desk, "unmatched", "lena@mail.example")
    assert "Excluded from sync" in desk.page(f"{PAGE}/{row.id}/contact?q=jonah")
    for contact_id, status in ((excluded.id, 409), (foreign.id, 404), ("no id", 404)):
        answer = desk.client.post(f"{PAGE}/{row.id}/contact", data={"contact_id": str(contact_id)})
        assert answer.status_code == status
    assert db.session.get_one(IntakeMail, row.id).state == "unmatched"


@pytest.mark.rule("B-05")
@pytest.mark.parametrize("state", ["unverified", "unmatched"])
def test_left_out_nothing_of_it_stays(desk: Desk, state: str) -> None:
    row = waits(desk, state, "lena@mail.example")
    assert "Nothing of it is kept here but the fact" in press(desk, row, "drop")
    kept = db.session.get_one(IntakeMail, row.id)
    assert (kept.raw, kept.state, kept.outcome) == (None, "decided", "left_out")
    assert "Nothing waits" in desk.page(PAGE)


@pytest.mark.rule("B-05")
@pytest.mark.parametrize("state", ["unverified", "unmatched"])
def test_a_damaged_one_hides_no_other_and_can_be_left_out(desk: Desk, state: str) -> None:
    contact = factories.make_contact(desk.account)
    waits(desk, "unmatched", "lena@mail.example", subject="Welcome Lena")
    damaged = waits(desk, state, "lena@mail.example", subject="Lost")
    damaged.raw = (damaged.raw or b"")[:-1] + b"?"
    page = desk.page(PAGE)
    assert "A mail that cannot be opened" in page
    assert "Welcome Lena" in page
    assert f"{damaged.id}/drop" in page
    assert page.count(str(damaged.id)) == 1
    assert "cannot be filed" in press(desk, damaged, "file" if state == "unverified" else "create")
    if state == "unmatched":
        assert desk.client.get(f"{PAGE}/{damaged.id}/contact").status_code == 409
        assert "cannot be filed" in press(desk, damaged, "contact", contact_id=str(contact.id))
    assert db.session.get_one(IntakeMail, damaged.id).state == state
    assert "Nothing of it is kept here but the fact" in press(desk, damaged, "drop")
    assert "Welcome Lena" in desk.page(PAGE)


def test_many_are_read_page_by_page(desk: Desk) -> None:
    for number in range(intake.PAGE + 1):
        waits(desk, "unmatched", "lena@mail.example", subject=f"Number{number:02}")
    first = desk.page(PAGE)
    second = desk.page(f"{PAGE}?before={first.partition('before=')[2].partition(chr(34))[0]}")
    assert (first.count("File under an existing"), second.count("File under an existing")) == (intake.PAGE, 1)
    assert "Number00" in second
