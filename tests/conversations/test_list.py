"""The list of conversations: filters, search, pages, and nothing of other accounts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.conversations import queries
from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent
from tests import factories
from tests.conversations.conftest import Practice

LINK = re.compile(r'href="/conversations/([0-9a-f-]{36})"')


def shown(reader: Any, address: str = "/conversations") -> list[str]:
    """The ids on a page, in order."""
    answer = reader.get(address)
    assert answer.status_code == 200
    return LINK.findall(answer.text)


def test_an_empty_list_teaches(reader: Any, practice: Practice) -> None:
    db.session.delete(practice.conversation)
    page = reader.get("/conversations").text
    assert "No conversations yet" in page
    assert "when a contact writes to your connected mailbox" in page


def test_the_newest_stands_first_with_its_first_words(reader: Any, practice: Practice) -> None:
    factories.make_message(practice.conversation, "It feels softer today.")
    older = factories.make_conversation(
        factories.make_contact(practice.account), practice.user, last_message_at=now() - timedelta(days=1)
    )
    assert shown(reader) == [str(practice.conversation.id), str(older.id)]
    page = reader.get("/conversations").text
    assert "It feels softer today." in page
    assert "Waiting for you" in page


@pytest.mark.requirement("TEN-1")
@pytest.mark.requirement("TEN-5")
def test_nothing_of_another_account_is_listed_found_or_counted(reader: Any, practice: Practice) -> None:
    other = factories.make_account()
    contact = factories.make_contact(other, "canary@mail.example", "Canary Person")
    foreign = factories.make_conversation(contact, factories.make_member(other), subject="CANARY")
    assert shown(reader) == [str(practice.conversation.id)]
    for address in ("/conversations?q=canary", f"/conversations?before={foreign.id}"):
        assert "Canary Person" not in reader.get(address).text
    assert reader.get(f"/conversations/{foreign.id}").status_code == 404


def test_filters(reader: Any, practice: Practice) -> None:
    factories.make_message(practice.conversation)

    def filters_that_show_it() -> set[str]:
        names = ("all", "open", "ended", "mine", "waiting", "rubbish")
        return {name for name in names if shown(reader, f"/conversations?show={name}")}

    assert filters_that_show_it() == {"all", "open", "mine", "waiting", "rubbish"}
    practice.conversation.state = "ended"
    assert filters_that_show_it() == {"all", "ended", "mine", "rubbish"}


@pytest.mark.bad_input(42)
def test_search_is_literal_and_bounded(reader: Any, practice: Practice) -> None:
    found = [str(practice.conversation.id)]
    for text in ("priya", "RAMAN pri", "priya@mail.example", ""):
        assert shown(reader, f"/conversations?q={text}") == found
    for text in ("%25", "_", "%5C", "nobody", "priya%00x", "(a+)%2B$", "x" * 20_000):
        assert shown(reader, f"/conversations?q={text}") == []
    assert "No conversation fits" in reader.get("/conversations?q=nobody").text


@pytest.mark.bad_input(33)
def test_pages_follow_one_another_without_gap_or_repeat(
    reader: Any, practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 2)
    same = now() - timedelta(hours=1)  # a tie is broken by the id
    for _ in range(4):
        factories.make_conversation(practice.contact, practice.user, last_message_at=same)
    seen, address = [], "/conversations"
    for _ in range(3):
        page = reader.get(address).text
        seen += LINK.findall(page)
        if not (following := re.search(r'href="(/conversations\?[^"]*before=[^"]+)"', page)):
            break
        address = following[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 5
    for rubbish in ("0", "-1", "1e3", "1;drop", str(factories.unknown_id())):
        assert len(shown(reader, f"/conversations?before={rubbish}")) == 2


def test_a_mail_that_did_not_leave_shows_in_the_list(reader: Any, practice: Practice) -> None:
    factories.make_message(practice.conversation, direction="outbound", origin="crm", state="unknown")
    assert "Perhaps sent" in reader.get("/conversations").text
    factories.make_message(practice.conversation, direction="outbound", origin="crm", state="failed")
    assert "Not sent" in reader.get("/conversations").text


@pytest.mark.requirement("RBA-2")
def test_roles_without_conversations_see_that_there_is_nothing(client: Any, practice: Practice) -> None:
    for role in ("marketing", "vendor", "auditor", "compliance"):
        client.sign_in(factories.make_member(practice.account, role))
        for address in ("/conversations", f"/conversations/{practice.conversation.id}"):
            assert client.get(address).status_code == 404


@pytest.mark.requirement("AUD-4")
def test_listing_is_an_audit_event(reader: Any, practice: Practice) -> None:
    shown(reader)
    event = db.session.scalars(select(AuditEvent).where(AuditEvent.name == "person:conversations:listed")).one()
    assert (event.actor_id, event.details) == (practice.user.id, {"shown": 1})
