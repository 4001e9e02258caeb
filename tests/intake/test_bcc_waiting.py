"""Mails that wait for the owner of a BCC address: what the list says of them, and what each of the owner's words does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from portal.audit.caller import PORTAL, Caller, set_caller
from portal.contacts.concerns import ContactRefused
from portal.conversations import store
from portal.database import db
from portal.errors import Conflict, NotFound
from portal.intake import bcc
from portal.lib.ids import new_id
from portal.models import Attachment, AuditEvent, Contact, IntakeMail
from tests import factories
from tests.intake.bcc_owner import COLLEAGUE, NEWCOMER, OWNER, PATIENT, SPOUSE, Owner
from tests.intake.test_bcc_filing import with_file


@pytest.fixture
def at_work(owner: Owner) -> Iterator[Owner]:
    """The owner asks, as in a request of theirs."""
    set_caller(Caller(user_id=owner.user.id, account_id=owner.account.id))
    yield owner
    set_caller(PORTAL)


def waiting(owner: Owner, raw: bytes, state: str) -> IntakeMail:
    """A mail that came and waits in this state."""
    row = owner.filed(raw)
    assert row.state == state
    return row


def steps() -> list[str]:
    return [details["step"] for details in db.session.scalars(
        select(AuditEvent.details).where(AuditEvent.name == "person:bcc:decided").order_by(AuditEvent.id)
    )]  # fmt: skip


@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
def test_the_list_of_what_waits(at_work: Owner) -> None:
    owner = at_work
    owner.account.bcc_new_contacts = "ask"
    waiting(owner, owner.mail(is_signed=False, Subject="=?utf-8?Q?Gr=C3=BC=C3=9Fe?="), "unverified")
    waiting(owner, owner.mail(f"Ines <{NEWCOMER}>, desk@lumen.example", Cc=PATIENT), "unmatched")
    newest, oldest = bcc.waiting_mails(owner.account.id, owner.user.id)
    assert (oldest.state, oldest.subject, oldest.creatable) == ("unverified", "Grüße", ())
    assert oldest.sender is not None
    assert (oldest.sender.email, [p.email for p in oldest.to]) == (OWNER, [PATIENT])
    assert (newest.state, [p.email for p in newest.creatable]) == ("unmatched", [NEWCOMER])
    assert [p.name for p in newest.to] == ["Ines", ""]
    assert bcc.waiting_mails(owner.account.id, owner.user.id, before=newest.id) == [oldest]
    assert bcc.waiting_mails(owner.account.id, new_id()) == []
    assert bcc.waiting_mails(factories.make_account().id, owner.user.id) == []


@pytest.mark.rule("B-05")
@pytest.mark.rule("B-03")
def test_on_the_owners_word_it_is_filed_once(at_work: Owner) -> None:
    owner = at_work
    row = waiting(owner, with_file(owner, b"%PDF-1.4 plan"), "unverified")
    bcc.file_on_word(row)
    db.session.commit()
    assert (row.state, row.reason, row.raw, row.authentication) == ("decided", "bcc_logged", None, "word")
    (message,), (file,) = owner.messages(), db.session.scalars(select(Attachment))
    assert store.read(file.account_id, file.id, file.store_key) == b"%PDF-1.4 plan"
    assert (row.message_id, message.direction, owner.tracked()) == (message.id, "outbound", {PATIENT})
    with pytest.raises(Conflict):
        bcc.file_on_word(row)
    assert (len(owner.messages()), steps()) == (1, ["word"])


@pytest.mark.rule("B-05")
@pytest.mark.rule("B-06")
def test_the_owners_word_names_no_contact(at_work: Owner) -> None:
    owner = at_work
    owner.account.bcc_new_contacts = "ask"
    row = waiting(owner, owner.mail(NEWCOMER, is_signed=False), "unverified")
    with pytest.raises(Conflict):
        bcc.file_under(row, owner.contact.id)
    bcc.file_on_word(row)
    assert (row.state, row.raw is not None) == ("unmatched", True)
    assert bcc.create_and_file(row, NEWCOMER).email == NEWCOMER
    assert (row.state, row.reason) == ("decided", "bcc_logged")


@pytest.mark.rule("B-06")
def test_one_press_files_it_under_a_contact(at_work: Owner) -> None:
    owner = at_work
    row = waiting(owner, owner.mail("undisclosed-recipients:;", Cc=SPOUSE), "unmatched")
    anil = factories.make_contact(owner.account, SPOUSE)
    bcc.file_under(row, anil.id)
    db.session.commit()
    assert [c.contact_id for c in owner.conversations()] == [anil.id]
    assert (owner.tracked(), steps()) == ({SPOUSE}, ["filed"])
    with pytest.raises(Conflict):
        bcc.file_under(row, anil.id)


@pytest.mark.rule("B-06")
def test_one_press_creates_a_contact_and_files_it_there(at_work: Owner) -> None:
    owner = at_work
    owner.account.bcc_new_contacts = "ask"
    row = waiting(owner, owner.mail(f"Ines Duarte <{NEWCOMER}>, second@mail.example", Cc="copy@mail.example"), "unmatched")
    for forbidden in ("copy@mail.example", OWNER, "desk@lumen.example", "", "x"):
        with pytest.raises(NotFound):
            bcc.create_and_file(row, forbidden)
    contact = bcc.create_and_file(row, "second@mail.example")
    assert (contact.source, contact.created_by_id) == ("bcc_sync", owner.user.id)
    assert (owner.tracked(), steps()) == ({"second@mail.example"}, ["created"])
    row = waiting(owner, owner.mail(NEWCOMER), "unmatched")
    there_by_now = factories.make_contact(owner.account, NEWCOMER)
    assert bcc.create_and_file(row, NEWCOMER.upper()).id == there_by_now.id


@pytest.mark.rule("B-06")
@pytest.mark.rule("G-07")
def test_what_may_not_be_filed_waits_on(at_work: Owner) -> None:
    owner = at_work
    lena, alias = factories.make_member(owner.account, email=COLLEAGUE), "lena@box.example"
    factories.make_connection(owner.account, lena, aliases=[alias])
    factories.make_contact(owner.account, SPOUSE, alternates=("second@mail.example",))
    row = waiting(owner, owner.mail("second@mail.example"), "unmatched")
    excluded = factories.make_contact(owner.account, NEWCOMER, excluded_from_sync=True)
    for contact in (*(factories.make_contact(owner.account, key) for key in (COLLEAGUE, alias)), excluded):
        with pytest.raises(bcc.CannotFile):
            bcc.file_under(row, contact.id)
    with pytest.raises(NotFound):
        bcc.file_under(row, factories.make_contact(factories.make_account()).id)
    with pytest.raises(ContactRefused):
        bcc.create_and_file(row, "second@mail.example")
    assert (row.state, row.raw is not None, steps(), owner.messages()) == ("unmatched", True, [], [])


@pytest.mark.rule("B-05")
def test_what_the_owner_leaves_out_is_gone(at_work: Owner) -> None:
    owner = at_work
    for raw, state in ((owner.mail(is_signed=False), "unverified"), (owner.mail(""), "unmatched")):
        row = waiting(owner, raw, state)
        bcc.drop(row)
        assert (row.state, row.reason, row.raw) == ("decided", "dropped_by_owner", None)
        with pytest.raises(Conflict):
            bcc.drop(row)
    assert (owner.messages(), owner.tracked(), steps()) == ([], set(), ["dropped", "dropped"])
    assert bcc.waiting_mails(owner.account.id, owner.user.id) == []


@pytest.mark.rule("B-02")
def test_what_came_in_meanwhile_is_not_logged_twice(at_work: Owner) -> None:
    owner = at_work
    row = waiting(owner, owner.mail("", Cc=PATIENT, Message_ID="<both@mail>"), "unmatched")
    met = factories.make_message(
        factories.make_conversation(owner.contact, owner.user), direction="outbound", internet_message_id="<both@mail>",
        people={"from": [OWNER], "cc": [PATIENT]},
    )  # fmt: skip
    bcc.file_under(row, owner.contact.id)
    assert (row.reason, row.message_id, owner.messages()) == ("already_logged", met.id, [])


@pytest.mark.fault(27)
def test_without_a_place_for_its_files_it_waits_on(at_work: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = at_work
    row = waiting(owner, with_file(owner, b"%PDF-1.4 plan"), "unverified")
    row_id: UUID = row.id
    db.session.commit()

    def full(*_: Any) -> str:
        raise store.StoreUnavailable("full")

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(store.StoreUnavailable):
        bcc.file_on_word(row)
    db.session.rollback()
    row = db.session.get_one(IntakeMail, row_id)
    assert (row.state, row.authentication, row.raw is not None) == ("unverified", "unproven", True)
    assert db.session.scalar(select(func.count()).select_from(Contact)) == 1
