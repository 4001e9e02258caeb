"""Subscriptions at Graph from beginning to end: made, renewed, replaced, ended; its notices reach the right mailbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from portal import queues
from portal.connections.mailbox import has_push
from portal.connections.service import disconnect
from portal.connections.tokens import REFRESH_TOKEN, owner_of, retry_revocations
from portal.connections.watching import held_of, secret_of
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Grant
from portal.sealing import seal_text
from portal.sync import watches
from tests import factories
from tests.services.programs import Sandbox

OUTLOOK = "tomas@outlook.example"
LETTER = f"From: priya@mail.example\r\nTo: {OUTLOOK}\r\nSubject: Swelling\r\n\r\nIs this normal?\r\n"


@pytest.fixture
def outlook(app: Flask, sandbox: Sandbox, portal_url: str) -> Iterator[Connection]:
    """An Outlook mailbox at the stand-in, connected, not watched yet; the portal can be reached from there."""
    sandbox.add_mailbox(OUTLOOK, "Tomas Berg", provider="microsoft", kind="consumer")
    granted = sandbox.grant(OUTLOOK)
    account = factories.make_account()
    user = factories.make_member(account)
    grant = factories.make_grant(user, OUTLOOK, provider="microsoft", subject=granted["sub"])
    grant.refresh_token = seal_text(granted["refresh_token"], REFRESH_TOKEN, owner_of(grant), grant.id)
    row = factories.make_connection(account, user, OUTLOOK, grant=grant, provider="microsoft", cursor="{}")
    factories.make_signature(account, user, provider="microsoft")
    db.session.commit()
    yield row
    db.session.rollback()


def renew() -> int:
    """One run of the schedule."""
    db.session.commit()
    done = watches.renew_watches()
    db.session.expire_all()
    return done


def waiting() -> list[list[str]]:
    """Ids that wait to be synced."""
    return [[str(i) for i in job.args] for job in queues.queue(queues.PUSH).jobs if "sync_mailbox" in str(job.func_name)]


def until(holds: Callable[[], Any], seconds: float = 5.0) -> bool:
    """Whether something comes true soon: notices travel on their own."""
    ends_at = monotonic() + seconds
    while not (found := holds()) and monotonic() < ends_at:
        sleep(0.05)
    return bool(found)


def remove(sandbox: Sandbox, remote_id: str) -> None:
    """Graph ends a subscription."""
    sandbox_url = sandbox.url
    headers = {"Authorization": f"Bearer {sandbox.grant(OUTLOOK)['access_token']}"}
    answer = httpx2.delete(f"{sandbox_url}/graph/v1.0/subscriptions/{remote_id}", headers=headers, trust_env=False)
    assert answer.status_code == 204


def asked(sandbox: Sandbox, method: str) -> list[dict[str, Any]]:
    """Calls of this kind to Graph's subscriptions."""
    return [call for call in sandbox.requests(path="/subscriptions") if call["method"] == method]


@pytest.mark.requirement("WHK-1")
@pytest.mark.requirement("WHK-3")
@pytest.mark.provider_fault(30)
def test_made_with_a_handshake_and_renewed_daily(outlook: Connection, sandbox: Sandbox) -> None:
    assert renew() == 1
    held = held_of(outlook.grant_id)
    assert [one.resource for one in held] == ["me/mailFolders('inbox')/messages", "me/mailFolders('sentitems')/messages"]
    assert outlook.grant.watch_expires_at
    assert timedelta(days=6) < outlook.grant.watch_expires_at - now() < timedelta(days=7)
    assert renew() == 0
    db.session.execute(update(Grant).values(watch_tried_at=now() - timedelta(hours=25)))
    assert renew() == 1
    assert [one.remote_id for one in held_of(outlook.grant_id)] == [one.remote_id for one in held]
    assert (len(asked(sandbox, "POST")), len(asked(sandbox, "PATCH"))) == (2, 2)


@pytest.mark.requirement("WHK-1")
@pytest.mark.provider_fault(30)
def test_the_echo_survives_any_token(outlook: Connection, sandbox: Sandbox) -> None:
    sandbox.quirk("ms_validation_token", value="a&b=c+d% <script>ä</script>", mailbox=OUTLOOK, times=2)
    assert renew() == 1
    assert len(held_of(outlook.grant_id)) == 2


