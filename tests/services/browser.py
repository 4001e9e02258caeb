"""A real Chromium for the journeys.

Playwright's synchronous interface keeps an event loop running in this thread for as long as it lives, and no other
test could use `asyncio.run` beside it. So it lives for one module of journeys, not for the whole session.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from devtools import browser as programs
from devtools.places import Places
from tests.services.unavailable import unavailable

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-zygote", "--disable-dev-shm-usage", "--disable-background-networking",
    "--no-first-run", "--disable-sync", "--disable-component-update", "--proxy-bypass-list=*", "--no-proxy-server",
]  # fmt: skip
WAIT_MILLISECONDS = 15_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    places = Places.of_this_checkout()
    found = programs.find(places)
    if found is None:
        unavailable("Chromium", programs.REMEDY)
    os.environ.update(programs.environment(places))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=found.path, args=ARGUMENTS, env={**os.environ, **found.env}
        )
        yield running
        running.close()


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's own browser: no cookies, 1280 by 800, English, in the practice's zone."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="America/New_York"
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    """A page in it."""
    return browser_context.new_page()
