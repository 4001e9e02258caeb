"""A person at the stand-in's consent pages: chooses an account, types the password, ticks boxes, presses Continue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

from tests.services.programs import Sandbox

PASSWORD = "demo-password"
FLOW = re.compile(r'name="flow" value="([^"]+)"')
BOX = re.compile(r'name="scope" value="([^"]+)"')


class ConsentFailed(AssertionError):
    """A page of the stand-in answered something else than expected; its words are in the message."""


def consent(
    sandbox: Sandbox,
    location: str,
    mailbox: str,
    password: str = PASSWORD,
    untick: Sequence[str] = (),
    decision: str = "allow",
) -> str:
    """Go through consent at `location` (where the portal sent the browser) as `mailbox`; returns the callback's URL.

    `untick` are words of scopes to leave unticked ("send", "readonly"). `decision` "deny" presses Cancel. Where Microsoft
    demands a code, the one that the stand-in shows is typed.
    """
    with httpx2.Client(base_url=sandbox.url, timeout=20, trust_env=False) as browser:
        page = browser.get(location)
        if urlsplit(location).path.startswith("/microsoft/"):
            return _microsoft(sandbox, browser, page, mailbox, password, decision)
        return _google(browser, page, mailbox, password, untick, decision)


def _google(
    browser: httpx2.Client, page: httpx2.Response, mailbox: str, password: str, untick: Sequence[str], decision: str
) -> str:
    flow = _flow(page)
    if "/google/signin" in page.text:
        page = browser.post("/google/signin", data={"flow": flow, "email": mailbox, "password": password})
    elif mailbox.lower() not in page.text.lower():
        browser.get("/google/choose", params={"flow": flow})
        page = browser.post("/google/signin", data={"flow": flow, "email": mailbox, "password": password})
    if page.status_code == 302:
        return _callback(page)
    boxes = [unescape(scope) for scope in BOX.findall(page.text)]
    ticked = [scope for scope in boxes if not any(word in scope for word in untick)]
    _flow(page)
    page = browser.post("/google/consent", data={"flow": flow, "decision": decision, "scope": ticked})
    return _callback(page)


def _microsoft(
    sandbox: Sandbox, browser: httpx2.Client, page: httpx2.Response, mailbox: str, password: str, decision: str
) -> str:
    """Microsoft's pages have no boxes: all or nothing."""
    if page.status_code in (302, 303):
        return _callback(page)
    flow = _flow(page)
    if "/microsoft/signin" not in page.text and mailbox.lower() not in page.text.lower():
        page = browser.get("/microsoft/choose", params={"flow": flow})
    if "/microsoft/signin" in page.text:
        page = browser.post("/microsoft/signin", data={"flow": flow, "email": mailbox, "password": password})
    if 'action="/microsoft/code"' in page.text:
        page = browser.post("/microsoft/code", data={"flow": flow, "otc": sandbox.code_of(mailbox)})
    if page.status_code in (302, 303):
        return _callback(page)
    _flow(page)
    pressed = "accept" if decision == "allow" else "cancel"
    return _callback(browser.post("/microsoft/consent", data={"flow": flow, "decision": pressed}))


def _flow(page: httpx2.Response) -> str:
    found = FLOW.search(page.text)
    if page.status_code != 200 or found is None:
        raise ConsentFailed(f"{page.status_code}: {page.text[:2000]}")
    return unescape(found[1])


def _callback(page: httpx2.Response) -> str:
    if page.status_code not in (302, 303):
        raise ConsentFailed(f"{page.status_code}: {page.text[:2000]}")
    return urljoin(str(page.url), page.headers["location"])


def callback_path(url: str) -> str:
    """Path and query of a callback, for the portal's test client."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def asked(location: str) -> dict[str, str]:
    """What the portal asked of the consent page."""
    return dict(parse_qsl(urlsplit(location).query))