@pytest.mark.rule("O-03")
@pytest.mark.requirement("WHK-2")
@pytest.mark.provider_fault(30)
def test_a_mail_rings_at_the_portal(outlook: Connection, sandbox: Sandbox) -> None:
    """Notices that come twice included: there is one job."""
    sandbox.quirk("push_duplicate", mailbox=OUTLOOK, times=1)
    assert renew() == 1
    sandbox.deliver(LETTER.encode(), OUTLOOK)
    assert until(lambda: waiting())
    assert waiting() == [[str(outlook.id)]]
    db.session.expire_all()
    assert outlook.change_noticed_at


@pytest.mark.requirement("WHK-3")
@pytest.mark.provider_fault(30)
def test_one_that_is_gone_is_made_anew(outlook: Connection, sandbox: Sandbox, client: FlaskClient) -> None:
    """Graph says that it removed one; the renewal finds it gone, makes another, and asks for what was missed."""
    assert renew() == 1
    kept, gone = held_of(outlook.grant_id)
    remove(sandbox, gone.remote_id)
    event = {
        "subscriptionId": gone.remote_id, "clientState": secret_of(outlook.grant_id), "lifecycleEvent": "subscriptionRemoved",
    }  # fmt: skip
    db.session.commit()
    assert client.post("/webhooks/microsoft/lifecycle", json={"value": [event]}).status_code == 202
    assert waiting() == [[str(outlook.id)]]
    assert renew() == 1
    first, second = held_of(outlook.grant_id)
    assert first.remote_id == kept.remote_id
    assert second.remote_id not in ("", gone.remote_id)
    assert second.resource == gone.resource


@pytest.mark.requirement("WHK-3")
@pytest.mark.provider_fault(30)
def test_one_that_ended_unheard_is_found_gone(outlook: Connection, sandbox: Sandbox) -> None:
    assert renew() == 1
    before = {one.remote_id for one in held_of(outlook.grant_id)}
    for remote_id in before:
        remove(sandbox, remote_id)
    db.session.execute(update(Grant).values(watch_tried_at=now() - timedelta(hours=25)))
    assert renew() == 1
    after = {one.remote_id for one in held_of(outlook.grant_id)}
    assert len(after) == 2
    assert not after & before


@pytest.mark.requirement("WHK-3")
def test_a_renewal_that_fails_is_tried_every_hour_near_the_end(outlook: Connection, sandbox: Sandbox) -> None:
    """Two days before the end there is time to hear of it and to mend it."""
    assert renew() == 1
    sandbox.fault(path="*/subscriptions/*", status=503)
    an_hour_ago = now() - timedelta(minutes=55)
    db.session.execute(update(Grant).values(watch_tried_at=an_hour_ago, watch_expires_at=now() + timedelta(hours=49)))
    assert renew() == 0
    assert outlook.grant.watch_tried_at == an_hour_ago  # not due yet
    db.session.execute(update(Grant).values(watch_expires_at=now() + timedelta(hours=47)))
    assert renew() == 0
    assert outlook.grant.watch_tried_at != an_hour_ago
    assert len(held_of(outlook.grant_id)) == 2  # what stands is not forgotten
    sandbox.clear_faults()
    db.session.execute(update(Grant).values(watch_tried_at=an_hour_ago))
    assert renew() == 1
    assert outlook.grant.watch_expires_at
    assert outlook.grant.watch_expires_at > now() + timedelta(days=6)


def test_without_push_nothing_is_asked_for(
    outlook: Connection, sandbox: Sandbox, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app.extensions["settings"]
    assert has_push(outlook.grant, now()) is False
    assert renew() == 1
    assert has_push(outlook.grant, now())
    monkeypatch.setitem(app.extensions, "settings", replace(settings, ms_push=False))
    assert has_push(outlook.grant, now()) is False
    db.session.execute(update(Grant).values(watch_tried_at=None))
    asked_before = len(sandbox.requests(path="/subscriptions"))
    assert renew() == 0
    assert len(sandbox.requests(path="/subscriptions")) == asked_before
    assert outlook.grant.watch_expires_at is None


@pytest.mark.rule("O-05")
def test_a_disconnected_mailbox_has_its_subscriptions_ended(outlook: Connection, sandbox: Sandbox) -> None:
    assert renew() == 1
    disconnect(outlook, "user")
    db.session.commit()
    assert retry_revocations() == 1
    assert len(asked(sandbox, "DELETE")) == 2
    assert held_of(outlook.grant_id) == ()
    sandbox.deliver(LETTER.encode(), OUTLOOK)
    assert waiting() == []
