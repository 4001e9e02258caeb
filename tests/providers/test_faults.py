"""What Gmail does wrong, against the stand-in: bounded, sorted by what to do about it, nothing lost or doubled."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from portal.providers.errors import (
    AuthorizationLost,
    Limited,
    MissingPermission,
    SendCapReached,
    Temporary,
)
from portal.providers.types import Unread
from portal.rules.facts import MailFacts
from tests.providers.adapters import GMAIL
from tests.providers.conftest import AMY, OUT, Box, headers, ids_of, open_box
from tests.services.programs import Sandbox

READ = "https://www.googleapis.com/auth/gmail.readonly"
SEND = "https://www.googleapis.com/auth/gmail.send"


def google_error(code: int, message: str, reason: str) -> dict[str, object]:
    entry = {"message": message, "domain": "usageLimits", "reason": reason}
    return {"error": {"code": code, "message": message, "errors": [entry]}}


@pytest.fixture
def box(sandbox: Sandbox) -> Box:
    """Amy's Gmail mailbox."""
    return open_box(sandbox, GMAIL)


# tokens and permissions ----------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(12)
@pytest.mark.parametrize("work", ["profile", "aliases", "watch"])
def test_a_refused_token_is_renewed_once(box: Box, work: str) -> None:
    box.tokens.now, box.tokens.later = "ya29.expired", [box.tokens.now]
    assert box.run(lambda p: getattr(p, work)())
    assert box.tokens.refused == ["ya29.expired"]


@pytest.mark.provider_fault(12)
def test_a_token_that_is_refused_for_ever_ends_it(box: Box) -> None:
    box.tokens.now, box.tokens.later = "ya29.one", ["ya29.two", "ya29.three"]
    with pytest.raises(AuthorizationLost):
        box.run(lambda p: p.profile())
    assert box.tokens.now == "ya29.two"


@pytest.mark.provider_fault(12)
@pytest.mark.fault(17)
def test_a_token_that_ends_inside_a_batch_is_renewed_once_for_all(box: Box) -> None:
    received = box.receive(120)
    box.tokens.later = [str(box.sandbox.grant(AMY)["access_token"])]
    unauthenticated = google_error(401, "Invalid Credentials", "authError")
    box.sandbox.fault(
        method="GET", path="/gmail/v1/users/me/messages/*", skip=30, times=40, status=401, body=unauthenticated
    )
    found = headers(box, received)
    assert [item.provider_message_id for item in found if isinstance(item, MailFacts)] == received
    assert len(box.tokens.refused) == 1


@pytest.mark.provider_fault(12)
def test_a_batch_that_refuses_every_token_ends_it(box: Box) -> None:
    box.tokens.later = [str(box.sandbox.grant(AMY)["access_token"]) for _ in range(5)]
    box.sandbox.fault(path="/gmail/v1/users/me/messages/*", status=401, body=google_error(401, "x", "authError"))
    with pytest.raises(AuthorizationLost):
        headers(box, box.receive(3))
    assert len(box.tokens.refused) <= 2


@pytest.mark.provider_fault(13)
@pytest.mark.parametrize("form", ["both", "errors", "details"])
@pytest.mark.parametrize("scope", [READ, SEND])
def test_a_missing_permission_is_said_and_never_repeated(box: Box, form: str, scope: str) -> None:
    box.sandbox.call("POST", "/knobs", json={"scope_error_form": form})
    box.tokens.now = str(box.sandbox.grant(AMY, scopes=f"openid {scope}")["access_token"])
    box.sandbox.call("DELETE", "/requests")
    with pytest.raises(MissingPermission) as raised:
        box.run(lambda p: p.send(OUT, None) if scope == READ else p.profile())
    assert raised.value.cause == "permission_missing"
    assert len(box.sandbox.requests()) == 1


@pytest.mark.provider_fault(13)
def test_a_permission_that_is_missing_inside_a_batch_ends_it_at_once(box: Box) -> None:
    received = box.receive(3)
    box.tokens.now = str(box.sandbox.grant(AMY, scopes=f"openid {SEND}")["access_token"])
    with pytest.raises(MissingPermission):
        headers(box, received)


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [(403, "domainPolicy", "refused_by_provider_admin"), (400, "failedPrecondition", "mailbox_gone")],
)
def test_what_the_admin_or_google_closed_needs_attention(box: Box, status: int, reason: str, cause: str) -> None:
    box.sandbox.fault(path="/gmail/*", status=status, body=google_error(status, "Mail service not enabled", reason))
    with pytest.raises(AuthorizationLost) as raised:
        box.run(lambda p: p.profile())
    assert raised.value.cause == cause


