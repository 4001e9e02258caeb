"""The rules of an account: who may see and change them, what is refused, what the audit trail keeps."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from portal.admin.forms import zones
from portal.audit import events
from portal.database import db
from portal.models import Account, AuditEvent
from tests.factories import make_account, make_member

PAGE = "/settings/account"
RULES = {
    "allow_duplicate_contacts": "y",
    "connect_roles": ["provider"],
    "consumer_mailboxes": "forbidden",
    "bcc_new_contacts": "ask",
    "acknowledgement_grace_days": "7",
    "send_cap": "300",
    "send_cap_workspace": "1500",
    "send_cap_microsoft": "400",
    "time_zone": "Europe/Berlin",
}


@pytest.fixture
def account(app: Any) -> Account:
    return make_account()


def changes() -> list[dict[str, Any]]:
    return list(db.session.scalars(select(AuditEvent.details).where(AuditEvent.name == events.POLICY_CHANGED).order_by(AuditEvent.created_at, AuditEvent.id)))


@pytest.mark.rule("P-06")
@pytest.mark.rule("H-06")
@pytest.mark.rule("B-06")
def test_an_owner_changes_the_rules_and_each_change_is_audited(client: Any, account: Account) -> None:
    other = make_account()
    client.sign_in(make_member(account, "owner"))
    text = client.get(PAGE).text
    assert 'value="500"' in text
    assert '<option selected value="America/Chicago">' in text
    assert client.post(PAGE, data=RULES | {"account_id": str(other.id), "slug": "evil"}).status_code == 302
    db.session.refresh(account)
    assert (account.allow_duplicate_contacts, account.connect_roles, account.consumer_mailboxes) == (
        True,
        "provider",
        "forbidden",
    )
    assert (account.acknowledgement_grace_days, account.send_cap, account.time_zone) == (7, 300, "Europe/Berlin")
    assert (other.send_cap, account.slug) == (500, account.slug)
    [event] = changes()
    assert event["changed"]["send_cap"] == [500, 300]
    assert (account.send_cap_workspace, account.send_cap_microsoft) == (1500, 400)  # G-14
    assert (account.bcc_new_contacts, event["changed"]["bcc_new_contacts"]) == ("ask", ["create", "ask"])  # B-06
    assert event["changed"]["connect_roles"] == ["owner,provider,front_desk", "provider"]
    assert "Central European" in client.get(PAGE).text or "Berlin" in client.get(PAGE).text
    assert client.post(PAGE, data=RULES).status_code == 302
    assert len(changes()) == 1  # the same once more is no change
    del RULES["connect_roles"]
    client.post(PAGE, data=RULES)
    db.session.refresh(account)
    assert account.connect_roles == ""  # nobody
    RULES["connect_roles"] = ["provider"]


@pytest.mark.bad_input(34)
@pytest.mark.bad_input(43)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("send_cap", "0"), ("send_cap", "2001"), ("send_cap", "many"), ("send_cap", ""), ("send_cap", "9" * 5_000),
        ("send_cap_workspace", "2001"), ("send_cap_microsoft", "0"),
        ("acknowledgement_grace_days", "-1"), ("acknowledgement_grace_days", "61"),
        ("connect_roles", "vendor"), ("connect_roles", "marketing"), ("consumer_mailboxes", "maybe"), ("bcc_new_contacts", "both"),
        ("time_zone", "Mars/Olympus"), ("time_zone", "../../etc/passwd"), ("time_zone", ""),
    ],
)  # fmt: skip
def test_a_rule_out_of_its_bounds_changes_nothing(client: Any, account: Account, field: str, value: str) -> None:
    client.sign_in(make_member(account, "owner"))
    answer = client.post(PAGE, data=RULES | {field: value})
    assert answer.status_code == 400
    assert "to be mended" in answer.text
    db.session.refresh(account)
    assert account.send_cap == 500
    assert changes() == []


@pytest.mark.rule("A-01")
@pytest.mark.parametrize(
    ("role", "read", "write"),
    [("compliance", 200, 403), ("provider", 404, 403), ("front_desk", 404, 403), ("marketing", 404, 403), ("vendor", 404, 403),
     ("auditor", 404, 403)],
)  # fmt: skip
def test_who_may_see_and_change_the_rules(client: Any, account: Account, role: str, read: int, write: int) -> None:
    client.sign_in(make_member(account, role))
    answer = client.get(PAGE)
    assert answer.status_code == read
    assert "Save rules" not in answer.text
    assert client.post(PAGE, data=RULES).status_code == write
    db.session.refresh(account)
    assert account.send_cap == 500


def test_the_zones_are_places_of_the_world() -> None:
    names = {zone.value for zone in zones()}
    assert {"America/Chicago", "Europe/Berlin", "Asia/Tokyo", "UTC"} <= names
    assert "posixrules" not in names
