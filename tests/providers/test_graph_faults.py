"""What Graph does wrong, against the stand-in: bounded, sorted by what to do about it, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from portal.lib.http import Answer
from portal.providers.errors import (
    AuthorizationLost,
    CursorExpired,
    Gone,
    Limited,
    MissingPermission,
    ProviderError,
    Refused,
    SendCapReached,
    Temporary,
    TokenRefused,
)
from portal.providers.microsoft.errors import error_of
from portal.providers.microsoft.mail import GraphProvider
from portal.providers.types import Unread
from portal.rules.facts import MailFacts
from tests.providers.adapters import OUTLOOK
from tests.providers.conftest import AMY, OWN, PAT, headers, ids_of, open_box
from tests.providers.outlook import OutlookBox
from tests.providers.test_graph import outgoing
from tests.services.programs import Sandbox


@pytest.fixture
def box(sandbox: Sandbox) -> OutlookBox:
    """Amy's Outlook mailbox."""
    return OutlookBox(sandbox, OUTLOOK, open_box(sandbox, OUTLOOK).tokens)


def graph_error(code: str, message: str = "x") -> dict[str, object]:
    return {"error": {"code": code, "message": message, "innerError": {}}}


def answer(status: int, code: str = "", **fields: str) -> Answer:
    return Answer(status, fields, orjson.dumps(graph_error(code)) if code else b"<html>")


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (answer(401, "InvalidAuthenticationToken"), TokenRefused),
        (answer(403, "ErrorAccessDenied"), MissingPermission),
        (answer(403, "ErrorSendAsDenied"), Refused),
        (answer(404, "ErrorItemNotFound"), Gone),
        (answer(400, "ErrorInvalidIdMalformed"), Refused),
        (answer(410, "syncStateNotFound"), CursorExpired),
        (answer(400, "SyncStateNotFound"), CursorExpired),
        (answer(404, "resyncRequired"), CursorExpired),
        (answer(400, "InvalidSyncStateData"), CursorExpired),
        (answer(404, "MailboxNotEnabledForRESTAPI"), AuthorizationLost),
        (answer(403, "ErrorMailboxNotEnabledForRESTAPI"), AuthorizationLost),
        (answer(429, "ApplicationThrottled"), Limited),
        (answer(429), Limited),
        (answer(503, "ServiceUnavailable", **{"retry-after": "7"}), Limited),
        (answer(503, "ServiceUnavailable"), Temporary),
        (answer(504), Temporary),
        (answer(400, "ErrorExceededMessageLimit"), SendCapReached),
        (answer(403, "ErrorExceededMessageLimit"), SendCapReached),
        (answer(429, "ErrorSubmissionQuotaExceeded"), SendCapReached),
        (answer(403, "ErrorMessageSubmissionBlocked"), SendCapReached),
        (answer(413), Refused),
        (answer(409, "ErrorIrresolvableConflict"), Temporary),
        (answer(403), Temporary),
        (answer(302), Temporary),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_an_error_is_sorted_by_what_to_do_about_it(found: Answer, kind: type[ProviderError]) -> None:
    assert type(error_of(found)) is kind


@pytest.mark.parametrize(("told", "seconds"), [("7", 7), ("99999", 3600), ("", 0), ("soon", 0), ("-5", 0), ("9" * 30, 0)])
def test_a_wait_is_believed_up_to_an_hour(told: str, seconds: int) -> None:
    error = error_of(answer(429, "TooManyRequests", **{"retry-after": told}))
    assert isinstance(error, Limited)
    assert error.seconds_left(datetime.now(UTC)) == seconds


# tokens and permissions ----------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(12)
def test_a_refused_token_is_renewed_once(box: OutlookBox) -> None:
    box.tokens.now, box.tokens.later = "expired", [box.tokens.now]
    assert box.run(lambda p: p.profile()).address == AMY
    assert box.tokens.refused == ["expired"]


