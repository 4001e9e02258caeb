"""What compliance reads, prints and exports of signed acknowledgements."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask import Flask

from portal.connections import acknowledgements
from portal.database import db
from portal.models import AcknowledgementText, AuditEvent
from tests.connections.people import make_signature, make_signer
from tests.factories import make_account, make_member


@pytest.mark.rule("H-06")
def test_the_list_says_who_what_when_and_what_it_is_worth(app: Flask, client: Any) -> None:
    account, owen = make_signer("Owen Castellano")
    _, hana = make_signer("Hana Roth", account=account)
    make_signer("Not Here")
    db.session.add(AcknowledgementText(version=9, html="<p>two</p>", sha256=acknowledgements.text_hash("<p>two</p>")))
    db.session.flush()
    make_signature(hana, account)
    client.sign_in(make_member(account, "compliance"))
    page = client.get("/acknowledgements").text
    assert page.count("Owen Castellano") == 2  # the row and its link
    assert "Not Here" not in page
    assert page.count("Outdated, sync goes on for now") == 1
    assert page.count("Replaced by a later one") == 1
    assert page.count(">Current<") == 1
    assert owen.email in page


@pytest.mark.rule("H-06")
@pytest.mark.requirement("ACK-2")
def test_a_record_shows_everything_and_the_text_of_its_own_version(app: Flask, client: Any) -> None:
    account, user = make_signer("Owen Castellano")
    row = make_signature(user, account)
    db.session.add(AcknowledgementText(version=9, html="<p>two</p>", sha256=acknowledgements.text_hash("<p>two</p>")))
    client.sign_in(make_member(account, "auditor"))
    page = client.get(f"/acknowledgements/{row.id}").text
    for value in (row.text_sha256, "127.0.0.1", "test", row.created_at.strftime("%Y-%m-%d %H:%M:%S"), str(row.id)):
        assert value in page
    assert "Internal mail can leak into contact records" in page
    assert page.count("checked disabled") == 6
    assert "does not have the hash" not in page
    assert "A, B, C, D, E and F" in page


def test_a_text_that_lost_its_hash_is_said_so(app: Flask, client: Any) -> None:
    account = make_account()
    user = make_member(account)
    db.session.add(AcknowledgementText(version=7, html="changed", sha256="7" * 64))
    db.session.flush()
    row = make_signature(user, account)
    client.sign_in(make_member(account, "compliance"))
    assert "does not have the hash that was signed" in client.get(f"/acknowledgements/{row.id}").text


@pytest.mark.rule("H-06")
@pytest.mark.bad_input(63)
def test_the_export_has_every_field_and_no_formula(app: Flask, client: Any) -> None:
    account, user = make_signer('=HYPERLINK("https://evil.example")')
    client.sign_in(make_member(account, "compliance"))
    answer = client.get("/acknowledgements/export")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))
    newest = str(acknowledgements.current_text().version)
    assert len(rows) == 1
    assert rows[0]["Person"] == '\'=HYPERLINK("https://evil.example")'
    assert (rows[0]["Login"], rows[0]["Text version"], rows[0]["Risks ticked"]) == (user.email, newest, "A B C D E F")
    event = db.session.query(AuditEvent).filter_by(name="person:acknowledgements:exported").one()
    assert (event.details, event.account_id) == ({"rows": 1}, account.id)


@pytest.mark.rule("H-06")
@pytest.mark.parametrize("path", ["/acknowledgements", "/acknowledgements/export", "/acknowledgements/{}"])
@pytest.mark.parametrize("role", ["provider", "front_desk", "marketing", "vendor"])
def test_roles_without_a_need_find_nothing(app: Flask, client: Any, path: str, role: str) -> None:
    account, user = make_signer()
    row = make_signature(user, account)
    client.sign_in(make_member(account, role))
    assert client.get(path.format(row.id)).status_code == 404


def test_another_accounts_record_is_not_there(app: Flask, client: Any) -> None:
    account, user = make_signer()
    row = make_signature(user, account)
    client.sign_in(make_member(make_account(), "compliance"))
    assert client.get(f"/acknowledgements/{row.id}").status_code == 404


def test_long_lists_have_pages(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.connections import records

    account, user = make_signer()
    for _ in range(3):
        make_signature(user, account)
    seen: list[Any] = []
    before = None
    for _ in range(5):
        page = records.signed_page(account.id, before, limit=2)
        seen += [row.signature.id for row in page.rows]
        before = page.before
        if before is None:
            break
    assert len(seen) == len(set(seen)) == 4
    assert seen == sorted(seen, reverse=True)
