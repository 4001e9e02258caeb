"""Tokens against the real stand-in: one refresh however many ask, errors sorted, revocation that does not give up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from portal.connections import service, tokens
from portal.connections.tokens import access_token
from portal.database import db
from portal.lib.clock import now
from portal.lib.http import Http
from portal.lib.ids import new_id
from portal.models import AuditEvent, Connection, Grant
from portal.providers.errors import AuthorizationLost, MissingPermission, OperatorFault, Temporary
from portal.sealing import seal_text
from tests.connections.people import MAILBOX, connect, make_signer
from tests.factories import make_account, make_connection, make_grant, make_member
from tests.services.programs import Sandbox

TOKEN, REVOKE = "/google/token", "/google/revoke"


def make_live_grant(sandbox: Sandbox, mailbox: str = MAILBOX) -> Grant:
    """A grant whose refresh token the stand-in knows, in a connection."""
    sandbox.add_mailbox(mailbox, "Owen", sub="sub-1")
    given = sandbox.call("POST", f"/users/{mailbox}/grant", json={})
    account = make_account()
    user = make_member(account)
    grant = make_grant(user, mailbox, refresh_token=given["refresh_token"], subject="sub-1")
    make_connection(account, user, mailbox, grant=grant)
    db.session.commit()
    return grant


def ask(grant_id: UUID, refused: str | None = None) -> str:
    """One caller with its own HTTP pool."""

    async def go() -> str:
        async with Http(max_connections=2) as http:
            return await access_token(grant_id, http, refused=refused)

    return asyncio.run(go())


def expire(grant: Grant) -> None:
    grant.access_expires_at = now() + timedelta(minutes=4)
    db.session.commit()


@pytest.fixture
def grant(app: Flask, sandbox: Sandbox) -> Grant:
    return make_live_grant(sandbox)


@pytest.mark.requirement("OAU-9")
@pytest.mark.fault(17)
def test_twenty_callers_make_one_refresh(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant_id, together = grant.id, Barrier(20)
    sandbox.fault(method="POST", path=TOKEN, delay_ms=300)
    db.session.commit()  # SQLite has one writer

    def one() -> str:
        with app.app_context():
            together.wait(20)
            return ask(grant_id)

    with ThreadPoolExecutor(20) as pool:
        found = [job.result() for job in [pool.submit(one) for _ in range(20)]]
    assert len(set(found)) == 1
    assert len(sandbox.requests(path=TOKEN)) == 1


def test_callers_in_one_loop_make_one_refresh(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant_id = grant.id

    async def all_at_once() -> list[str]:
        async with Http() as http:
            return await asyncio.gather(*(access_token(grant_id, http) for _ in range(20)))

    assert len(set(asyncio.run(all_at_once()))) == 1
    assert len(sandbox.requests(path=TOKEN)) == 1


def test_a_token_is_kept_until_five_minutes_before_its_end(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    first = ask(grant.id)
    assert ask(grant.id) == first
    expire(grant)
    assert ask(grant.id) != first
    assert len(sandbox.requests(path=TOKEN)) == 2


@pytest.mark.provider_fault(12)
def test_a_refused_token_is_replaced_once_for_all(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    first = ask(grant.id)
    second = ask(grant.id, refused=first)
    assert second != first
    assert ask(grant.id, refused=first) == second  # another caller was refused the same one
    assert len(sandbox.requests(path=TOKEN)) == 2


@pytest.mark.provider_fault(6)
@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, "revoked"),
        ({"error": "invalid_grant", "error_subtype": "invalid_rapt"}, "login_required"),
        ({"error": "invalid_grant", "error_subtype": "rapt_required"}, "login_required"),
        ({"error": "admin_policy_enforced"}, "refused_by_provider_admin"),
    ],
    ids=str,
)
def test_a_dead_grant_says_why(app: Flask, sandbox: Sandbox, grant: Grant, body: dict[str, str], cause: str) -> None:
    sandbox.fault(method="POST", path=TOKEN, status=400, body=body)
    with pytest.raises(AuthorizationLost) as lost:
        ask(grant.id)
    assert lost.value.cause == cause


@pytest.mark.rule("G-18")
@pytest.mark.provider_fault(6)
@pytest.mark.fault(21)
@pytest.mark.parametrize("way", ["revoke", "change-password"])
def test_a_changed_password_and_a_revoked_grant_are_told(app: Flask, sandbox: Sandbox, grant: Grant, way: str) -> None:
    sandbox.call("POST", f"/users/{MAILBOX}/{way}")
    with pytest.raises(AuthorizationLost) as lost:
        ask(grant.id)
    assert lost.value.cause == "revoked"


@pytest.mark.provider_fault(6)
def test_a_dead_grant_makes_no_storm(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant_id = grant.id
    sandbox.fault(method="POST", path=TOKEN, status=400, body={"error": "invalid_grant"}, delay_ms=100)

    async def all_at_once() -> list[Any]:
        async with Http() as http:
            return await asyncio.gather(*(access_token(grant_id, http) for _ in range(20)), return_exceptions=True)

    kinds = [type(error) for error in asyncio.run(all_at_once())]
    assert (kinds.count(AuthorizationLost), kinds.count(Temporary)) == (1, 19)
    assert len(sandbox.requests(path=TOKEN)) == 1


@pytest.mark.provider_fault(7)
@pytest.mark.fault(12)
@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "body": {"error": "internal_failure"}},
        {"status": 503, "body": "<html>busy</html>"},
        {"status": 400, "body": "<html>busy</html>"},
        {"status": 400, "body": {"error": "temporarily_unavailable"}},
        {"status": 429, "body": {"error": "rate_limit_exceeded"}},
        {"status": 200, "body": "<html>login</html>"},
        {"status": 200, "body": {}},
        {"status": 200, "body": ""},
        {"drop": True},
    ],
    ids=str,
)
def test_trouble_that_passes_leaves_everything_as_it_is(
    app: Flask, sandbox: Sandbox, grant: Grant, fault: dict[str, Any]
) -> None:
    sandbox.fault(method="POST", path=TOKEN, times=1, **fault)
    with pytest.raises(Temporary):
        ask(grant.id)
    assert grant.refresh_lease is None
    assert ask(grant.id)  # the next one simply works
    assert db.session.query(Connection).one().state == "connected"


@pytest.mark.provider_fault(8)
def test_a_refused_client_leaves_users_untouched_and_tells_the_operator(
    app: Flask, sandbox: Sandbox, grant: Grant, caplog: Any
) -> None:
    sandbox.fault(method="POST", path=TOKEN, status=401, body={"error": "invalid_client"})
    with pytest.raises(OperatorFault):
        ask(grant.id)
    assert "operator: the provider refuses our client" in caplog.text
    assert db.session.query(Connection).one().state == "connected"
    assert grant.refresh_token is not None


@pytest.mark.rule("G-18")
@pytest.mark.provider_fault(13)
def test_a_permission_removed_at_google_is_noticed_on_refresh(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    answer = {"access_token": "a", "token_type": "Bearer", "expires_in": 3599, "scope": "openid email"}
    sandbox.fault(method="POST", path=TOKEN, status=200, body=answer)
    with pytest.raises(MissingPermission):
        ask(grant.id)


@pytest.mark.requirement("OAU-9")
@pytest.mark.fault(1)
def test_a_refresher_that_was_killed_is_replaced(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant.refresh_lease, grant.refresh_lease_until = new_id(), now() + timedelta(seconds=0.5)
    db.session.commit()
    assert ask(grant.id)
    assert grant.refresh_lease is None


def test_a_grant_disconnected_during_a_refresh_stays_without_tokens(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant_id = grant.id
    sandbox.fault(method="POST", path=TOKEN, delay_ms=400)

    def refresh() -> str:
        with app.app_context():
            return ask(grant_id)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(refresh)
        while not has_lease(grant_id):
            sleep(0.02)
        service.disconnect(db.session.query(Connection).one(), "user")
        db.session.commit()
        job.result()
    db.session.expire_all()
    assert (grant.refresh_token, grant.access_expires_at) == (None, None)


def has_lease(grant_id: UUID) -> bool:
    db.session.rollback()
    return db.session.query(Grant.refresh_lease).filter_by(id=grant_id).scalar() is not None


def test_a_token_that_does_not_open_is_the_operators_matter(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    grant.refresh_token = seal_text("stolen", "grant.refresh_token", "google:another", grant.id)
    db.session.commit()
    with pytest.raises(OperatorFault):
        ask(grant.id)


# Giving it back ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("G-17")
@pytest.mark.requirement("OAU-10")
def test_disconnect_deletes_the_token_at_once_and_revokes_it_once(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    assert grant.refresh_token is None
    with pytest.raises(AuthorizationLost):
        ask(grant.id)
    assert (tokens.retry_revocations(), tokens.retry_revocations()) == (1, 0)
    assert len(sandbox.requests(path=REVOKE)) == 1
    assert len(sandbox.requests(path="/users/me/stop")) == 1
    db.session.expire_all()
    assert (grant.access_token, grant.revoke_pending_at) == (None, None)
    assert _results() == ["revoked"]


def _results() -> list[str]:
    return [row.details["result"] for row in db.session.query(AuditEvent).filter_by(name="portal:grant:revoked").order_by(AuditEvent.created_at, AuditEvent.id)]


@pytest.mark.requirement("OAU-10")
@pytest.mark.parametrize("is_before", [True, False], ids=["before the end", "after the end"])
def test_a_token_that_does_not_open_keeps_nobody_from_ending(
    app: Flask, sandbox: Sandbox, grant: Grant, frozen_clock: Any, is_before: bool
) -> None:
    if is_before:
        grant.refresh_token = b"\x01 of a key that is lost"
    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    if not is_before:
        assert _results() == []
        grant.access_token = b"\x01 of a key that is lost"
        db.session.commit()
        assert tokens.retry_revocations() == 0  # and no error: those behind it have their turn
        frozen_clock.shift(7 * 86400 + 1)
        assert tokens.retry_revocations() == 1
    assert (_results(), grant.refresh_token, grant.access_token) == (["given_up"], None, None)


@pytest.mark.rule("G-17")
@pytest.mark.requirement("OAU-10")
@pytest.mark.provider_fault(40)
def test_a_revocation_that_google_fails_is_tried_again(
    app: Flask, sandbox: Sandbox, grant: Grant, frozen_clock: Any
) -> None:
    sandbox.fault(method="POST", path=REVOKE, status=500, body="<html>", times=2)
    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    assert tokens.retry_revocations() == 0
    assert grant.refresh_token is None  # gone here whatever Google says
    assert tokens.retry_revocations() == 0  # not at once
    assert len(sandbox.requests(path=REVOKE)) == 1
    frozen_clock.shift(601)
    assert tokens.retry_revocations() == 0
    frozen_clock.shift(601)
    assert tokens.retry_revocations() == 1
    assert _results() == ["revoked"]


@pytest.mark.requirement("OAU-10")
def test_what_is_kept_for_the_revocation_cannot_be_used_to_read(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    from portal.lib.crypto import SealError
    from portal.sealing import open_text

    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    for kind in ("grant.access_token", "grant.refresh_token"):
        with pytest.raises(SealError):
            open_text(grant.access_token, kind, tokens.owner_of(grant), grant.id)


@pytest.mark.requirement("OAU-10")
def test_a_revocation_is_given_up_after_a_week_and_said_so(
    app: Flask, sandbox: Sandbox, grant: Grant, frozen_clock: Any
) -> None:
    sandbox.fault(method="POST", path=REVOKE, status=500)
    service.disconnect(db.session.query(Connection).one(), "user")
    db.session.commit()
    frozen_clock.shift(7 * 86400 + 1)
    assert tokens.retry_revocations() == 1
    assert (_results(), grant.access_token) == (["given_up"], None)


@pytest.mark.rule("G-17")
def test_a_token_that_google_forgot_already_counts_as_given_back(app: Flask, sandbox: Sandbox, grant: Grant) -> None:
    service.disconnect(db.session.query(Connection).one(), "user")
    sandbox.call("POST", f"/users/{MAILBOX}/revoke")
    db.session.commit()
    assert tokens.retry_revocations() == 1
    assert _results() == ["already_gone"]


@pytest.mark.rule("G-17")
@pytest.mark.rule("G-18")
def test_a_consent_that_another_account_needs_is_not_revoked(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    connect(client, sandbox)
    first = db.session.query(Connection).one()
    second = make_account()
    make_member(second, user=user)
    make_connection(second, user, MAILBOX, grant=first.grant)
    service.disconnect(first, "user")
    db.session.commit()
    assert tokens.retry_revocations() == 0
    assert sandbox.requests(path=REVOKE) == []
    assert ask(first.grant_id)


@pytest.mark.rule("G-17")
def test_a_consent_that_another_user_needs_is_forgotten_here_and_not_revoked(
    app: Flask, client: Any, sandbox: Sandbox
) -> None:
    sandbox.add_mailbox(MAILBOX, "Front desk")
    for name in ("Owen Castellano", "Hana Roth"):
        _, user = make_signer(name)
        client.sign_in(user)
        assert connect(client, sandbox).status_code == 303
    first, second = db.session.query(Connection).order_by(Connection.id)
    service.disconnect(first, "user")
    db.session.commit()
    assert tokens.retry_revocations() == 0
    assert (first.grant.refresh_token, first.grant.access_token) == (None, None)
    assert _results() == ["in_use"]
    assert ask(second.grant_id)