@pytest.mark.provider_fault(12)
def test_a_token_that_is_refused_for_ever_ends_it(box: OutlookBox) -> None:
    received = box.receive()
    for work in (lambda p: p.profile(), lambda p: p.headers(received, OWN), lambda p: p.send(outgoing(), None)):
        box.tokens.now, box.tokens.later = "one", ["two", "three"]
        with pytest.raises(AuthorizationLost):
            box.run(work)
        assert box.tokens.now == "two"


@pytest.mark.provider_fault(12)
def test_a_token_that_ends_inside_a_batch_is_renewed_once_for_all(box: OutlookBox) -> None:
    received = box.receive(50)
    box.tokens.later = [str(box.sandbox.grant(AMY)["access_token"])]
    box.sandbox.fault(method="GET", path="/graph/v1.0/me/messages/*", skip=15, times=25, status=401)
    assert [m.provider_message_id for m in headers(box, received) if isinstance(m, MailFacts)] == received
    assert len(box.tokens.refused) == 1


@pytest.mark.provider_fault(13)
def test_a_missing_permission_is_said_and_never_repeated(box: OutlookBox) -> None:
    received = box.receive()
    works = [("User.Read Mail.Send", lambda p: p.profile()), ("User.Read Mail.Send", lambda p: p.headers(received, OWN))]
    works += [("User.Read Mail.ReadWrite", lambda p: p.send(outgoing(), None))]
    for scope, work in works:
        box.tokens.now = str(box.sandbox.grant(AMY, scopes=f"openid {scope}")["access_token"])
        with pytest.raises(MissingPermission) as raised:
            box.run(work)
        assert raised.value.cause == "permission_missing"
    assert len(box.sandbox.messages(PAT)) == 0


@pytest.mark.provider_fault(31)
def test_an_identity_without_a_mailbox_is_told_so(box: OutlookBox) -> None:
    jo = "jo@practice.example"
    box.sandbox.add_mailbox(jo, provider="microsoft", kind="workspace", mail_enabled=False)
    with pytest.raises(AuthorizationLost) as raised:
        OutlookBox(box.sandbox, OUTLOOK, OUTLOOK.tokens(box.sandbox, jo)).run(lambda p: p.profile())
    assert raised.value.cause == "mailbox_gone"


# delta ---------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(24)
@pytest.mark.fault(15)
@pytest.mark.parametrize("form", ["410", "400 SyncStateNotFound", "404 resyncRequired", "400 InvalidSyncStateData", "409 syncstatenotfound"])
def test_a_lost_state_is_said_and_the_list_brings_what_came_meanwhile(box: OutlookBox, form: str) -> None:
    since, start = datetime.now(UTC) - timedelta(minutes=1), box.cursor()
    received = box.receive(3)
    box.sandbox.quirk("ms_sync_state_lost", value=form, times=1)
    with pytest.raises(CursorExpired):
        box.changes(start)

    async def listed(provider: GraphProvider) -> list[str]:
        cursor = (await provider.profile()).cursor
        return ids_of([page async for page in provider.listing(since, cursor)])

    assert box.run(listed) == received


@pytest.mark.provider_fault(25)
def test_a_link_away_from_graph_is_neither_asked_nor_kept(box: OutlookBox) -> None:
    start = box.cursor()
    received = box.receive(2)
    box.sandbox.quirk("ms_delta_foreign_link", times=2)
    with pytest.raises(Temporary, match="link"):
        box.changes(start)
    box.sandbox.clear_faults()
    assert ids_of(box.changes(start)) == received
    foreign = orjson.dumps({"inbox": "https://evil.example/v1.0/me", "sentitems": orjson.loads(start)["sentitems"]}).decode()
    with pytest.raises(CursorExpired):
        box.changes(foreign)
    assert not [url for _, url, _ in box.asked if not url.startswith(box.sandbox.url)]


@pytest.mark.provider_fault(25)
def test_what_is_said_again_in_the_next_round_is_said_as_the_same(box: OutlookBox) -> None:
    start = box.cursor()
    received = box.receive(2)
    box.sandbox.quirk("ms_delta_replay")
    first = box.changes(start)
    assert ids_of(first) == ids_of(box.changes(first[-1].cursor)) == received