# history and messages ------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(15)
@pytest.mark.fault(15)
def test_pages_that_lead_in_a_circle_end_and_lose_nothing(box: Box) -> None:
    start = box.cursor()
    received = box.receive(6)
    box.sandbox.quirk("history_page_size", value=2)
    box.sandbox.quirk("history_page_loop")
    pages = []

    async def read(provider) -> None:  # type: ignore[no-untyped-def]
        async for page in provider.changes(start):
            pages.append(page)

    with pytest.raises(Temporary, match="circle"):
        box.run(read)
    box.sandbox.clear_faults()
    assert ids_of(pages) + ids_of(box.changes(pages[-1].cursor)) == received


@pytest.mark.provider_fault(15)
@pytest.mark.fault(15)
def test_the_second_page_failing_or_its_token_expiring_is_for_another_run(box: Box) -> None:
    start = box.cursor()
    received = box.receive(4)
    for status, body in (
        (503, google_error(503, "x", "backendError")),
        (400, google_error(400, "Invalid pageToken", "x")),
    ):
        box.sandbox.quirk("history_page_size", value=2)
        box.sandbox.fault(path="*/history", skip=1, times=1, status=status, body=body)
        with pytest.raises(Temporary):
            box.changes(start)
    box.sandbox.clear_faults()
    assert ids_of(box.changes(start)) == received


@pytest.mark.provider_fault(16)
def test_a_message_that_is_named_but_gone_is_skipped(box: Box) -> None:
    start = box.cursor()
    [kept, deleted] = box.receive(2)
    box.sandbox.quirk("history_ghost", times=1)
    box.sandbox.call("DELETE", f"/mailboxes/{AMY}/messages/{deleted}")
    ids = ids_of(box.changes(start))
    assert len(ids) == 3
    found = headers(box, ids)
    assert [item.provider_message_id for item in found if isinstance(item, MailFacts)] == [kept]
    assert all(item.gone for item in found if isinstance(item, Unread))


@pytest.mark.fault(23)
def test_one_message_that_always_fails_does_not_stop_the_others(box: Box, hasty: None) -> None:
    received = box.receive(30)
    box.sandbox.fault(path=f"*/messages/{received[7]}", status=500, body=google_error(500, "x", "backendError"))
    found = headers(box, received)
    assert [item for item in found if isinstance(item, Unread)] == [
        Unread(received[7], gone=False, error="answer 500")
    ]
    assert len([item for item in found if isinstance(item, MailFacts)]) == 29


@pytest.mark.fault(12)
@pytest.mark.parametrize("path", ["/batch/*", "*/messages/*"])
def test_an_outage_is_never_taken_for_unreadable_mail(box: Box, hasty: None, path: str) -> None:
    received = box.receive(5)
    box.sandbox.fault(path=path, status=503, body=google_error(503, "x", "backendError"))
    with pytest.raises(Temporary):
        headers(box, received)


# quotas --------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(17)
@pytest.mark.fault(13)
@pytest.mark.parametrize("form", ["429", "429-retry-after", "403"])
def test_over_the_quota_it_waits_and_loses_nothing(box: Box, form: str) -> None:
    received = box.receive(102)
    box.sandbox.call("POST", "/quota", json={"per_user_per_minute": 2000, "form": form})
    found = headers(box, received)
    assert [item.provider_message_id for item in found if isinstance(item, MailFacts)] == received


@pytest.mark.provider_fault(17)
def test_too_many_in_flight_makes_it_modest(box: Box) -> None:
    received = box.receive(120)
    body = google_error(429, "Too many concurrent requests for user", "rateLimitExceeded")
    box.sandbox.fault(path="*/messages/*", skip=10, times=70, status=429, body=body)
    assert all(isinstance(item, MailFacts) for item in headers(box, received))


@pytest.mark.provider_fault(17)
@pytest.mark.parametrize(
    ("status", "message", "reason", "hours"),
    [
        (429, "User-rate limit exceeded.  Retry after {until} (Mail reading)", "rateLimitExceeded", (1.9, 2.1)),
        (403, "Daily Limit Exceeded", "dailyLimitExceeded", (0, 24.01)),
    ],
)
def test_a_limit_of_hours_is_for_another_run(
    box: Box, status: int, message: str, reason: str, hours: tuple[float, float]
) -> None:
    received = box.receive(3)
    until = (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    box.sandbox.fault(
        path="*/messages/*", status=status, body=google_error(status, message.format(until=until), reason)
    )
    started = time.monotonic()
    with pytest.raises(Limited) as raised:
        headers(box, received)
    assert time.monotonic() - started < 20
    assert hours[0] * 3600 < raised.value.seconds_left(datetime.now(UTC)) <= hours[1] * 3600


@pytest.mark.provider_fault(19)
@pytest.mark.rule("G-14")
def test_the_cap_of_sent_mail_is_its_own_trouble(box: Box) -> None:
    until = (datetime.now(UTC) + timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    body = google_error(429, f"User-rate limit exceeded.  Retry after {until} (Mail sending)", "rateLimitExceeded")
    box.sandbox.fault(path="*/messages/send", status=429, body=body)
    with pytest.raises(SendCapReached) as raised:
        box.run(lambda p: p.send(OUT, None))
    assert raised.value.until is not None
