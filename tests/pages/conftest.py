"""An application that never reaches a database: for macros, and for the page that says so."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from config import Settings
from devtools.places import free_port
from portal import create_app

Macro = Callable[..., str]


def lonely_app() -> Flask:
    """The application on ports where nobody listens."""
    nobody = free_port()
    return create_app(
        Settings(
            app_env="test",
            secret_key="only-for-tests-" + "x" * 32,
            sealing_keys=(("t1", b"only-for-tests-32-bytes-long-key"),),
            audit_key=base64.b64encode(b"audit").decode(),
            database_url=f"postgresql+psycopg://nobody@127.0.0.1:{nobody}/none?connect_timeout=2",
            redis_url=f"redis://127.0.0.1:{nobody}/0",
        )
    )


@pytest.fixture(scope="module")
def lonely() -> Flask:
    """One such application for a file of tests."""
    return lonely_app()


@pytest.fixture
def macro(lonely: Flask) -> Iterator[Callable[[str], Any]]:
    """`macro("button")("Send")` gives the mark-up of a component; the filters know no account (UTC)."""
    with lonely.test_request_context("/somewhere"):
        yield lambda name: getattr(lonely.jinja_env.get_template(f"components/{name}.html").module, name)
