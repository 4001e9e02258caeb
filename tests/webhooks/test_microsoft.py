"""Graph's notices: an echo for whoever asks, effect only for what bears a subscription's own secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import httpx2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from rq import Queue
from sqlalchemy import select

from portal import queues
from portal.connections.watching import held_of, secret_of, store_held
from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Subscription
from portal.providers.types import Held, Watch
from tests import factories

PATHS = GRAPH, LIFECYCLE = "/webhooks/microsoft/graph", "/webhooks/microsoft/lifecycle"
INBOX, SENT = "sub-Inbox", "sub-Sent"
Notify = Callable[..., int]


@pytest.fixture
def outlook(app: Flask) -> Connection:
    """A connected Outlook mailbox with two subscriptions."""
    account = factories.make_account()
    user = factories.make_member(account)
    grant = factories.make_grant(user, "tomas@outlook.example", provider="microsoft", subject="tid:oid")
    row = factories.make_connection(account, user, "tomas@outlook.example", grant=grant, provider="microsoft", cursor="{}")
    ends_at = grant.watch_expires_at = now() + timedelta(days=6)
    grant.watch_tried_at = now()
    store_held(grant.id, Watch(ends_at, (Held(INBOX, "inbox", ends_at), Held(SENT, "sentitems", ends_at))))
    db.session.commit()
    return row


@pytest.fixture
def notify(app: Flask, client: FlaskClient) -> Notify:
    """Post elements as Graph does; the portal's status."""

    def send(*elements: dict[str, Any], path: str = GRAPH) -> int:
        body = json.dumps({"value": list(elements)}, indent=1)
        return client.post(path, data=body, content_type="application/json").status_code

    return send


def element(connection: Connection, mail: str = "m1", state: str = "e1", **values: Any) -> dict[str, Any]:
    """One genuine element."""
    data = {"@odata.type": "#Microsoft.Graph.Message", "@odata.etag": f'W/"{state}"', "id": mail}
    return {
        "subscriptionId": INBOX, "clientState": secret_of(connection.grant_id), "changeType": "created",
        "resource": f"Users/u/Messages/{mail}", "tenantId": "t", "resourceData": data,
    } | values  # fmt: skip


def waiting(name: str = queues.PUSH) -> list[str]:
    """Jobs that wait in a queue, with their ids."""
    found: Iterable[Any] = Queue(name, connection=queues.redis(), serializer=queues.JSONSerializer).jobs
    return [":".join([job.func_name.rpartition(".")[2], *job.args]) for job in found]


def noticed(connection: Connection) -> datetime | None:
    """When the mailbox was noted as changed. Leaves no lock behind."""
    db.session.rollback()
    moment = connection.change_noticed_at
    db.session.rollback()
    return moment


@pytest.mark.requirement("WHK-1")
@pytest.mark.provider_fault(30)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "echo"),
    [
        ("Validation%3a+Testing+client+application+reachability", "Validation: Testing client application reachability"),
        ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "<script>alert(1)</script>"),
        ("a%26b%3Dc%2Bd%25%0A%C3%A4%F0%9F%98%80", "a&b=c+d%\nä😀"),
        ("", ""),
    ],
)
def test_the_handshake_is_echoed_as_text(client: FlaskClient, path: str, query: str, echo: str) -> None:
    answer = client.post(f"{path}?validationToken={query}", content_type="text/plain")
    assert answer.status_code == 200
    assert answer.get_data(as_text=True) == echo
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"{path}?validationToken=x").status_code in (404, 405)
    assert client.post(f"{path}?validationToken={'x' * 5000}").status_code == 400


@pytest.mark.requirement("WHK-1")
@pytest.mark.provider_fault(30)
def test_only_a_known_subscription_with_its_own_secret_counts(outlook: Connection, notify: Notify) -> None:
    wrong = [
        element(outlook, clientState="x"),
        element(outlook, clientState=""),
        element(outlook, clientState=secret_of(outlook.id)),
        element(outlook, clientState=None),
        element(outlook, clientState="ä"),
        element(outlook, subscriptionId="sub-unknown"),
        element(outlook, subscriptionId=INBOX.lower()),
        element(outlook, subscriptionId=["x"]),
        element(outlook, subscriptionId=f"{INBOX}\0"),
        {},
    ]
    for one in wrong:
        assert notify(one) == 401
    assert notify(*wrong) == 401
    assert notify(*wrong, path=LIFECYCLE) == 401
    assert not noticed(outlook)
    assert not waiting()
    assert notify(wrong[0], element(outlook), wrong[5]) == 202  # the wrong ones take nothing from the genuine one
    assert noticed(outlook)
    assert waiting() == [f"sync_mailbox:{outlook.id}"]


@pytest.mark.requirement("WHK-1")
def test_another_mailboxs_secret_opens_nothing(outlook: Connection, notify: Notify) -> None:
    account = factories.make_account()
    other = factories.make_connection(account, factories.make_member(account), "dana@outlook.example", provider="microsoft")
    store_held(other.grant_id, Watch(now(), (Held("sub-Dana", "inbox", now()),)))
    db.session.commit()
    assert notify(element(outlook, subscriptionId="sub-Dana")) == 401
    assert notify(element(outlook), element(other, subscriptionId="sub-Dana")) == 202
    assert sorted(waiting()) == sorted([f"sync_mailbox:{outlook.id}", f"sync_mailbox:{other.id}"])


