"""An Outlook connection later: tokens that rotate, Update across providers, the end."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from portal.connections import service, tokens
from portal.connections.tokens import owner_of
from portal.connections.watching import held_of, store_held
from portal.database import db
from portal.lib.clock import now
from portal.lib.http import Http
from portal.lib.ids import new_id
from portal.models import Connection, Grant
from portal.providers.errors import AuthorizationLost
from portal.providers.microsoft import oauth
from portal.providers.types import Held, Watch
from portal.sealing import open_text
from tests.connections.consent import asked, consent
from tests.connections.people import connect, finish, live, make_signature, make_signer, start
from tests.connections.test_microsoft import GMAIL, OTHER, OUTLOOK, TOKEN, TOKEN_RULE, linked
from tests.connections.test_tokens import ask, expire
from tests.factories import (
    make_account,
    make_connection,
    make_contact,
    make_conversation,
    make_grant,
    make_member,
    make_message,
)
from tests.services.programs import Sandbox

# Tokens --------------------------------------------------------------------------------------------------------------


def make_outlook_grant(sandbox: Sandbox) -> Grant:
    """A grant whose refresh token the stand-in knows, in a connection."""
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft")
    given = sandbox.grant(OUTLOOK)
    account = make_account()
    user = make_member(account)
    grant = make_grant(
        user, OUTLOOK, provider="microsoft", refresh_token=given["refresh_token"], subject=given["sub"]
    )  # fmt: skip
    make_connection(account, user, OUTLOOK, grant=grant, provider="microsoft")
    db.session.commit()
    return grant


def kept_token(grant: Grant) -> str:
    db.session.expire_all()
    return open_text(grant.refresh_token, "grant.refresh_token", owner_of(grant), grant.id)


@pytest.mark.requirement("OAU-9")
@pytest.mark.provider_fault(9)
@pytest.mark.provider_fault(12)
def test_every_refresh_keeps_the_newest_token(app: Flask, sandbox: Sandbox) -> None:
    grant = make_outlook_grant(sandbox)
    kept = [kept_token(grant)]
    first = ask(grant.id)
    kept.append(kept_token(grant))
    second = ask(grant.id, refused=first)
    kept.append(kept_token(grant))
    expire(grant)
    assert ask(grant.id) not in (first, second)
    kept.append(kept_token(grant))
    assert len(set(kept)) == 4
    assert len(sandbox.requests(path=TOKEN)) == 3


@pytest.mark.requirement("OAU-9")
def test_twenty_callers_make_one_refresh(app: Flask, sandbox: Sandbox) -> None:
    grant_id, together = make_outlook_grant(sandbox).id, Barrier(20)
    sandbox.fault(method="POST", path=TOKEN_RULE, delay_ms=300)
    db.session.commit()  # SQLite has one writer

    def one() -> str:
        with app.app_context():
            together.wait(20)
            return ask(grant_id)

    with ThreadPoolExecutor(20) as pool:
        found = [job.result() for job in [pool.submit(one) for _ in range(20)]]
    assert (len(set(found)), len(sandbox.requests(path=TOKEN))) == (1, 1)


@pytest.mark.requirement("OAU-9")
@pytest.mark.fault(1)
def test_a_refresher_that_died_before_it_stored_the_answer_is_replaced(
    app: Flask, sandbox: Sandbox, frozen_clock: Any
) -> None:
    grant = make_outlook_grant(sandbox)
    grant.refresh_lease, grant.refresh_lease_until = new_id(), now() + tokens.LEASE
    db.session.commit()
    former = kept_token(grant)

    async def rotate() -> str:
        async with Http(max_connections=1) as http:
            return (await oauth.refresh(http, app.extensions["settings"], former)).refresh_token

    lost = asyncio.run(rotate())
    frozen_clock.shift(tokens.LEASE.total_seconds() + 1)
    assert ask(grant.id)
    assert kept_token(grant) not in (former, lost)


@pytest.mark.rule("G-18")
@pytest.mark.provider_fault(6)
@pytest.mark.provider_fault(8)
@pytest.mark.provider_fault(11)
@pytest.mark.parametrize(
    ("preset", "cause"),
    [
        ("ms_revoke", "revoked"), ("ms_mfa", "login_required"), ("ms_consent_gone", "permission_missing"),
        ("ms_disabled", "mailbox_gone"),
    ],
)  # fmt: skip
def test_a_grant_that_ended_says_why(app: Flask, sandbox: Sandbox, preset: str, cause: str) -> None:
    grant = make_outlook_grant(sandbox)
    sandbox.preset(preset, OUTLOOK)
    with pytest.raises(AuthorizationLost) as lost:
        ask(grant.id)
    assert lost.value.cause == cause


# Update and the end --------------------------------------------------------------------------------------------------


@pytest.fixture
def both(app: Flask, client: Any, sandbox: Sandbox) -> tuple[Any, Connection]:
    """Somebody with Gmail connected, who has signed for both and has an Outlook mailbox, too."""
    sandbox.add_mailbox(GMAIL, "Owen", kind="workspace")
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft")
    account, user = make_signer()
    make_signature(user, account, provider="microsoft")
    client.sign_in(user)
    connect(client, sandbox, GMAIL)
    found = live(user)
    assert found is not None
    return user, found


@pytest.mark.rule("P-05")
@pytest.mark.rule("O-04")
def test_update_swaps_to_the_other_provider_and_back_in_one_step(both: Any, client: Any, sandbox: Sandbox) -> None:
    user, gmail = both
    conversation = make_conversation(make_contact(gmail.account), user, gmail)
    make_message(conversation)
    page = " ".join(client.get("/connections/update").text.split())
    assert "A mailbox in Outlook instead" in page
    assert page.index("Continue to Google") < page.index("Continue to Microsoft")
    url = consent(sandbox, start(client, "update", "microsoft"), OUTLOOK)
    assert live(user).id == gmail.id  # type: ignore[union-attr]  it works on until the new one is whole
    assert finish(client, url).status_code == 303
    outlook = live(user)
    assert outlook is not None
    assert (outlook.provider, outlook.mailbox, outlook.state) == ("microsoft", OUTLOOK, "connected")
    assert (gmail.state, gmail.disconnect_cause) == ("disconnected", "updated")
    assert (conversation.state, conversation.ended_cause) == ("ended", "updated")
    assert tokens.retry_revocations() == 1
    assert [row["mailbox"] for row in sandbox.requests(path="/google/revoke")] == [GMAIL]
    assert connect(client, sandbox, GMAIL, "update").status_code == 303
    assert (live(user).provider, outlook.state) == ("google", "disconnected")  # type: ignore[union-attr]


@pytest.mark.rule("P-05")
@pytest.mark.rule("G-16")
def test_an_update_to_outlook_that_fails_leaves_gmail_working(both: Any, client: Any, sandbox: Sandbox) -> None:
    user, gmail = both
    assert linked(client, sandbox, purpose="update", decision="deny").status_code == 400
    sandbox.quirk("token_without_refresh", mailbox=OUTLOOK)
    assert linked(client, sandbox, purpose="update").status_code == 400
    found = live(user)
    assert found is not None
    assert (found.id, found.state, found.grant.refresh_token is None) == (gmail.id, "connected", False)
    assert sandbox.requests(path="/google/revoke") == []


@pytest.mark.rule("P-05")
@pytest.mark.rule("H-07")
def test_update_to_outlook_needs_the_signature_for_outlook(app: Flask, client: Any) -> None:
    account, user = make_signer()
    make_connection(account, user, GMAIL)
    client.sign_in(user)
    assert "/connections/microsoft/risks?purpose=update" in client.get("/connections/update").text
    assert client.post("/connections/microsoft/begin", data={"purpose": "update"}).status_code == 403
    assert 'value="update"' in client.get("/connections/microsoft/risks").text


@pytest.mark.rule("G-20")
@pytest.mark.provider_fault(5)
def test_reconnect_goes_to_the_provider_of_the_mailbox(both: Any, client: Any, sandbox: Sandbox) -> None:
    user, _gmail = both
    answer = client.post("/connections/microsoft/begin", data={"purpose": "reconnect"})
    assert (answer.status_code, "is not at Microsoft" in answer.text) == (409, True)
    linked(client, sandbox, purpose="update")
    outlook = live(user)
    assert outlook is not None
    since, cursor = outlook.connected_at, outlook.cursor
    service.needs_attention(outlook, "revoked")
    location = start(client, "reconnect", "microsoft")
    assert (asked(location)["login_hint"], asked(location)["prompt"]) == (OUTLOOK, "consent")
    sandbox.add_mailbox(OTHER, "Owen", provider="microsoft")
    answer = finish(client, consent(sandbox, location, OTHER))
    assert "You chose another Microsoft account" in answer.text
    assert linked(client, sandbox, purpose="reconnect").status_code == 303
    assert (outlook.state, outlook.connected_at, outlook.cursor) == ("connected", since, cursor)


@pytest.mark.rule("O-05")
@pytest.mark.requirement("OAU-10")
@pytest.mark.parametrize("kind", ["workspace", "consumer"])
def test_the_end_erases_tokens_and_subscriptions_and_names_microsofts_page(
    app: Flask, client: Any, sandbox: Sandbox, kind: str
) -> None:
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft", kind=kind)
    _, user = make_signer(provider="microsoft")
    client.sign_in(user)
    linked(client, sandbox)
    row = live(user)
    assert row is not None
    subscribe(row)
    conversation = make_conversation(make_contact(row.account), user, row)
    place = f"/connections/{row.id}/disconnect"
    named = "https://myapps.microsoft.com" if kind == "workspace" else "https://account.live.com/consent/Manage"
    assert named in client.get(place).text
    assert client.post(place, data={"word": "disconnect"}).status_code == 303
    assert row.grant.refresh_token is None
    with pytest.raises(AuthorizationLost):
        ask(row.grant_id)
    assert tokens.retry_revocations() == 1
    db.session.expire_all()
    grant = row.grant
    assert (grant.refresh_token, grant.access_token, held_of(grant.id)) == (None, None, ())
    assert [call["method"] for call in sandbox.requests(path="/graph/v1.0/subscriptions/")] == ["DELETE"]
    assert (row.state, conversation.state, conversation.ended_cause) == ("disconnected", "ended", "disconnected")
    page = client.get(place).text
    assert named in page
    assert "Google" not in page
    assert client.post("/connections/microsoft/begin", data={"purpose": "reconnect"}).status_code == 409


def subscribe(row: Connection) -> None:
    """Keep a subscription for the grant, as the renewal of watches does."""
    until = now() + timedelta(days=2)
    store_held(row.grant_id, Watch(until, (Held("held-1", "me/mailFolders('inbox')/messages", until),)))
    db.session.commit()
