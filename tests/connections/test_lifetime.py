"""What happens to a connection later: trouble, reconnect, update, pause, disconnect."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from portal.connections import service, tokens
from portal.connections.queries import live_connection
from portal.database import db
from portal.lib.clock import now
from portal.models import AuditEvent, Connection, Conversation, Grant, Notice
from portal.notices.queries import unread_notices
from portal.rules.reasons import Cause
from tests.connections.consent import asked, consent
from tests.connections.people import MAILBOX, connect, finish, live, make_signature, make_signer, start
from tests.factories import make_account, make_connection, make_contact, make_conversation, make_member, make_message
from tests.services.programs import Sandbox

OTHER = "owen.new@lumen.example"


@pytest.fixture
def connected(app: Flask, client: Any, sandbox: Sandbox) -> tuple[Any, Connection]:
    """A signed-in person with a mailbox connected at the stand-in: who, and the connection."""
    sandbox.add_mailbox(MAILBOX, "Owen", kind="workspace")
    sandbox.add_mailbox(OTHER, "Owen", kind="workspace")
    _, user = make_signer()
    client.sign_in(user)
    connect(client, sandbox)
    found = live(user)
    assert found is not None
    return user, found


def names(connection: Connection) -> list[str]:
    query = db.session.query(AuditEvent.name).filter_by(object_id=connection.id).order_by(AuditEvent.id)
    return [name for (name,) in query]


# Needs attention -----------------------------------------------------------------------------------------------------


@pytest.mark.rule("G-18")
@pytest.mark.fault(21)
@pytest.mark.parametrize("cause", [Cause.REVOKED, Cause.LOGIN_REQUIRED, Cause.PERMISSION_MISSING, Cause.MAILBOX_GONE])
def test_trouble_is_told_once_and_never_silent(app: Flask, cause: Cause) -> None:
    account = make_account()
    user = make_member(account)
    connection = make_connection(account, user, MAILBOX)
    service.needs_attention(connection, cause.value)
    service.needs_attention(connection, cause.value)
    assert (connection.state, connection.cause) == ("needs_attention", cause)
    notices = unread_notices(user.id, account.id)
    assert [cause.sentence_of("google") in notice.text and MAILBOX in notice.text for notice in notices] == [True]
    assert names(connection) == ["portal:connection:needs-attention"]
    service.resolve_attention(connection)
    assert (connection.state, connection.cause, unread_notices(user.id, account.id)) == ("connected", "", [])


def test_another_trouble_replaces_the_notice(app: Flask) -> None:
    account = make_account()
    user = make_member(account)
    connection = make_connection(account, user, MAILBOX)
    service.needs_attention(connection, "revoked")
    service.needs_attention(connection, "login_required")
    assert [Cause.LOGIN_REQUIRED.sentence_of("google") in notice.text for notice in unread_notices(user.id, account.id)] == [True]
    assert db.session.query(Notice).count() == 2


def test_an_ended_connection_changes_no_more(app: Flask) -> None:
    account = make_account()
    connection = make_connection(account, make_member(account), MAILBOX)
    service.disconnect(connection, "user")
    for step in (service.resolve_attention, lambda row: service.pause(row, "paused_by_admin"),
                 lambda row: service.needs_attention(row, "revoked"), lambda row: service.disconnect(row, "admin")):  # fmt: skip
        step(connection)
    assert (connection.state, connection.disconnect_cause) == ("disconnected", "user")
    assert names(connection).count("person:connection:disconnected") == 1


# Reconnect -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("G-20")
@pytest.mark.rule("G-18")
def test_reconnecting_the_same_mailbox_continues_it(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, connection = connected
    since, cursor, row_id = connection.connected_at, connection.cursor, connection.id
    sandbox.call("POST", f"/users/{MAILBOX}/change-password", json={"password": "new-password"})
    service.needs_attention(connection, "revoked")
    sandbox.deliver(b"From: a@b.example\r\nTo: owen@lumen.example\r\nSubject: gap\r\n\r\ngap", MAILBOX)
    location = start(client, "reconnect")
    assert asked(location)["login_hint"] == MAILBOX
    answer = finish(client, consent(sandbox, location, MAILBOX, password="new-password"))
    assert answer.status_code == 303
    found = live(user)
    assert found is not None
    assert (found.id, found.connected_at, found.cursor) == (row_id, since, cursor)  # so the gap is filled from there
    assert (found.state, found.cause) == ("connected", "")
    assert "portal:connection:resolved" in names(found)


@pytest.mark.rule("G-20")
@pytest.mark.provider_fault(5)
@pytest.mark.bad_input(52)
def test_reconnect_with_another_mailbox_changes_nothing(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, connection = connected
    service.needs_attention(connection, "revoked")
    answer = finish(client, consent(sandbox, start(client, "reconnect"), OTHER))
    assert answer.status_code == 400
    assert "You chose another Google account" in answer.text
    found = live(user)
    assert found is not None
    assert (found.mailbox, found.state) == (MAILBOX, "needs_attention")
    assert db.session.query(Grant).count() == 1
    assert [row["mailbox"] for row in sandbox.requests(path="/google/revoke")] == [OTHER]


@pytest.mark.requirement("OAU-5")
@pytest.mark.rule("G-20")
def test_the_same_address_with_another_identity_is_another_mailbox(connected: Any, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Somebody else", sub="999")
    answer = finish(client, consent(sandbox, start(client, "reconnect"), MAILBOX))
    assert "You chose another Google account" in answer.text


@pytest.mark.rule("G-18")
@pytest.mark.rule("P-04")
def test_a_new_consent_heals_every_account_that_shares_it(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, first = connected
    second = make_account()
    make_member(second, user=user)
    other = make_connection(second, user, MAILBOX, grant=first.grant)
    for row in (first, other):
        service.needs_attention(row, "revoked")
    connect(client, sandbox, purpose="reconnect")
    db.session.expire_all()
    assert (first.state, other.state) == ("connected", "connected")


@pytest.mark.rule("G-20")
@pytest.mark.rule("G-03")
def test_disconnect_and_connect_sets_a_new_beginning(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, old = connected
    client.post(f"/connections/{old.id}/disconnect", data={"word": "disconnect"})
    sandbox.deliver(b"From: a@b.example\r\nTo: owen@lumen.example\r\nSubject: between\r\n\r\nx", MAILBOX)
    between = now()
    assert connect(client, sandbox).status_code == 303
    new = live(user)
    assert new is not None
    assert new.id != old.id
    assert new.connected_at > between
    assert int(new.cursor) > int(old.cursor)
    assert tokens.retry_revocations() == 0  # the consent is alive again and must not be revoked
    assert sandbox.requests(path="/google/revoke") == []


# Update --------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("G-16")
@pytest.mark.rule("P-05")
def test_update_swaps_the_mailbox_in_one_step(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, old = connected
    conversation = make_conversation(make_contact(old.account), user, old)
    make_message(conversation)
    assert "keeps working until the new one is authorised" in client.get("/connections/update").text
    location = start(client, "update")
    assert live(user).state == "connected"  # type: ignore[union-attr]
    assert finish(client, consent(sandbox, location, OTHER)).status_code == 303
    new = live(user)
    assert new is not None
    assert (new.mailbox, new.state, new.id != old.id) == (OTHER, "connected", True)
    assert (old.state, old.disconnect_cause) == ("disconnected", "updated")
    assert new.connected_at >= old.disconnected_at
    assert (conversation.state, conversation.ended_cause) == ("ended", "updated")
    assert old.grant.refresh_token is None
    assert tokens.retry_revocations() == 1
    assert [row["mailbox"] for row in sandbox.requests(path="/google/revoke")] == [MAILBOX]
    assert {"person:connection:connected", "person:connection:updated"} <= set(names(new))


@pytest.mark.rule("G-16")
@pytest.mark.rule("P-05")
@pytest.mark.parametrize("how", ["untick", "deny", "taken"])
def test_an_update_that_fails_leaves_the_old_mailbox_working(
    connected: Any, client: Any, sandbox: Sandbox, how: str
) -> None:
    user, old = connected
    if how == "taken":
        make_connection(old.account, make_member(old.account), OTHER)
    choices: dict[str, Any] = {"untick": {"untick": ["send"]}, "deny": {"decision": "deny"}}.get(how, {})
    assert connect(client, sandbox, OTHER, "update", **choices).status_code == 400
    found = live(user)
    assert found is not None
    assert (found.id, found.state, found.grant.refresh_token is None) == (old.id, "connected", False)


@pytest.mark.rule("G-20")
def test_update_with_the_same_mailbox_goes_on(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, old = connected
    since = old.connected_at
    assert connect(client, sandbox, MAILBOX, "update").status_code == 303
    assert live(user).connected_at == since  # type: ignore[union-attr]


def test_an_update_that_was_overtaken_by_a_disconnect_connects_nothing(
    connected: Any, client: Any, sandbox: Sandbox
) -> None:
    user, old = connected
    url = consent(sandbox, start(client, "update"), OTHER)
    service.disconnect(old, "user")
    assert finish(client, url).status_code == 400
    assert live(user) is None


# Disconnect ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("G-17")
@pytest.mark.requirement("OAU-10")
def test_disconnect_says_before_and_after_what_stays(connected: Any, client: Any, sandbox: Sandbox) -> None:
    user, row = connected
    conversation = make_conversation(make_contact(row.account), user, row)
    make_message(conversation)
    place = f"/connections/{row.id}/disconnect"
    before = " ".join(client.get(place).text.split())
    assert "What was synced stays in both places: 1 mail" in before
    assert "https://myaccount.google.com/connections" in before
    wrong = client.post(place, data={"word": "yes"})
    assert (wrong.status_code, live(user) is None) == (400, False)
    assert "Type DISCONNECT to go on" in wrong.text
    answer = client.post(place, data={"word": " disconnect "})
    assert (answer.status_code, answer.location) == (303, place)
    after = " ".join(client.get(place).text.split())
    assert "Nothing of it syncs any more" in after
    assert "1 mail in the contacts’ records" in after
    assert "https://myaccount.google.com/connections" in after
    assert live(user) is None
    found = db.session.get_one(Conversation, conversation.id)
    assert (found.state, found.ended_cause, found.message_count) == ("ended", "disconnected", 1)
    assert "person:connection:disconnected" in names(row)
    assert client.post(place, data={"word": "disconnect"}).status_code == 303  # a second press changes nothing
    assert names(row).count("person:connection:disconnected") == 1


# Others --------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("P-06")
def test_an_admin_pauses_lets_go_on_and_disconnects_and_the_person_is_told(app: Flask, client: Any) -> None:
    account, user = make_signer()
    row = make_connection(account, user, MAILBOX)
    client.sign_in(make_member(account, "owner", name="Ada Admin"))
    client.post(f"/connections/{row.id}/pause", data={"step": "pause"})
    assert (row.state, row.cause) == ("paused", Cause.PAUSED_BY_ADMIN)
    assert "An admin of your practice has paused it." in unread_notices(user.id, account.id)[0].text
    service.needs_attention(row, "revoked")
    assert row.state == "paused"  # what an admin holds stays held
    client.post(f"/connections/{row.id}/pause", data={"step": "resume"})
    assert row.state == "connected"
    assert MAILBOX in client.get("/connections").text
    client.post(f"/connections/{row.id}/disconnect", data={"word": "disconnect"})
    assert (row.state, row.disconnect_cause) == ("disconnected", "admin")
    assert "An admin of your practice has disconnected" in unread_notices(user.id, account.id)[0].text
    assert live_connection(account.id, user.id) is None


@pytest.mark.rule("P-06")
@pytest.mark.parametrize("purpose", ["update", "reconnect"])
def test_an_admins_pause_is_not_got_round_by_another_consent(
    connected: Any, client: Any, sandbox: Sandbox, purpose: str
) -> None:
    user, row = connected
    url = consent(sandbox, start(client, purpose), OTHER if purpose == "update" else MAILBOX)
    service.pause(row, Cause.PAUSED_BY_ADMIN)
    for answer in (finish(client, url), client.post("/connections/google/begin", data={"purpose": purpose})):
        assert answer.status_code in (400, 409)
        assert "An admin of your practice has paused" in answer.text
        assert "Ask them to let it go on" in answer.text
    found = live(user)
    assert found is not None
    assert (found.id, found.state, found.cause) == (row.id, "paused", Cause.PAUSED_BY_ADMIN)
    assert found.grant.refresh_token is not None


@pytest.mark.rule("P-06")
def test_an_admin_cannot_end_what_is_not_an_admins_pause(app: Flask, client: Any) -> None:
    account, user = make_signer()
    row = make_connection(account, user, MAILBOX, state="needs_attention", cause="revoked")
    client.sign_in(make_member(account, "owner"))
    client.post(f"/connections/{row.id}/pause", data={"step": "resume"})
    assert row.state == "needs_attention"


@pytest.mark.rule("P-03")
@pytest.mark.parametrize(
    ("role", "step", "status"),
    [
        ("provider", "disconnect", 404), ("compliance", "disconnect", 404), ("auditor", "disconnect", 404),
        ("provider", "pause", 403), ("compliance", "pause", 403), ("auditor", "pause", 403),
    ],
)  # fmt: skip
def test_nobody_else_touches_a_colleagues_connection(app: Flask, client: Any, role: str, step: str, status: int) -> None:
    account, user = make_signer()
    row = make_connection(account, user, MAILBOX)
    client.sign_in(make_member(account, role))
    answer = client.post(f"/connections/{row.id}/{step}", data={"word": "disconnect", "step": "pause"})
    assert (answer.status_code, row.state) == (status, "connected")


@pytest.mark.rule("P-03")
@pytest.mark.bad_input(33)
@pytest.mark.parametrize("step", ["disconnect", "pause"])
def test_another_accounts_connection_is_not_there(app: Flask, client: Any, step: str) -> None:
    elsewhere, owner = make_signer()
    row = make_connection(elsewhere, owner, MAILBOX)
    client.sign_in(make_member(make_account(), "owner"))
    assert client.post(f"/connections/{row.id}/{step}", data={"word": "disconnect"}).status_code == 404
    assert client.get(f"/connections/{row.id}/disconnect").status_code == 404


@pytest.mark.rule("P-04")
def test_the_same_person_in_two_accounts_ends_one_and_keeps_the_other(app: Flask, client: Any) -> None:
    first, user = make_signer()
    second = make_account()
    make_member(second, user=user)
    make_signature(user, second)
    one = make_connection(first, user, MAILBOX)
    two = make_connection(second, user, MAILBOX, grant=one.grant)
    client.sign_in(user, first.id)
    client.post(f"/connections/{one.id}/disconnect", data={"word": "disconnect"})
    assert (one.state, two.state) == ("disconnected", "connected")


@pytest.mark.rule("G-18")
def test_the_report_shows_admins_what_needs_attention(app: Flask, client: Any) -> None:
    account, user = make_signer()
    row = make_connection(account, user, MAILBOX)
    service.needs_attention(row, "revoked")
    client.sign_in(make_member(account, "owner"))
    page = client.get("/connections").text
    assert "Needs attention" in page
    assert "Google no longer accepts the access" in page
    client.sign_in(make_member(account, "provider"))
    assert client.get("/connections").status_code == 404
