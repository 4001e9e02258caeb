"""The portal behind a real server, so that the stand-in can push to it, and a mailbox that is connected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from portal.database import db
from portal.models import Connection
from tests import factories
from tests.services.programs import Sandbox

MAILBOX = "tomas@gmail.example"


@pytest.fixture
def portal_url(app: Flask, ports: tuple[int, int, int, int]) -> Iterator[str]:
    """The URL of the running application."""
    app.extensions.pop("push_keys", None)
    server = make_server("127.0.0.1", ports[0], app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{ports[0]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def connection(app: Flask) -> Connection:
    """A connected mailbox that nothing is due for."""
    account = factories.make_account()
    row = factories.make_connection(account, factories.make_member(account), MAILBOX, cursor="1000")
    db.session.commit()
    return row


@pytest.fixture
def push(sandbox: Sandbox, portal_url: str) -> Callable[..., int]:
    """Let the stand-in push one notice; the portal's status."""

    def send(**shape: Any) -> int:
        shape = {"mailbox": MAILBOX, "history_id": "1001"} | shape
        if "raw_body" in shape or "data" in shape:
            shape.pop("mailbox")
        return int(sandbox.call("POST", "/push", json={"url": f"{portal_url}/webhooks/google/gmail", **shape})["status"])

    return send
