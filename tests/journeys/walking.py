"""What journeys share: a page that is looked at by axe and for policy violations, and the demo practice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from portal.demo.people import PASSWORD, Person
from tests.services.portal import RunningPortal

ROOT = Path(__file__).resolve().parents[2]
AXE = (ROOT / "tests" / "assets" / "axe.min.js").read_text()
SECONDS = 1000
SOON = 20 * SECONDS  # a push notice, a job, a page

__all__ = ["SOON", "expect"]


def flask(portal: RunningPortal, *arguments: str) -> str:
    """A command in the running portal's settings; raises where it fails."""
    environ = os.environ | portal.backend.environ
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def decisions(portal: RunningPortal, mailbox: str) -> list[dict[str, Any]]:
    """What the sync decided in a mailbox."""
    found: list[dict[str, Any]] = json.loads(flask(portal, "sync", "decisions", "--mailbox", mailbox, "--json"))
    return found


class Walk:
    """One person's way through the portal. Every page that is opened is checked for barriers and policy violations."""

    def __init__(self, page: Page, portal: RunningPortal) -> None:
        self.page, self.portal = page, portal
        self.violations: list[str] = []
        page.on("console", lambda message: self._note(message.text))

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.violations.append(text)

    def sign_in(self, person: Person) -> None:
        """Through the sign-in page."""
        self.page.goto(f"{self.portal.url}/sign-in")
        self.page.get_by_label("Email").fill(person.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page).not_to_have_url(f"{self.portal.url}/sign-in")
        self.check()

    def open(self, path: str) -> None:
        """Open a page of the portal."""
        self.page.goto(self.portal.url + path)
        self.check()

    def press(self, name: str) -> None:
        """Press a button or follow a link by its words."""
        self._pressable(name).first.click()
        self.page.wait_for_load_state()

    def _pressable(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))

    def sees(self, words: str) -> None:
        """The page shows these words."""
        expect(self.page.get_by_text(words).first).to_be_visible()

    def check(self) -> None:
        """No barrier that axe finds, nothing that the policy refused, one heading of the first level, a title."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("async () => (await axe.run()).violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))")
        assert found == [], f"{self.page.url}: {found}"
        assert self.violations == [], f"{self.page.url}: {self.violations}"
        assert self.page.locator("h1").count() == 1, self.page.url

    def until(self, path: str, shown: Callable[[Page], Locator]) -> None:
        """Open a page again and again until something stands on it."""
        for _try in range(60):
            self.page.goto(self.portal.url + path)
            if shown(self.page).count():
                return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"{path} never showed it: {self.page.inner_text('main')[:2000]}")
