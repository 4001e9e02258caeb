"""Every trouble at the provider has its outcome: nothing lost, nothing twice, the right person told."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from portal.database import db
from portal.lib.clock import now
from portal.models import Connection, Notice
from portal.sync import outcomes
from tests.sync.conftest import OWN, Practice


def limit_body(text: str = "User-rate limit exceeded.", reason: str = "rateLimitExceeded") -> dict[str, Any]:
    """Google's error for a limit."""
    return {"error": {"code": 429, "message": text, "errors": [{"reason": reason, "domain": "usageLimits"}]}}


def fresh(practice: Practice) -> Connection:
    """The connection as it stands."""
    db.session.expire_all()
    return practice.connection


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    "rule",
    [
        {"status": 503, "body": {"error": {"code": 503, "message": "backendError"}}},
        {"status": 500, "body": "<html>oops</html>"},
        {"status": 502, "body": ""},
        pytest.param({"drop": True}, marks=[pytest.mark.fault(14), pytest.mark.provider_fault(39)]),
        pytest.param({"truncate": 20}, marks=[pytest.mark.fault(16), pytest.mark.provider_fault(39)]),
        pytest.param({"truncate_connection": 20}, marks=[pytest.mark.fault(16), pytest.mark.provider_fault(39)]),
        pytest.param({"status": 200, "body": "<html>sign in</html>"}, marks=pytest.mark.fault(16)),
        pytest.param({"status": 200, "body": ""}, marks=pytest.mark.fault(16)),
        pytest.param({"status": 302, "headers": {"Location": "http://evil.example"}}, marks=pytest.mark.provider_fault(39)),
    ],
)
def test_a_provider_in_trouble_is_asked_again_later(practice: Practice, rule: dict[str, Any]) -> None:
    mail = practice.arrives()
    cursor = practice.connection.cursor
    practice.sandbox.fault(path="*/history", times=1, **rule)
    assert practice.sync() == "delayed"
    row = fresh(practice)
    assert (row.state, row.failures, row.cursor, row.lease) == ("connected", 1, cursor, None)
    assert now() + timedelta(seconds=8) < row.next_poll_at < now() + timedelta(seconds=30)
    assert row.last_error
    assert practice.sync() == "synced"
    row = fresh(practice)
    assert (row.failures, row.last_error) == (0, "")
    assert practice.reason(mail) == "contact_wrote"


def test_backoff_doubles_up_to_a_quarter_of_an_hour() -> None:
    pauses = [outcomes.backoff(failures).total_seconds() for failures in range(1, 12)]
    assert 12 <= pauses[0] <= 18
    assert all(later > sooner for sooner, later in itertools.pairwise(pauses[:5]))
    assert 720 <= pauses[-1] <= 1080


@pytest.mark.fault(12)
def test_content_that_cannot_be_had_keeps_the_cursor(practice: Practice) -> None:
    """Headers came, bodies did not: nothing is written, the next run has it all."""
    mails = [practice.arrives(subject=f"n {number}") for number in range(3)]
    cursor = practice.connection.cursor
    practice.sandbox.fault(path="/batch*", skip=1, status=503)
    assert practice.sync() == "delayed"
    assert not practice.decisions()
    assert fresh(practice).cursor == cursor
    practice.sandbox.clear_faults()
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(mails)


