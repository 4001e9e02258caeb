"""Answers that are late, cut, foreign or lost: bounded, never believed, and a send is never doubled or lost."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from portal.lib.http import Http
from portal.providers.errors import Limited, Temporary, Unanswered
from portal.providers.google.client import GmailClient, NotSent
from portal.providers.google.mail import GmailProvider
from portal.providers.types import Unread
from tests.providers.adapters import GMAIL
from tests.providers.conftest import AMY, OUT, OWN, PAT, Box, headers, letter, open_box
from tests.services.programs import Sandbox


@pytest.fixture
def box(sandbox: Sandbox) -> Box:
    """Amy's Gmail mailbox."""
    return open_box(sandbox, GMAIL)


# sending -------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(18)
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "after_effect": True},
        {"drop": True},
        {"status": 500, "after_effect": True},
        {"status": 503},
        {"status": 200, "body": "<html>gateway</html>", "after_effect": True},
        {"truncate": 9, "after_effect": True},
        {"truncate_connection": 9, "after_effect": True},
        {"status": 302, "headers": {"Location": "https://evil.example/"}},
    ],
    ids=str,
)
def test_a_send_without_a_good_answer_may_have_left(box: Box, fault: dict[str, object]) -> None:
    box.sandbox.fault(path="*/messages/send", times=1, **fault)
    with pytest.raises(Unanswered):
        box.run(lambda p: p.send(OUT, None))
    assert len(box.sandbox.messages(PAT)) == bool(fault.get("after_effect"))


@pytest.mark.provider_fault(18)
def test_a_send_whose_wire_id_cannot_be_read_has_left_all_the_same(box: Box) -> None:
    box.sandbox.fault(method="GET", path="*/messages/*", status=500)
    sent = box.run(lambda p: p.send(OUT, None))
    assert sent.provider_message_id
    assert sent.internet_message_id == ""


@pytest.mark.provider_fault(18)
@pytest.mark.provider_fault(39)
@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:9", "http://no-such-host.invalid", "https://{plain}", "http://127.0.0.1:9:9"]
)
def test_a_send_that_never_left_is_known_to_have_stayed(box: Box, base: str) -> None:
    url = base.format(plain=box.sandbox.url.removeprefix("http://"))

    async def send() -> None:
        async with Http() as http:
            await GmailProvider(GmailClient(http, url, box.tokens)).send(OUT, None)

    with pytest.raises(NotSent):
        asyncio.run(send())


def test_a_token_that_cannot_be_had_now_means_that_nothing_left(box: Box) -> None:
    async def no_token(_refused: str | None) -> str:
        raise Temporary("the token endpoint is away")

    async def send() -> None:
        async with Http() as http:
            await GmailProvider(GmailClient(http, box.sandbox.url, no_token)).send(OUT, None)

    with pytest.raises(NotSent):
        asyncio.run(send())


# the wire ------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(39)
@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "fault",
    [
        {"truncate": 20},
        {"truncate_connection": 20},
        {"status": 200, "body": "<html>Sign in to the hotel's network</html>"},
        {"status": 200, "body": ""},
        {"status": 200, "body": []},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}},
        {"status": 502, "body": "<html>"},
        {"status": 404, "body": "<html>not here</html>"},
        {"status": 403, "body": "<html>blocked by your firewall</html>"},
        {"drop": True},
        {"status": 200, "body": "no gzip", "headers": {"Content-Encoding": "gzip"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("work", ["profile", "changes", "headers"])
def test_an_answer_that_is_none_changes_nothing(box: Box, hasty: None, fault: dict[str, object], work: str) -> None:
    received, cursor = box.receive(2), box.cursor()
    box.sandbox.fault(path="/batch/*" if work == "headers" else "/gmail/*", **fault)
    doing = {
        "profile": lambda: box.run(lambda p: p.profile()),
        "changes": lambda: box.changes(cursor),
        "headers": lambda: headers(box, received),
    }
    with pytest.raises(Temporary):
        doing[work]()


@pytest.mark.provider_fault(39)
def test_a_compressed_answer_is_read(box: Box) -> None:
    box.sandbox.fault(path="/gmail/*", gzip=True)
    assert box.run(lambda p: p.profile()).address == AMY


@pytest.mark.provider_fault(39)
@pytest.mark.fault(14)
def test_an_answer_that_drips_or_never_comes_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in ({"drip": 20}, {"delay_ms": 3000}):
        box.sandbox.fault(path="*/profile", times=1, **fault)

        async def ask() -> None:
            async with Http() as http:
                client = GmailClient(http, box.sandbox.url, box.tokens)
                await client.call("GET", "/gmail/v1/users/me/profile", 1, read_seconds=0.5)

        started = time.monotonic()
        with pytest.raises(Temporary):
            asyncio.run(ask())
        assert time.monotonic() - started < 15


@pytest.mark.provider_fault(39)
def test_an_answer_of_any_size_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.lib.http.MAX_ANSWER_BYTES", 100_000)
    box.sandbox.fault(path="*/profile", status=200, body="x" * 10_000_000, gzip=True)
    with pytest.raises(Temporary, match="too large"):
        box.run(lambda p: p.profile())


@pytest.mark.provider_fault(39)
def test_a_batch_too_large_for_one_answer_is_asked_in_pieces(
    box: Box, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.lib.http.MAX_ANSWER_BYTES", 400_000)
    small = box.receive(20)
    large = box.sandbox.deliver(letter(text=("y" * 70 + "\r\n") * 9000), AMY, PAT)[AMY]
    medium = [box.sandbox.deliver(letter(text=("y" * 70 + "\r\n") * 2000), AMY, PAT)[AMY] for _ in range(4)]
    asked = [*small, large, *medium]
    found = box.run(lambda p: p.messages(asked, OWN))
    assert [item.provider_message_id for item in found if isinstance(item, Unread)] == [large]


@pytest.mark.provider_fault(39)
@pytest.mark.parametrize("offset", [600, -600])
def test_a_clock_ten_minutes_off_only_shifts_the_wait(box: Box, hasty: None, offset: int) -> None:
    box.sandbox.call("POST", "/clock", json={"offset_seconds": offset})
    received = box.receive(130)
    box.sandbox.call("POST", "/quota", json={"per_user_per_minute": 1200})
    with contextlib.suppress(Limited):
        headers(box, received)
