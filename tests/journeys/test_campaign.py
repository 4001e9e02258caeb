"""A campaign as a person sends it: written, started, watched, paused, its worker killed, resumed, done; each mail once.

On PostgreSQL to 5,000 contacts; on SQLite, which is for one practice's own machine, to 300, each answered a little late so
that there is something to watch.
"""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest
from playwright.sync_api import Page

from portal.auth.passwords import hash_password
from portal.database import transaction
from portal.demo.people import PASSWORD, PEOPLE
from tests import factories
from tests.journeys.walking import SECONDS, Walk, expect, flask
from tests.services.portal import RunningPortal

KAI = next(person for person in PEOPLE if person.role == "marketing")
SIZES = {"sqlite": 300, "postgres": 5_000}
LATE = {"sqlite": 0.03, "postgres": 0.0}  # seconds before each 250
STEP = 25
UNTIL_DONE = 150 * SECONDS


@pytest.mark.journey
@pytest.mark.rule("S-02")
@pytest.mark.fault(2)
def test_a_campaign_is_watched_paused_and_survives_its_worker(page: Page, portal: RunningPortal) -> None:
    kind = "postgres" if portal.backend.environ["DATABASE_URL"].startswith("postgres") else "sqlite"
    people = SIZES[kind]
    make_practice(portal)
    flask(portal, "demo", "contacts", "--account", "uptown", str(people))
    if LATE[kind]:
        portal.sandbox.smtp_fault("stall", seconds=LATE[kind])
    walk = Walk(page, portal)
    walk.sign_in(KAI)
    write_and_start(walk, people)
    seen = the_bar_moves(walk)
    left = pause(walk, people, at_least=seen)
    kill_the_worker(portal)
    still_paused(walk, left)
    resume_until_done(walk, people)
    each_got_it_once(walk, people)


def make_practice(portal: RunningPortal) -> None:
    """A place with a mail server and Kai, who does its marketing; no mailboxes."""
    with portal.backend.app.app_context(), transaction():
        account = factories.make_account("uptown")
        factories.make_relay(account, portal.sandbox.smtp_port)
        user = factories.make_user(KAI.email, name=KAI.name, password_hash=hash_password(PASSWORD))
        factories.make_member(account, KAI.role, user=user)


def write_and_start(walk: Walk, people: int) -> None:
    page = walk.page
    walk.open("/campaigns")
    walk.press("Write a campaign")
    walk.check()
    page.get_by_label("Search by name or address").fill("@people.example")
    page.get_by_label("Name", exact=True).fill("Autumn at Lumen")
    page.get_by_label("Subject").fill("Our autumn, {first_name|dear guest}")
    page.locator("#text").click()
    page.keyboard.type("Hello {first_name|there}, the calendar for the autumn is open.")
    walk.press("Save campaign")
    walk.check()
    walk.sees(f"{people:,} people")
    walk.press("Look at it and start")
    walk.check()
    walk.press(f"Send it to {people:,} people")


def settled(page: Page) -> int:
    """How far the bar on the page is."""
    return int(page.get_by_role("progressbar").get_attribute("aria-valuenow") or 0)


def the_bar_moves(walk: Walk) -> int:
    """Counts rise in the open page, which nobody loads again."""
    page = walk.page
    page.evaluate("window.stayed = true")
    seen = [0]
    for _try in range(160):
        shown = settled(page) if page.get_by_role("progressbar").count() else 0
        if shown > seen[-1]:
            seen.append(shown)
        if len(seen) > 3 or (len(seen) > 2 and shown > STEP):
            break
        page.wait_for_timeout(250)
    assert len(seen) > 2, f"the bar does not move: {seen}\n{walk.portal.log('worker-1')}"
    assert page.evaluate("window.stayed") is True, "the page was not loaded again"
    walk.check()
    return seen[-1]


def pause(walk: Walk, people: int, at_least: int) -> int:
    """Nothing more leaves; how many mails have."""
    walk.press("Pause campaign")
    walk.check()
    walk.sees("Paused. Nothing leaves until somebody resumes it.")
    walk.page.wait_for_timeout(1 * SECONDS)
    left = walk.portal.sandbox.sink_count()
    assert at_least <= left < people
    walk.page.wait_for_timeout(2 * SECONDS)
    assert walk.portal.sandbox.sink_count() == left, "the counter stands still"
    return left


def kill_the_worker(portal: RunningPortal) -> None:
    """As a power cut would; the supervisor starts it again."""
    child = next(c for stage in portal.supervisor.stages for c in stage if c.program.name == "worker-1")
    killed = child.process
    killed.kill()
    killed.wait()
    ends_at = time.monotonic() + 20
    portal.supervisor.watch(until=lambda: child.process is not killed or time.monotonic() > ends_at)
    assert child.process is not killed


def still_paused(walk: Walk, left: int) -> None:
    """A new worker does not begin by itself, and the page says what has left."""
    path = walk.page.url.removeprefix(walk.portal.url).partition("#")[0]
    walk.open(path)
    walk.sees("Paused. Nothing leaves until somebody resumes it.")
    assert settled(walk.page) == walk.portal.sandbox.sink_count() == left


def resume_until_done(walk: Walk, people: int) -> None:
    page = walk.page
    walk.portal.sandbox.clear_smtp_faults()
    walk.press("Resume campaign")
    walk.check()
    expect(page.get_by_text("Done.", exact=True)).to_be_visible(timeout=UNTIL_DONE)
    walk.check()
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", str(people))
    walk.sees(f"{people:,} of {people:,} mails")


def each_got_it_once(walk: Walk, people: int) -> None:
    """The mail server holds one mail for each; none is uncertain, or it is there."""
    mails = walk.portal.sandbox.sink(with_text=False)
    got = Counter(address for mail in mails for address in mail["rcpts"])
    assert len(mails) == len(got) == people
    assert set(got.values()) == {1}
    perhaps = walk.page.get_by_role("listitem").filter(has_text=re.compile(r"^\s*[\d,]+ perhaps sent"))
    assert "0 perhaps sent" in " ".join(perhaps.inner_text().split()), "it was paused before the worker died"
    subjects = {mail["headers"]["subject"] for mail in mails}
    assert len(subjects) > 20
    assert all("{" not in subject for subject in subjects)
    assert all(mail["headers"]["list-unsubscribe-post"] == "List-Unsubscribe=One-Click" for mail in mails)
    assert len({mail["mail_from"] for mail in mails}) == people