@pytest.mark.requirement("WHK-2")
@pytest.mark.provider_fault(30)
def test_a_notice_has_one_effect(outlook: Connection, notify: Notify) -> None:
    """However often it comes. The draft's notice and the sent copy's are two: Graph gives both the same id."""
    assert notify(element(outlook)) == 202
    first = noticed(outlook)
    assert first
    assert notify(element(outlook), element(outlook)) == 202
    assert noticed(outlook) == first
    assert notify(element(outlook, state="e2")) == 202
    second = noticed(outlook)
    assert second
    assert second > first
    assert notify(element(outlook, subscriptionId=SENT)) == 202
    third = noticed(outlook)
    assert third
    assert third > second
    assert len(waiting()) == 1
    assert min(queues.redis().ttl(key) for key in queues.redis().keys("push:*")) > 71 * 3600


@pytest.mark.requirement("WHK-2")
def test_fifty_at_once_have_one_effect(portal_url: str, outlook: Connection) -> None:
    body = {"value": [element(outlook)]}
    db.session.rollback()

    def send(_number: int) -> int:
        return int(httpx2.post(portal_url + GRAPH, json=body, trust_env=False).status_code)

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(send, range(50))) == {202}
    assert len(waiting()) == 1


@pytest.mark.requirement("WHK-2")
def test_a_mailbox_that_is_gone_gets_no_job(outlook: Connection, notify: Notify) -> None:
    outlook.disconnected_at, outlook.state = now(), "disconnected"
    db.session.commit()
    assert notify(element(outlook)) == 202
    assert notify(element(outlook, lifecycleEvent="missed"), path=LIFECYCLE) == 202
    assert not waiting()


@pytest.mark.requirement("WHK-3")
@pytest.mark.provider_fault(30)
def test_what_becomes_of_a_subscription(outlook: Connection, notify: Notify) -> None:
    def lives(event: str) -> int:
        return notify(element(outlook, lifecycleEvent=event, changeType="", resourceData=None), path=LIFECYCLE)

    assert lives("missed") == 202
    assert noticed(outlook)
    assert waiting() == [f"sync_mailbox:{outlook.id}"]
    assert not waiting(queues.DEFAULT)
    assert lives("somethingNew") == 202  # an event that we do not know does nothing
    assert lives("reauthorizationRequired") == 202
    db.session.expire_all()
    assert outlook.grant.watch_tried_at is None
    assert outlook.grant.watch_expires_at is not None
    assert waiting(queues.DEFAULT) == ["renew_watches"]
    assert lives("subscriptionRemoved") == 202
    db.session.expire_all()
    assert outlook.grant.watch_expires_at is None  # polls go on by the minute until it stands again
    assert list(db.session.scalars(select(Subscription.remote_id))) == [SENT]
    db.session.rollback()


@pytest.mark.bad_input(56)
@pytest.mark.bad_input(57)
@pytest.mark.bad_input(58)
@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_no_notification(client: FlaskClient, outlook: Connection, path: str) -> None:
    for body in ("", "[]", "null", "{}", "no json", '{"value":{}}', '{"value":[]}', "[" * 50_000, "\ufeff{}"):
        assert client.post(path, data=body, content_type="application/json").status_code == 400
    many = json.dumps({"value": [{}] * 1001})
    assert client.post(path, data=many, content_type="application/json").status_code == 400
    rows: tuple[Any, ...] = (None, 7, "x", [[]])
    for row in rows:
        assert client.post(path, json={"value": [row]}).status_code == 401
    assert client.post(path, data=b"x" * 300_000, content_type="application/json").status_code == 413
    odd = element(outlook, resourceData={"id": 7, "@odata.etag": []})
    assert client.post(GRAPH, json={"value": [odd, element(outlook, resourceData="x")]}).status_code == 202


@pytest.mark.requirement("WHK-3")
def test_a_database_that_hangs_is_not_waited_for(app: Flask, outlook: Connection, notify: Notify) -> None:
    if db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite locks the whole file, and waits for it in its own way")
    genuine = element(outlook)
    db.session.rollback()
    with db.engine.begin() as other:
        other.execute(select(Connection.id).with_for_update())
        begun = monotonic()
        assert notify(genuine) == 503
        assert monotonic() - begun < 3
    assert notify(genuine) == 202  # Graph comes again


def test_what_is_kept_of_subscriptions(outlook: Connection) -> None:
    """Exactly what the watch rests on; the secret is made anew each time and differs between grants."""
    later = now() + timedelta(days=9)
    store_held(outlook.grant_id, Watch(later, (Held(SENT, "sentitems", later), Held("sub-new", "inbox", later))))
    db.session.commit()
    assert [held.remote_id for held in held_of(outlook.grant_id)] == ["sub-new", SENT]
    assert {held.expires_at for held in held_of(outlook.grant_id)} == {later}
    store_held(outlook.grant_id, None)
    db.session.commit()
    assert held_of(outlook.grant_id) == ()
    assert len(secret_of(outlook.grant_id)) == 64
    assert secret_of(outlook.grant_id) == secret_of(outlook.grant_id) != secret_of(outlook.id)
