"""The list, the record and the form of contacts, as people with different roles see them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from portal.audit import events
from portal.contacts import queries
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, AuditEvent, Contact, Mention
from tests.factories import (
    make_account,
    make_contact,
    make_conversation,
    make_member,
    make_message,
    unknown_id,
)

NEW = "/contacts/new"


@pytest.fixture
def account(app: Any) -> Account:
    return make_account()


@pytest.fixture
def desk(client: Any, account: Account) -> Any:
    """A browser of the front desk."""
    return client.sign_in(make_member(account, "front_desk", email="dee@lumen.example"))


def page(client: Any, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    return str(answer.text)


def count(model: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_an_empty_list_teaches(desk: Any) -> None:
    text = page(desk, "/contacts")
    assert "No contacts yet" in text
    assert "No mailbox ever adds contacts by itself" in text


def test_the_list_searches_names_and_every_address(desk: Any, account: Account) -> None:
    make_contact(account, "jonah@mail.example", "Jonah Whitfield")
    make_contact(account, "p@mail.example", "Priya Raman", alternates=("raman@work.example",))
    make_contact(account, "z@bücher.example", "Zoë Ångström")
    found = {
        "whit": ["Jonah Whitfield"], "WHITFIELD jonah": ["Jonah Whitfield"], "work.example": ["Priya Raman"],
        "zoë": ["Zoë Ångström"], "bücher.example": ["Zoë Ångström"], "z@bücher.example": ["Zoë Ångström"],
        "mail.example": ["Priya Raman", "Jonah Whitfield"], "jonah raman": [], "nobody": [],
    }  # fmt: skip
    for search, names in found.items():
        rows = queries.contact_page(account.id, search=search).rows
        assert [row.name for row in rows] == names, search
    assert "Nobody found" in page(desk, "/contacts?q=nobody")


@pytest.mark.bad_input(42)
@pytest.mark.requirement("LIM-2")
@pytest.mark.parametrize(
    "search", ["%", "_", "\\", "%%%_", "(a+)+$", "\0", "a\0b", "zq " * 5_000, "é" * 200_000, "' OR 1=1"]
)
def test_a_search_is_literal_and_bounded(desk: Any, account: Account, search: str) -> None:
    make_contact(account, "jonah@mail.example", "Jonah Whitfield")
    answer = desk.get("/contacts", query_string={"q": search})
    assert answer.status_code == 200
    assert ("Jonah" in answer.text) is (search == "\0")  # without its NUL it searches for nothing
    make_contact(account, "odd@mail.example", "100% _Odd\\ Name")
    assert ("Odd" in desk.get("/contacts", query_string={"q": search}).text) is (search in ("%", "_", "\\", "\0"))


@pytest.mark.parametrize("sort", ["name", "newest"])
def test_pages_hold_everybody_once_in_order(account: Account, sort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE", 4)
    since = now()
    for number in range(10):
        moment = since + timedelta(seconds=number // 2)  # equal moments and equal names must not be skipped
        make_contact(account, f"p{number}@mail.example", f"Pat {'ABC'[number % 3]}", created_at=moment)
    make_contact(make_account(), "other@mail.example", "Pat A")
    seen, after = [], None
    for _ in range(3):
        found = queries.contact_page(account.id, sort=sort, after=after)
        seen += [row.id for row in found.rows]
        after = found.after
    assert after is None
    assert len(seen) == len(set(seen)) == found.counts["all"] == 10
    shown = [db.session.get_one(Contact, contact_id) for contact_id in seen]
    if sort == "name":
        assert [row.name_key for row in shown] == sorted(row.name_key for row in shown)
    else:
        assert [row.created_at for row in shown] == sorted((row.created_at for row in shown), reverse=True)


def test_filters_count_what_they_list(desk: Any, account: Account) -> None:
    make_member(account, email="ma.ren@gmail.com")
    make_contact(account, "maren@gmail.com", "Maren Holt")
    make_contact(account, "dee@lumen.example", "Dee Desk")
    make_contact(account, "nurse@lumen.example", "Nora Nurse")
    make_contact(account, "out@mail.example", "Otto Out", excluded_from_sync=True)
    nobody = make_contact(account, "gone@mail.example", "Nina None")
    nobody.email = nobody.email_key = ""
    counts = queries.contact_page(account.id).counts
    assert counts == {"all": 5, "colleague": 3, "excluded": 1, "no_address": 1}
    for show, number in counts.items():
        assert len(queries.contact_page(account.id, show=show).rows) == number
    text = page(desk, "/contacts?show=colleague")
    assert "Nora Nurse" in text
    assert "Otto Out" not in text
    text = page(desk, "/contacts")
    assert text.count("CRM user</span>") >= 2
    assert "At the practice" in text
    assert "Excluded from sync" in text


@pytest.mark.requirement("TEN-5")
def test_nothing_of_another_account_is_found_counted_or_paged(desk: Any, account: Account) -> None:
    other = make_account()
    canary = make_contact(other, "canary@mail.example", "Canary Bird", alternates=("bird@work.example",))
    make_contact(account, "jonah@mail.example", "Jonah Whitfield")
    for query in ("", "?q=canary", "?q=bird", "?sort=newest", f"?after={canary.id}", f"?account_id={other.id}"):
        text = page(desk, f"/contacts{query}")
        assert "Canary Bird" not in text
        assert "bird@work.example" not in text
    assert queries.contact_page(account.id, search="canary").counts["all"] == 0


@pytest.mark.bad_input(33)
@pytest.mark.requirement("TEN-1")
def test_ids_that_are_none_or_anothers_are_not_there(desk: Any, account: Account) -> None:
    other = make_contact(make_account(), "canary@mail.example")
    for name in ("0", "-1", str(2**63), "1e3", "1;drop", "%00", str(unknown_id()), str(other.id)):
        for path in (f"/contacts/{name}", f"/contacts/{name}/conversations", f"/contacts/{name}/edit"):
            assert desk.get(path).status_code == 404, path
        assert desk.post(f"/contacts/{name}/edit", data={"first_name": "Eve"}).status_code == 404
    assert desk.get("/contacts?after=1;drop&sort=evil&show=evil").status_code == 200


@pytest.mark.rule("G-11")
def test_the_record_shows_conversations_and_mentions(desk: Any, account: Account) -> None:
    user = make_member(account)
    contact = make_contact(account, "jonah@mail.example", "Jonah Whitfield", alternates=("j@work.example",))
    priya = make_contact(account, "priya@mail.example", "Priya Raman")
    own = make_conversation(contact, user, subject="Filler aftercare")
    make_message(own, "It feels softer today.")
    copied = make_conversation(priya, user, subject="Family visit")
    message = make_message(copied, "Copying Jonah.")
    db.session.add(
        Mention(account_id=account.id, contact_id=contact.id, message_id=message.id, conversation_id=copied.id, field="cc")
    )
    text = page(desk, f"/contacts/{contact.id}")
    assert "Conversations (2)" in text
    assert "j@work.example" in text
    text = page(desk, f"/contacts/{contact.id}/conversations")
    assert "Filler aftercare" in text
    assert "It feels softer today." in text
    assert "In CC of 1 mail" in text
    assert f"/conversations/{copied.id}" in text
    assert "Family visit" in text
    names = list(db.session.scalars(select(AuditEvent.name).order_by(AuditEvent.created_at, AuditEvent.id)))
    assert names.count(events.CONTACT_READ) == 2
    assert names.count(events.CONVERSATIONS_LISTED) == 1


@pytest.mark.rule("A-01")
@pytest.mark.requirement("RBA-2")
@pytest.mark.parametrize("role", ["marketing", "compliance"])
def test_who_may_not_read_conversations_sees_nothing_of_them(client: Any, account: Account, role: str) -> None:
    user = make_member(account)
    contact = make_contact(account, "jonah@mail.example", "Jonah Whitfield", notes="canary-notes")
    conversation = make_conversation(contact, user, subject="canary-subject")
    make_message(conversation, "canary-snippet")
    client.sign_in(make_member(account, role))
    assert client.get(f"/contacts/{contact.id}/conversations").status_code == 404
    for path in ("/contacts", f"/contacts/{contact.id}", "/contacts?q=canary"):
        text = page(client, path)
        for word in ("canary-", "Conversations", "Write mail", ">Edit<", "Add a contact", "/contacts/import"):
            assert word not in text.replace("/contacts?q=canary", "").replace('value="canary"', ""), (path, word)


@pytest.mark.rule("A-01")
@pytest.mark.parametrize(
    ("role", "read", "write"),
    [("owner", 200, 200), ("provider", 200, 200), ("marketing", 200, 403), ("compliance", 200, 403), ("vendor", 404, 403),
     ("auditor", 404, 403)],
)  # fmt: skip
def test_roles_read_and_write_as_declared(client: Any, account: Account, role: str, read: int, write: int) -> None:
    contact = make_contact(account)
    client.sign_in(make_member(account, role))
    assert client.get("/contacts").status_code == read
    assert client.get(f"/contacts/{contact.id}").status_code == read
    assert client.get(NEW).status_code == write
    assert client.get("/contacts/import").status_code == write
    before = count(Contact)
    client.post(NEW, data={"first_name": "Eve", "token": "abc"})
    assert (count(Contact) > before) is (write == 200)


@pytest.mark.requirement("WEB-9")
@pytest.mark.bad_input(34)
def test_a_contact_is_made_of_its_fields_only(desk: Any, account: Account) -> None:
    other = make_account()
    answer = desk.post(
        NEW,
        data={
            "first_name": ["Jonah", "Eve"], "last_name": "Whitfield", "email": "jonah@mail.example", "token": uuid4().hex,
            "alternates": "j@work.example\r\nj2@work.example", "account_id": str(other.id), "id": str(uuid4()),
            "source": "demo", "excluded_from_sync": "y", "role": "owner", "created_by_id": str(uuid4()),
        },
    )  # fmt: skip
    assert answer.status_code == 302
    contact = db.session.scalars(select(Contact)).one()
    assert (contact.account_id, contact.source, contact.excluded_from_sync) == (account.id, "manual", False)
    assert (contact.name, contact.name_key) == ("Jonah Whitfield", "whitfield jonah")
    assert {other.email for other in contact.alternates} == {"j@work.example", "j2@work.example"}
    assert answer.headers["Location"].endswith(f"/contacts/{contact.id}")


@pytest.mark.bad_input(34)
@pytest.mark.bad_input(37)
@pytest.mark.bad_input(38)
@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({}, "First name"),
        ({"first_name": "Bob\r\nBcc: eve@mail.example"}, "First name"),
        ({"last_name": "<script>alert(1)</script>"}, "Last name"),
        ({"email": "a@b"}, "Primary address"),
        ({"email": "a@mail.example, b@mail.example"}, "Primary address"),
        ({"first_name": "Bob", "alternates": "nope"}, "Alternate addresses"),
        ({"first_name": "Bob", "phone": "\r\nx"}, "Phone"),
    ],
)
def test_a_bad_field_is_shown_at_its_field_and_nothing_is_saved(desk: Any, fields: dict[str, str], label: str) -> None:
    answer = desk.post(NEW, data={"token": uuid4().hex} | fields)
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert f">{label}</a>" in answer.text
    assert "<script>alert(1)" not in answer.text
    assert count(Contact) == 0


@pytest.mark.bad_input(35)
@pytest.mark.bad_input(36)
@pytest.mark.requirement("LIM-2")
def test_floods_and_other_content_are_refused(desk: Any) -> None:
    multipart = {"content_type": "multipart/form-data"}
    assert desk.post(NEW, data={"notes": "x" * 10_000_000}).status_code == 413
    assert desk.post(NEW, data={"notes": "x" * 10_000_000}, **multipart).status_code == 413
    parts = {f"f{number}": "x" for number in range(1_000)}
    assert desk.post(NEW, data=parts, **multipart).status_code == 413
    assert desk.post(NEW, data={f"f{number}": "x" for number in range(100_000)}).status_code in (400, 413)
    assert desk.post(NEW, json={"first_name": "Eve"}).status_code == 415
    assert desk.post(NEW, data=b"first_name=%ff%fe", content_type="text/plain").status_code == 415
    assert count(Contact) == 0


@pytest.mark.requirement("WEB-1")
def test_a_form_without_its_token_changes_nothing(desk: Any) -> None:
    assert desk.post(NEW, data={"first_name": "Eve"}, csrf=False).status_code == 400
    assert count(Contact) == 0


@pytest.mark.bad_input(41)
def test_a_second_press_is_the_same_contact(desk: Any, account: Account) -> None:
    account.allow_duplicate_contacts = True
    fields = {"first_name": "Jonah", "email": "jonah@mail.example", "token": uuid4().hex}
    answers = [desk.post(NEW, data=fields) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert count(Contact) == 1


@pytest.mark.bad_input(65)
def test_a_colleague_is_asked_about_and_saved_once_answered(desk: Any, account: Account) -> None:
    fields = {"first_name": "Dee", "email": "dee@lumen.example", "token": uuid4().hex}
    answer = desk.post(NEW, data=fields)
    assert answer.status_code == 409
    assert "belongs to a person with a login here" in answer.text
    assert 'value="crm_user:dee@lumen.example"' in answer.text
    assert count(Contact) == 0
    answer = desk.post(NEW, data=fields | {"accepted": "crm_user:dee@lumen.example"}, follow_redirects=True)
    assert "This is a colleague with a login here" in answer.text
    assert "Write mail" not in answer.text


@pytest.mark.rule("G-10")
def test_a_duplicate_links_to_the_other_contact(desk: Any, account: Account) -> None:
    first = make_contact(account, "jonah@mail.example", "Jonah Whitfield")
    fields = {"first_name": "Joe", "email": "JONAH@mail.example", "token": uuid4().hex}
    answer = desk.post(NEW, data=fields)
    assert answer.status_code == 409
    assert f'href="/contacts/{first.id}">Open Jonah Whitfield' in answer.text
    assert 'type="checkbox" id="accepted-1"' not in answer.text
    account.allow_duplicate_contacts = True
    answer = desk.post(NEW, data=fields | {"accepted": "duplicate:jonah@mail.example"}, follow_redirects=True)
    assert "created first, and not here" in answer.text
    assert "Mail with it is filed here" in page(desk, f"/contacts/{first.id}")


def test_a_change_shows_the_form_as_it_stands_and_saves_it(desk: Any, account: Account) -> None:
    contact = make_contact(account, "old@mail.example", "Jonah Whitfield", alternates=("j@work.example",))
    text = page(desk, f"/contacts/{contact.id}/edit")
    assert 'name="seen" value="new"' in text
    assert "j@work.example</textarea>" in text.replace("\r", "").replace("\n", "")
    fields = {
        "first_name": "Jonah",
        "email": "new@mail.example",
        "alternates": "j@work.example",
        "keep_old": "y",
        "seen": "new",
    }
    address = f"/contacts/{contact.id}/edit"
    assert desk.post(address, data=fields).status_code == 302
    again = desk.post(address, data=fields | {"alternates": "j@work.example\nold@mail.example"})
    assert again.status_code == 302  # the same once more changes nothing
    assert desk.post(address, data=fields | {"first_name": "Eve"}).status_code == 409
    db.session.refresh(contact)
    assert (contact.name, contact.email) == ("Jonah", "new@mail.example")
    assert {other.email for other in contact.alternates} == {"j@work.example", "old@mail.example"}
    changes = db.session.scalars(select(AuditEvent.details).where(AuditEvent.name == events.CONTACT_CHANGED).order_by(AuditEvent.created_at, AuditEvent.id)).all()
    assert [set(change["changed"]) for change in changes] == [{"last_name", "email", "alternates"}]
