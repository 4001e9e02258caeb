"""A person's BCC address: one each and per account, unguessable, the same until it is replaced, then another at once (B-01)."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.audit import events
from portal.bcc import queries, service
from portal.database import db
from portal.lib.ids import new_id
from portal.models import BccAddress
from tests import factories
from tests.bcc.conftest import Desk

ADDRESS = re.compile(r"u-[a-z2-7]{26}@replies\.demo\.example")


@pytest.mark.rule("B-01")
@pytest.mark.rule("P-01")
def test_everybody_has_one_of_their_own_in_each_account(desk: Desk, app: Flask) -> None:
    other = factories.make_account()
    factories.make_member(other, user=desk.person)
    colleague = factories.make_member(desk.account)
    shown = ADDRESS.findall(desk.page("/profile/email"))
    assert len(set(shown)) == 1
    assert ADDRESS.findall(desk.page("/profile/email/bcc")) == ADDRESS.findall(desk.page("/profile/email/bcc"))
    assert shown[0] in desk.page("/profile/email/bcc")
    theirs: Any = app.test_client().sign_in(colleague)
    elsewhere: Any = app.test_client().sign_in(desk.person, other.id)
    found = {shown[0], *(ADDRESS.findall(client.get("/profile/email").text)[0] for client in (theirs, elsewhere))}
    assert len(found) == 3
    for text in ("maren", "holt", "lumen"):
        assert not any(text in address for address in found)
    assert len(desk.audited(events.BCC_ADDRESS_MADE)) == 2  # made once each, in this account


@pytest.mark.rule("B-01")
def test_two_first_looks_at_once_make_one_address(app: Flask, desk: Desk) -> None:
    own, tokens = (desk.account.id, desk.person.id), list[str]()
    db.session.commit()

    def look() -> None:
        with app.app_context():
            tokens.append(service.address_of(*own).token)
            db.session.commit()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 4
    assert len(set(tokens)) == 1


@pytest.mark.rule("B-01")
def test_replaced_the_old_one_stops_at_once_and_is_kept_from_everybody(desk: Desk) -> None:
    old = service.address_of(desk.account.id, desk.person.id).token
    page = desk.page("/profile/email/bcc/replace")
    assert f"u-{old}@" in page
    assert "never given out again" in page
    assert queries.live_address(desk.account.id, desk.person.id).token == old  # asking changes nothing
    answer = desk.client.post("/profile/email/bcc/replace", follow_redirects=True)
    assert "The one before does not work any more." in answer.text
    assert f"u-{old}@" not in answer.text
    rows = list(db.session.scalars(select(BccAddress).order_by(BccAddress.created_at, BccAddress.id)))
    assert [row.replaced_at is None for row in rows] == [False, True]
    assert rows[0].token == old != rows[1].token
    assert len(desk.audited(events.BCC_ADDRESS_REPLACED)) == 1


@pytest.mark.rule("B-05")
def test_the_owners_addresses_are_sign_in_mailbox_aliases_and_what_was_verified(desk: Desk) -> None:
    account, person = desk.account, desk.person
    connection = factories.make_connection(account, person, "Ma.ren@gmail.com", aliases=["Ma.ren@gmail.com", "front@lumen.example"])
    factories.make_own_address(account, person, "Maren@home.example")
    factories.make_own_address(account, person, "typed@home.example", is_verified=False)
    factories.make_own_address(account, factories.make_member(account), "colleague@home.example")
    factories.make_own_address(factories.make_account(), person, "elsewhere@home.example")
    found = {"maren@lumen.example", "ma.ren@gmail.com", "maren@gmail.com", "front@lumen.example", "maren@home.example"}
    assert queries.owner_keys(account.id, person.id) == found
    connection.disconnected_at = factories.now()
    db.session.flush()
    assert queries.owner_keys(account.id, person.id) == {"maren@lumen.example", "maren@home.example"}
    assert queries.owner_keys(account.id, new_id()) == frozenset()


@pytest.mark.rule("A-01")
@pytest.mark.parametrize("role", ["vendor", "auditor", "marketing", "compliance"])
def test_who_writes_no_mail_to_patients_gets_the_reason_and_no_address(app: Flask, client: Any, role: str) -> None:
    client.sign_in(factories.make_member(factories.make_account(), role))
    page = client.get("/profile/email").text
    assert "Your role does not write mail to patients" in page
    assert ADDRESS.search(page) is None
    assert "/profile/email/bcc" not in page
    assert client.get("/profile/email/bcc").status_code == 403
    assert db.session.scalar(select(BccAddress.id)) is None