@pytest.mark.fault(13)
@pytest.mark.provider_fault(17)
def test_told_to_wait_it_waits_as_long_as_told(practice: Practice) -> None:
    until = (now() + timedelta(minutes=42)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    practice.arrives()
    text = f"User-rate limit exceeded.  Retry after {until}"
    practice.sandbox.fault(path="*/history", times=1, status=429, body=limit_body(text))
    assert practice.sync() == "limited"
    row = fresh(practice)
    assert timedelta(minutes=41) < row.next_poll_at - now() < timedelta(minutes=43)
    assert (row.state, row.failures) == ("connected", 0)
    practice.sandbox.fault(path="*/history", times=1, status=403, body=limit_body("Quota exceeded for quota metric"))
    assert practice.sync() == "limited"
    assert timedelta(seconds=50) < fresh(practice).next_poll_at - now() < timedelta(seconds=61)
    practice.sandbox.fault(path="*/history", times=1, status=429, headers={"Retry-After": "7"}, body=limit_body())
    assert practice.sync() == "limited"
    assert timedelta(seconds=5) < fresh(practice).next_poll_at - now() < timedelta(seconds=8)
    assert practice.sync() == "synced"
    assert len(practice.messages()) == 1


@pytest.mark.rule("G-18")
@pytest.mark.fault(21)
@pytest.mark.parametrize("how", ["revoke", "change-password"])
def test_a_lost_grant_is_never_silent(practice: Practice, how: str) -> None:
    mail = practice.arrives()
    practice.sandbox.call("POST", f"/users/{OWN}/{how}", json={})
    assert practice.sync() == "needs_attention"
    row = fresh(practice)
    assert (row.state, row.cause, row.lease) == ("needs_attention", "revoked", None)
    [notice] = db.session.scalars(select(Notice).where(Notice.user_id == practice.user.id))
    assert OWN in notice.text
    asked = len(practice.calls())
    assert practice.sync() == "needs_attention"  # and the provider is left alone
    assert len(practice.calls()) == asked
    assert mail not in practice.decisions()


@pytest.mark.rule("G-18")
@pytest.mark.provider_fault(13)
def test_a_removed_permission_needs_attention(practice: Practice) -> None:
    body = {"error": {"code": 403, "message": "Request had insufficient authentication scopes.",
                      "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}  # fmt: skip
    practice.sandbox.fault(path="*/history", status=403, body=body)
    assert practice.sync() == "needs_attention"
    assert fresh(practice).cause == "permission_missing"
    assert len(practice.calls("history")) == 1


@pytest.mark.fault(17)
@pytest.mark.provider_fault(12)
def test_an_access_token_that_ends_is_renewed_once(practice: Practice) -> None:
    practice.sync()
    mail = practice.arrives()
    practice.sandbox.call("POST", f"/users/{OWN}/expire-access", json={})
    refreshes = len(practice.calls("/google/token"))
    assert practice.sync() == "synced"
    assert len(practice.calls("/google/token")) == refreshes + 1
    assert practice.reason(mail) == "contact_wrote"


@pytest.mark.provider_fault(12)
def test_401_for_ever_ends_in_attention_not_in_a_loop(practice: Practice) -> None:
    practice.sandbox.fault(path="*/history", status=401, body={"error": {"code": 401, "message": "Invalid Credentials"}})
    assert practice.sync() == "needs_attention"
    assert len(practice.calls("history")) == 2


@pytest.mark.provider_fault(8)
def test_our_own_wrong_secret_is_the_operators(practice: Practice, caplog: pytest.LogCaptureFixture) -> None:
    practice.sandbox.fault(path="/google/token", status=401, body={"error": "invalid_client"})
    assert practice.sync() == "operator"
    row = fresh(practice)
    assert row.state == "connected"
    assert not db.session.scalars(select(Notice)).all()
    assert "set-up" in caplog.text


@pytest.mark.provider_fault(15)
@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "quirks",
    [
        [("history_page_size", 2)],
        [("history_duplicate", True)],
        [("history_unordered", True)],
        [("history_page_size", 3), ("history_empty_page", True)],
        [("history_page_size", 1), ("history_duplicate", True), ("history_unordered", True)],
    ],
)
def test_odd_history_is_stored_exactly_once(practice: Practice, quirks: list[tuple[str, Any]]) -> None:
    first = practice.arrives()
    mails = [first, practice.replies(first)["id"], *(practice.arrives(subject=f"n {n}") for n in range(4))]
    for name, value in quirks:
        practice.sandbox.quirk(name, value=value, **({"times": 1} if name == "history_empty_page" else {}))
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(mails)
    assert len(practice.messages()) == len(mails)
    assert practice.is_consistent()
    assert practice.sync() == "synced"
    assert len(practice.messages()) == len(mails)


@pytest.mark.fault(15)
def test_page_two_fails_and_the_next_run_goes_on_from_there(practice: Practice) -> None:
    mails = [practice.arrives(subject=f"n {n}") for n in range(5)]
    practice.sandbox.quirk("history_page_size", value=2)
    practice.sandbox.fault(path="*/history", skip=1, times=1, status=503)
    assert practice.sync() == "delayed"
    assert set(practice.decisions()) == set(mails[:2])
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(mails)
    gets = [c for c in practice.calls() if "format=metadata" in str(c)]
    assert len(practice.messages()) == 5
    assert practice.is_consistent()
    assert len(gets) <= 10


@pytest.mark.fault(15)
@pytest.mark.provider_fault(15)
def test_pages_that_lead_in_a_circle_end(practice: Practice) -> None:
    mails = [practice.arrives(subject=f"n {n}") for n in range(2)]
    practice.sandbox.quirk("history_page_loop")
    assert practice.sync() == "delayed"
    practice.sandbox.clear_faults()
    assert practice.sync() == "synced"
    assert set(practice.decisions()) == set(mails)


@pytest.mark.provider_fault(16)
def test_a_message_that_is_gone_is_skipped(practice: Practice) -> None:
    practice.sandbox.quirk("history_ghost", times=1)
    mail = practice.arrives()
    deleted = practice.arrives(subject="deleted")
    practice.sandbox.call("DELETE", f"/mailboxes/{OWN}/messages/{deleted}")
    assert practice.sync() == "synced"
    reasons = {key: row.reason for key, row in practice.decisions().items()}
    assert reasons.pop(mail) == "contact_wrote"
    assert set(reasons.values()) == {"deleted"}
    assert len(reasons) == 2
    assert practice.is_consistent()


@pytest.mark.fault(23)
def test_a_poison_message_is_set_aside_after_three_others_flow(practice: Practice) -> None:
    poison, fine = practice.arrives(subject="poison"), practice.arrives(subject="fine")
    practice.sandbox.fault(path=f"*/messages/{poison}*", status=500)
    assert practice.sync() == "synced"
    assert practice.reason(fine) == "contact_wrote"
    assert poison not in practice.decisions()
    assert fresh(practice).fetch_attempts == {poison: 1}
    assert fresh(practice).next_poll_at - now() < timedelta(seconds=60)
    later = practice.arrives(subject="later")
    practice.sync()
    assert practice.reason(later) == "contact_replied" or practice.reason(later) == "contact_wrote"
    practice.sync()
    decision = practice.decisions()[poison]
    assert (decision.outcome, decision.reason) == ("unreadable", "unreadable_mail")
    assert fresh(practice).fetch_attempts == {}
    assert practice.is_consistent()


@pytest.mark.fault(23)
def test_unreadable_mail_can_be_fetched_again(practice: Practice) -> None:
    from portal.sync.service import fetch_again

    poison = practice.arrives(subject="poison")
    practice.sandbox.fault(path=f"*/messages/{poison}*", status=500)
    for _ in range(3):
        practice.sync()
    assert practice.decisions()[poison].outcome == "unreadable"
    practice.sandbox.clear_faults()
    assert fetch_again(practice.decisions()[poison])
    assert practice.sync() == "synced"
    decision = practice.decisions()[poison]
    assert (decision.outcome, decision.reason) == ("logged", "contact_wrote")
    assert len(practice.messages()) == 1
    assert practice.is_consistent()
    assert not fetch_again(decision)


@pytest.mark.fault(13)
def test_quota_of_the_provider_is_kept(practice: Practice) -> None:
    """The bucket is spent before the calls; a hundred mails pass without one refusal."""
    practice.sandbox.call("POST", "/quota", json={"per_user_per_minute": 6000})
    for number in range(40):
        practice.arrives(subject=f"n {number}")
    assert practice.sync() == "synced"
    assert not [call for call in practice.calls() if call["status"] in (403, 429)]
    assert len(practice.messages()) == 40
