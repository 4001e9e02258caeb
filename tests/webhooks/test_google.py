"""Gmail's push notices: only Google's word counts, and it is only a doorbell."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import pytest
from flask import Flask
from rq import Queue

from portal import queues
from portal.database import db
from portal.models import Connection
from portal.webhooks.notices import read_notice
from portal.webhooks.tokens import PushKeys
from tests.services.programs import Sandbox

PATH = "/webhooks/google/gmail"
Push = Callable[..., int]


def jobs() -> list[Any]:
    """Ids that wait to be synced."""
    found = Queue(queues.PUSH, connection=queues.redis(), serializer=queues.JSONSerializer).jobs
    return [job.args for job in found]


def noticed(connection: Connection) -> datetime | None:
    """When the mailbox was noted as changed. Leaves no lock behind."""
    db.session.rollback()
    moment, cursor = connection.change_noticed_at, connection.cursor
    db.session.rollback()
    assert cursor == "1000"  # what a notice says is never used as a cursor
    return moment


@pytest.mark.requirement("WHK-1")
@pytest.mark.provider_fault(22)
@pytest.mark.parametrize("shape", [{}, {"numeric": True}, {"padded": False}, {"history_id": "3"}])
def test_a_genuine_notice_enqueues_the_mailbox(connection: Connection, push: Push, shape: dict[str, Any]) -> None:
    assert push(**shape) == 204
    assert noticed(connection)
    assert [list(ids) for ids in jobs()] == [[str(connection.id)]]


@pytest.mark.requirement("WHK-1")
@pytest.mark.provider_fault(22)
@pytest.mark.bad_input(54)
@pytest.mark.bad_input(55)
@pytest.mark.parametrize(
    "shape",
    [
        {"no_auth": True},
        {"token": "x"},
        {"token": "a.b.c"},
        {"token": "A" * 9000},
        {"bad_signature": True},
        {"alg_none": True},
        {"audience": "https://evil.example/hook"},
        {"issuer": "https://evil.example"},
        {"email": "someone@evil.example"},
        {"email_verified": False},
        {"expired": True},
        {"issued_offset": 7200},
    ],
)
def test_a_forged_notice_is_refused(connection: Connection, push: Push, shape: dict[str, Any]) -> None:
    assert push(**shape) == 401
    assert not noticed(connection)
    assert not jobs()


@pytest.mark.requirement("WHK-2")
@pytest.mark.fault(19)
@pytest.mark.provider_fault(22)
@pytest.mark.bad_input(59)
@pytest.mark.bad_input(61)
def test_unknown_repeated_and_reordered_notices(connection: Connection, push: Push) -> None:
    assert push(mailbox="nobody@elsewhere.example") == 204  # no hint
    assert not jobs()
    assert push(history_id="5", message_id="m1") == 204
    first = noticed(connection)
    assert first is not None
    assert push(history_id="5", message_id="m1") == 204
    assert noticed(connection) == first  # the same notice has one effect
    assert push(history_id="4", message_id="m0") == 204  # an older one, later: harmless
    assert len(jobs()) == 1
    assert noticed(connection) != first


@pytest.mark.requirement("WHK-2")
def test_fifty_at_once_have_one_effect(connection: Connection, push: Push) -> None:
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda _: push(message_id="same"), range(50))) == {204}
    assert len(jobs()) == 1


@pytest.mark.bad_input(56)
@pytest.mark.bad_input(57)
@pytest.mark.bad_input(58)
@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "no json",
        "\ufeff{}",
        json.dumps({"message": None}),
        json.dumps({"message": {"data": 7}}),
        json.dumps({"message": {"data": "!!!"}}),
        json.dumps({"message": {"data": "e30="}}),
        json.dumps({"message": {"data": ["x"] * 10_000}}),
        "[" * 50_000 + "]" * 50_000,
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_a_body_that_is_no_notice(connection: Connection, push: Push, body: str) -> None:
    assert push(raw_body=body) == 400
    assert not jobs()


@pytest.mark.bad_input(58)
@pytest.mark.parametrize(
    "data",
    [
        '{"emailAddress":"tomas@gmail.example"}',
        '{"emailAddress":"tomas@gmail.example","historyId":true}',
        '{"emailAddress":"tomas@gmail.example","historyId":-4}',
        '{"emailAddress":["tomas@gmail.example"],"historyId":"4"}',
        '{"historyId":"4"}',
    ],
)
def test_fields_of_the_wrong_kind(connection: Connection, push: Push, data: str) -> None:
    assert push(data=data) == 400
    assert not noticed(connection)


@pytest.mark.bad_input(57)
@pytest.mark.requirement("WHK-3")
def test_a_large_body_is_refused_early(portal_url: str, connection: Connection) -> None:
    headers = {"Authorization": "Bearer a.b.c"}
    answer = httpx2.post(portal_url + PATH, content=b"x" * 300_000, headers=headers, trust_env=False)
    assert answer.status_code == 413
    assert httpx2.get(portal_url + PATH, trust_env=False).status_code in (404, 405)


@pytest.mark.bad_input(56)
def test_duplicate_keys_and_other_bytes() -> None:
    good = '{"message":{"data":"eyJlbWFpbEFkZHJlc3MiOiJBQHguZXhhbXBsZSIsImhpc3RvcnlJZCI6NX0","messageId":"1"}}'
    notice = read_notice(good.encode())
    assert notice is not None
    assert notice.mailbox_key == "a@x.example"
    assert read_notice(b"\xef\xbb\xbf" + good.encode()) is None
    assert read_notice(good.encode("utf-16")) is None
    assert read_notice(b"\x1f\x8b" + good.encode()) is None


@pytest.mark.requirement("WHK-1")
def test_keys_are_fetched_seldom(app: Flask, sandbox: Sandbox) -> None:
    """Cached; an unknown key id fetches anew, at most once a minute; a failing fetch keeps what is known."""
    keys = PushKeys(app.extensions["settings"].pubsub_jwks_url)
    assert keys.find("unknown") is None
    assert keys.find("another") is None
    fetched = sandbox.requests(path="/google/certs")
    assert len(fetched) == 1
    [kid] = keys._keys
    keys._tried_at -= 61
    sandbox.fault(path="/google/certs", status=500)
    assert keys.find("unknown") is None
    assert keys.find(kid) is not None
    assert len(sandbox.requests(path="/google/certs")) == 2


@pytest.mark.requirement("WHK-1")
def test_without_keys_nothing_is_believed(connection: Connection, push: Push, sandbox: Sandbox) -> None:
    sandbox.fault(path="/google/certs", status=503)
    assert push() == 503  # Pub/Sub comes again
    assert not noticed(connection)
