"""Two people with mailboxes in the stand-in, and an app that may read and send for the first."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from devtools.settings import CALLBACK
from tests.sandbox.google_app import Gmail, GoogleApp
from tests.sandbox.graph_app import GraphApp
from tests.services.programs import Sandbox

AMY, PAT, OLIVE = "amy@practice.example", "pat@gmail.com", "olive@clinic.example"


@pytest.fixture(scope="session")
def http(sandbox_program: Sandbox) -> Iterator[httpx2.Client]:
    """A client of the stand-in; one for all tests, since each new one loads the certificates."""
    with httpx2.Client(base_url=sandbox_program.url, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
def google(sandbox: Sandbox, http: httpx2.Client, ports: tuple[int, int, int, int]) -> GoogleApp:
    """The app; Amy (Workspace) and Pat (Gmail) live in the stand-in."""
    sandbox.add_mailbox(AMY, "Amy Stone", kind="workspace", aliases=["office@practice.example"])
    sandbox.add_mailbox(PAT, "Pat Rivers")
    return GoogleApp(http, f"http://127.0.0.1:{ports[0]}{CALLBACK}")


@pytest.fixture
def gmail(sandbox: Sandbox, google: GoogleApp) -> Gmail:
    """Gmail for Amy, with the permissions that the portal asks for."""
    return Gmail(google, sandbox.grant(AMY)["access_token"])


@pytest.fixture
def graph(sandbox: Sandbox, http: httpx2.Client) -> GraphApp:
    """Graph for Olive (work), with the permissions that the portal asks for; Pat (Gmail) can write to her."""
    sandbox.add_mailbox(OLIVE, "Olive Oak", provider="microsoft", kind="workspace")
    sandbox.add_mailbox(PAT, "Pat Rivers")
    return GraphApp(http, sandbox.grant(OLIVE)["access_token"])
