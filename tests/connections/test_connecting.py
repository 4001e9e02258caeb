"""A user connects Gmail at the real stand-in: the way there, the way back, and what stands afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, Connection, Grant, OAuthAttempt
from tests.connections.consent import asked, consent
from tests.connections.people import MAILBOX, connect, finish, live, make_signature, make_signer, start
from tests.factories import make_account, make_member
from tests.services.programs import Sandbox

TOKEN = "/google/token"


@pytest.mark.rule("G-01")
@pytest.mark.rule("G-03")
@pytest.mark.rule("P-04")
@pytest.mark.requirement("OAU-6")
def test_a_whole_consent_connects_from_this_moment_on(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen", kind="workspace", aliases=["desk@lumen.example"])
    sandbox.deliver(b"From: a@b.example\r\nTo: owen@lumen.example\r\nSubject: old\r\n\r\nold", MAILBOX)
    account, user = make_signer()
    client.sign_in(user)
    before = now()
    answer = connect(client, sandbox)
    assert (answer.status_code, answer.location) == (303, "/profile/email")
    row = live(user)
    assert row is not None
    assert (row.account_id, row.mailbox, row.state, row.is_consumer) == (account.id, MAILBOX, "connected", False)
    assert row.connected_at >= before
    assert row.cursor.isdigit()
    assert set(row.aliases) == {MAILBOX, "desk@lumen.example"}
    assert [event.name for event in db.session.query(AuditEvent).filter_by(actor_id=user.id).order_by("id")] == [
        "person:connection:started", "person:connection:connected",
    ]  # fmt: skip


@pytest.mark.requirement("OAU-2")
@pytest.mark.requirement("OAU-4")
@pytest.mark.requirement("OAU-6")
@pytest.mark.bad_input(44)
def test_what_is_asked_of_google(app: Flask, client: Any, sandbox: Sandbox) -> None:
    _, user = make_signer()
    client.sign_in(user)
    answer = client.post(
        "/connections/google/begin", data={"purpose": "connect"}, headers={"X-Forwarded-Host": "evil.example"}
    )
    given = asked(answer.location)
    assert given["scope"] == (
        "openid email https://www.googleapis.com/auth/gmail.readonly https://www.googleapis.com/auth/gmail.send"
    )
    settings = app.extensions["settings"]
    assert given["redirect_uri"] == f"{settings.base_url}/connections/google/callback"
    assert (given["access_type"], given["prompt"], given["code_challenge_method"]) == ("offline", "consent", "S256")
    assert len(given["state"]) >= 43
    assert len(given["nonce"]) >= 43
    assert not {"include_granted_scopes", "login_hint", "client_secret", "code_verifier"} & set(given)
    stored = db.session.query(OAuthAttempt).one()
    assert given["state"] not in (stored.state_hash, stored.nonce)
    assert (stored.expires_at - stored.created_at).total_seconds() <= 600.5


@pytest.mark.rule("P-03")
@pytest.mark.requirement("ACK-4")
def test_whoever_is_named_in_the_request_it_is_the_signed_in_person_who_connects(
    app: Flask, client: Any, sandbox: Sandbox
) -> None:
    account, other = make_signer("Hana Roth")
    admin = make_member(account, "owner", name="Ada Admin")
    client.sign_in(admin)
    extra = {"purpose": "connect", "user_id": str(other.id), "account_id": str(account.id)}
    answer = client.post("/connections/google/begin", data=extra, query_string=extra)
    assert answer.status_code == 403  # the admin has signed nothing; the other's signature does not count
    assert db.session.query(OAuthAttempt).count() == 0


@pytest.mark.rule("P-04")
def test_the_same_mailbox_in_two_accounts_shares_one_grant(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    first, user = make_signer()
    second = make_account()
    make_member(second, user=user)
    make_signature(user, second)
    client.sign_in(user, first.id)
    assert connect(client, sandbox).status_code == 303
    client.sign_in(user, second.id)
    assert connect(client, sandbox).status_code == 303
    rows = db.session.query(Connection).filter_by(user_id=user.id).all()
    assert {row.account_id for row in rows} == {first.id, second.id}
    assert db.session.query(Grant).count() == 1


@pytest.mark.rule("G-01")
@pytest.mark.requirement("OAU-6")
@pytest.mark.provider_fault(3)
@pytest.mark.parametrize(
    ("untick", "boxes"),
    [
        (["send"], ["Send email on your behalf"]),
        (["readonly"], ["View your email messages and settings"]),
        (["readonly", "send"], ["View your email messages and settings", "Send email on your behalf"]),
    ],
)
def test_an_unticked_box_connects_nothing_and_is_named(
    app: Flask, client: Any, sandbox: Sandbox, untick: list[str], boxes: list[str]
) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    answer = connect(client, sandbox, untick=untick)
    assert answer.status_code == 400
    assert "Insufficient permission" in answer.text
    assert all(box in answer.text for box in boxes)
    assert "tick all boxes" in answer.text
    assert "Connect again" in answer.text
    assert (live(user), db.session.query(Grant).count()) == (None, 0)
    assert len(sandbox.requests(path="/google/revoke")) == 1
    assert _refusals() == ["insufficient_permission"]


def _refusals() -> list[str]:
    query = db.session.query(AuditEvent).filter_by(name="person:connection:refused").order_by(AuditEvent.id)
    assert all(event.outcome == "refused" for event in query)
    return [event.details["cause"] for event in query]


@pytest.mark.rule("G-01")
@pytest.mark.provider_fault(3)
def test_a_refused_consent_is_not_revoked_while_another_account_lives_on_it(
    app: Flask, client: Any, sandbox: Sandbox
) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    first, user = make_signer()
    client.sign_in(user)
    connect(client, sandbox)
    second = make_account()
    make_member(second, user=user)
    make_signature(user, second)
    client.sign_in(user, second.id)
    assert connect(client, sandbox, untick=["send"]).status_code == 400
    assert sandbox.requests(path="/google/revoke") == []
    assert live(user).account_id == first.id  # type: ignore[union-attr]


@pytest.mark.rule("P-05")
@pytest.mark.bad_input(52)
def test_two_users_of_an_account_cannot_connect_the_same_mailbox(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    account, first = make_signer()
    client.sign_in(first)
    connect(client, sandbox)
    _, second = make_signer("Hana Roth", account=account)
    client.sign_in(second)
    answer = connect(client, sandbox)
    assert answer.status_code == 400
    assert "A colleague has connected this mailbox" in answer.text
    assert live(second) is None
    assert sandbox.requests(path="/google/revoke") == []  # it would have ended the colleague's


@pytest.mark.rule("P-05")
def test_a_second_mailbox_is_not_connected_beside_the_first(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    location = start(client)
    connect(client, sandbox)
    answer = client.post("/connections/google/begin", data={"purpose": "connect"})
    assert answer.status_code == 409
    assert "Update" in answer.text
    late = finish(client, consent(sandbox, location, MAILBOX))
    assert late.status_code == 400
    assert _refusals() == ["already_connected"]


@pytest.mark.rule("P-06")
@pytest.mark.parametrize(
    ("policy", "kind", "status", "words"),
    [
        ("allowed", "consumer", 303, ""),
        ("warned", "consumer", 303, "no BAA covers it"),
        ("forbidden", "consumer", 400, "does not allow personal Gmail"),
        ("forbidden", "workspace", 303, ""),
    ],
)
def test_the_accounts_word_on_personal_mailboxes(
    app: Flask, client: Any, sandbox: Sandbox, policy: str, kind: str, status: int, words: str
) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen", kind=kind)
    account, user = make_signer()
    account.consumer_mailboxes = policy
    client.sign_in(user)
    answer = connect(client, sandbox)
    assert answer.status_code == status
    page = answer.text if status == 400 else " ".join(text for _, text in _flashes(client))
    assert words in page
    found = live(user)
    assert (found is None) == (status == 400)
    assert found is None or found.is_consumer == (kind == "consumer")


def _flashes(client: Any) -> list[tuple[str, str]]:
    with client.session_transaction() as cookie:
        return list(cookie.get("_flashes", []))


@pytest.mark.rule("P-06")
@pytest.mark.parametrize("roles", ["", "owner"])
def test_a_role_that_may_not_connect_is_refused_at_the_start_and_in_the_callback(
    app: Flask, client: Any, sandbox: Sandbox, roles: str
) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    account, user = make_signer()
    client.sign_in(user)
    url = consent(sandbox, start(client), MAILBOX)
    account.connect_roles = roles
    assert finish(client, url).status_code == 403
    assert client.post("/connections/google/begin", data={"purpose": "connect"}).status_code == 403
    assert sandbox.requests(path=TOKEN) == []
    assert live(user) is None


@pytest.mark.requirement("OAU-7")
@pytest.mark.requirement("DAT-1")
def test_tokens_are_sealed_and_bound_to_their_row(app: Flask, client: Any, sandbox: Sandbox) -> None:
    from portal.lib.crypto import SealError
    from portal.sealing import open_text

    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    connect(client, sandbox)
    grant = db.session.query(Grant).one()
    place = f"google:{grant.subject}"
    token = open_text(grant.refresh_token, "grant.refresh_token", place, grant.id)
    assert token.startswith("1//")
    assert token.encode() not in (grant.refresh_token or b"")
    for kind, owner, row in [
        ("grant.access_token", place, grant.id),
        ("grant.refresh_token", "google:other", grant.id),
        ("grant.refresh_token", place, user.id),
    ]:
        with pytest.raises(SealError):
            open_text(grant.refresh_token, kind, owner, row)
