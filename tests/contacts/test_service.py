"""One address, one contact: duplicates, colleagues, alternates, and what happens when two press at once."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal.audit import events
from portal.audit.caller import Caller, set_caller
from portal.contacts.concerns import ContactRefused
from portal.contacts.details import ContactDetails
from portal.contacts.service import EVERYTHING, create_contact, update_contact, version_of
from portal.conversations.queries import contacts_by_key
from portal.database import db, transaction
from portal.errors import Conflict, NotFound
from portal.models import Account, AuditEvent, Contact
from portal.models.user import User
from tests.factories import make_account, make_connection, make_contact, make_member


def details(email: str = "", name: str = "Jonah", **values: Any) -> ContactDetails:
    return ContactDetails.clean(first_name=name, email=email, **values)


def audited(name: str) -> list[dict[str, Any]]:
    query = select(AuditEvent.details).where(AuditEvent.name == name).order_by(AuditEvent.created_at, AuditEvent.id)
    return list(db.session.scalars(query))


@pytest.fixture
def account(app: Flask) -> Account:
    return make_account()


@pytest.fixture
def person(account: Account) -> User:
    user = make_member(account, "front_desk", email="desk@lumen.example", name="Dee Desk")
    set_caller(Caller(user_id=user.id, account_id=account.id))
    return user


def refusal(account: Account, wanted: ContactDetails, **values: Any) -> ContactRefused:
    with pytest.raises(ContactRefused) as caught:
        create_contact(account.id, wanted, **values)
    return caught.value


@pytest.mark.rule("G-10")
@pytest.mark.bad_input(65)
def test_a_second_contact_with_an_address_is_refused_whatever_its_case(account: Account) -> None:
    first = create_contact(account.id, details("jonah@mail.example"))
    refused = refusal(account, details("JONAH@Mail.example", "Joe"), accepted=EVERYTHING)
    assert [(concern.contact_id, concern.is_refusal) for concern in refused.concerns] == [(first.id, True)]
    assert create_contact(make_account().id, details("jonah@mail.example")).id != first.id
    assert create_contact(account.id, details("jonah+kids@mail.example")).id != first.id  # another address


@pytest.mark.rule("G-10")
def test_where_duplicates_are_allowed_one_is_asked_and_mail_finds_the_first(account: Account) -> None:
    account.allow_duplicate_contacts = True
    first = create_contact(account.id, details("family@mail.example", "Ann"))
    asked = refusal(account, details("family@mail.example", "Ben")).concerns[0]
    assert not asked.is_refusal
    assert refusal(account, details("family@mail.example"), accepted=["duplicate:other@mail.example"])
    second = create_contact(account.id, details("family@mail.example", "Ben"), accepted=[asked.token])
    assert second.id != first.id
    assert contacts_by_key(account.id, ["family@mail.example"])["family@mail.example"].id == first.id


@pytest.mark.rule("G-08")
@pytest.mark.bad_input(65)
def test_an_alternate_that_is_anothers_primary_is_refused_and_never_matches(account: Account) -> None:
    make_contact(account, "priya@mail.example", "Priya Raman")
    refused = refusal(account, details("jonah@mail.example", alternates=["Priya@mail.example"]))
    assert "is the primary one of Priya Raman" in refused.message
    made = create_contact(account.id, details("jonah@mail.example", alternates=["j@work.example"]))
    found = contacts_by_key(account.id, ["j@work.example", "jonah@mail.example"])
    assert {key: contact.id for key, contact in found.items()} == {"jonah@mail.example": made.id}


@pytest.mark.rule("G-08")
def test_a_primary_that_is_anothers_alternate_is_asked(account: Account) -> None:
    make_contact(account, "priya@mail.example", alternates=("shared@mail.example",))
    asked = refusal(account, details("shared@mail.example")).concerns
    assert [concern.kind for concern in asked] == ["others_alternate"]
    assert create_contact(account.id, details("shared@mail.example"), accepted=[asked[0].token])


@pytest.mark.rule("G-07")
@pytest.mark.bad_input(65)
@pytest.mark.parametrize(
    ("member", "state", "address", "kind"),
    [
        ("maren@lumen.example", "active", "Maren@Lumen.example", "crm_user"),
        ("maren@lumen.example", "deactivated", "maren@lumen.example", "crm_user"),
        ("ma.ren@gmail.com", "active", "maren+crm@googlemail.com", "crm_user"),
        ("maren@lumen.example", "active", "nurse@lumen.example", "own_domain"),
        ("maren@gmail.com", "active", "nurse@gmail.com", None),
    ],
)
def test_a_colleague_among_the_contacts_is_asked(
    account: Account, member: str, state: str, address: str, kind: str | None
) -> None:
    make_member(account, email=member, state=state)
    make_member(make_account(), email="elsewhere@other.example")
    if kind is None:
        assert create_contact(account.id, details(address))
        return
    asked = refusal(account, details(address)).concerns
    assert [(concern.kind, concern.is_refusal) for concern in asked] == [(kind, False)]
    assert create_contact(account.id, details(address), accepted=[asked[0].token])
    assert create_contact(account.id, details("nurse@other.example"))


@pytest.mark.rule("G-07")
def test_a_colleague_is_told_by_an_alias_and_their_domain_by_their_login(account: Account) -> None:
    other = make_member(account, email="maren@lumen.example")
    make_connection(account, other, "maren@box.example", aliases=["maren@box.example", "hello@box.example"])
    asked = refusal(account, details("Hello@box.example")).concerns
    assert [concern.kind for concern in asked] == ["crm_user"]
    assert create_contact(account.id, details("nurse@box.example"))  # who else is there is no colleague


def test_a_change_asks_only_about_new_addresses_and_audits_field_names(account: Account, person: User) -> None:
    contact = make_contact(account, "desk@lumen.example", "Dee Desk")
    update_contact(contact.id, details("desk@lumen.example", "Dee", last_name="Desk", phone="+1 312 555 0100"))
    assert audited(events.CONTACT_CHANGED) == [{"changed": ["phone"]}]
    update_contact(contact.id, details("desk@lumen.example", "Dee", last_name="Desk", phone="+1 312 555 0100"))
    assert len(audited(events.CONTACT_CHANGED)) == 1


def test_a_new_primary_address_keeps_the_old_one_when_asked(account: Account, person: User) -> None:
    contact = make_contact(account, "old@mail.example", "Jonah", alternates=("new@mail.example", "x@mail.example"))
    wanted = details("new@mail.example", alternates=["new@mail.example", "x@mail.example"])
    changed = update_contact(contact.id, wanted, keep_old=True)
    assert changed.email_key == "new@mail.example"
    assert {other.email for other in changed.alternates} == {"x@mail.example", "old@mail.example"}
    update_contact(contact.id, details("third@mail.example"), keep_old=False)
    assert changed.alternates == []


def test_a_change_by_somebody_else_in_between_is_not_overwritten(account: Account, person: User) -> None:
    contact = make_contact(account, "jonah@mail.example", "Jonah")
    seen = version_of(contact)
    update_contact(contact.id, details("jonah@mail.example", notes="Allergic to lidocaine"), seen=seen)
    with pytest.raises(Conflict):
        update_contact(contact.id, details("jonah@mail.example", notes="Prefers mornings"), seen=seen)
    update_contact(contact.id, details("jonah@mail.example", notes="Allergic to lidocaine"), seen=seen)
    assert contact.notes == "Allergic to lidocaine"


@pytest.mark.requirement("TEN-1")
def test_a_contact_of_another_account_is_not_there(account: Account, person: User) -> None:
    other = make_contact(make_account(), "jonah@mail.example")
    with pytest.raises(NotFound):
        update_contact(other.id, details("x@mail.example"))


@pytest.mark.bad_input(41)
@pytest.mark.parametrize("token", ["onepress", ""])
def test_two_presses_at_once_make_one_contact(app: Flask, account: Account, token: str) -> None:
    db.session.commit()
    account_id, outcomes = account.id, []
    db.session.remove()
    gate = threading.Barrier(4)

    def press() -> None:
        with app.app_context():
            gate.wait()
            try:
                with transaction():
                    outcomes.append(create_contact(account_id, details("jonah@mail.example"), token=token).id)
            except ContactRefused:
                outcomes.append(None)

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {outcome for outcome in outcomes if isinstance(outcome, UUID)}
    assert len(outcomes) == 4
    assert len(ids) == 1
    assert (None in outcomes) is (token == "")
    assert db.session.scalar(select(func.count()).select_from(Contact)) == 1
    assert len(audited(events.CONTACT_CREATED)) == 1