@pytest.mark.provider_fault(25)
def test_empty_pages_without_end_are_ended(box: OutlookBox) -> None:
    start = box.cursor()
    box.receive(2)
    box.sandbox.quirk("ms_delta_empty_page")
    with pytest.raises(Temporary, match="circle"):
        box.changes(start)


# limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(26)
def test_never_more_are_in_flight_than_graph_allows(box: OutlookBox) -> None:
    received = box.receive(40)
    box.sandbox.quirk("ms_slow_ms", value=60)

    async def all_at_once(provider: GraphProvider) -> list[object]:
        works = [provider.headers(received[i::8], OWN) for i in range(8)] + [provider.aliases() for _ in range(8)]
        return await asyncio.gather(*works)

    assert len(box.run(all_at_once)) == 16
    assert 429 not in {row["status"] for row in box.sandbox.requests()}


@pytest.mark.provider_fault(26)
@pytest.mark.parametrize("told", [{"Retry-After": "1"}, {}], ids=["told", "untold"])
@pytest.mark.parametrize("status", [429, 503])
def test_throttled_inside_a_batch_it_waits_and_loses_nothing(
    box: OutlookBox, hasty: None, told: dict[str, str], status: int
) -> None:
    received = box.receive(25)
    box.sandbox.fault(method="GET", path="/graph/v1.0/me/messages/*", skip=5, times=15, status=status, headers=told)
    assert [m.provider_message_id for m in headers(box, received) if isinstance(m, MailFacts)] == received


@pytest.mark.provider_fault(26)
def test_a_long_wait_is_for_another_run(box: OutlookBox) -> None:
    received = box.receive(3)
    box.sandbox.fault(path="*/me/messages/*", status=429, headers={"Retry-After": "600"})
    started = time.monotonic()
    with pytest.raises(Limited) as raised:
        headers(box, received)
    assert time.monotonic() - started < 20
    assert raised.value.seconds_left(datetime.now(UTC)) == 600


@pytest.mark.fault(23)
def test_one_message_that_always_fails_does_not_stop_the_others(box: OutlookBox, hasty: None) -> None:
    received = box.receive(22)
    number = box.sandbox.messages(AMY)[7]["id"]
    box.sandbox.fault(path=f"*/messages/{OUTLOOK.id_of(number)}", status=500)
    found = headers(box, received)
    assert [item.provider_message_id for item in found if isinstance(item, Unread) and not item.gone] == [received[7]]
    assert len([item for item in found if isinstance(item, MailFacts)]) == 21


@pytest.mark.fault(12)
@pytest.mark.parametrize("path", ["*/$batch", "*/me/messages/*"])
def test_an_outage_is_never_taken_for_unreadable_mail(box: OutlookBox, hasty: None, path: str) -> None:
    received = box.receive(5)
    box.sandbox.fault(path=path, status=503)
    with pytest.raises(Temporary):
        headers(box, received)


# the wire ------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(39)
@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "fault",
    [
        {"truncate": 20}, {"truncate_connection": 20}, {"status": 200, "body": "<html>Sign in to the hotel's network</html>"},
        {"status": 200, "body": ""}, {"status": 200, "body": []}, {"status": 200, "body": {}}, {"status": 502, "body": "<html>"},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:9/"}}, {"status": 403, "body": "<html>blocked</html>"}, {"drop": True},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("work", ["profile", "changes", "headers"])
def test_an_answer_that_is_none_changes_nothing(box: OutlookBox, hasty: None, fault: dict[str, object], work: str) -> None:
    received, cursor = box.receive(2), box.cursor()
    box.sandbox.fault(path="/graph/*", **fault)
    doing = {
        "profile": lambda: box.run(lambda p: p.profile()),
        "changes": lambda: box.changes(cursor),
        "headers": lambda: headers(box, received),
    }
    with pytest.raises(Temporary):
        doing[work]()
