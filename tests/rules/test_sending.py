"""The rules of individual sending as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.rules import sending
from portal.rules.sending import Path

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.rule("S-01")
@pytest.mark.parametrize(
    ("state", "has_provider", "path"),
    [
        (None, False, Path.NO_MAILBOX),
        ("connected", False, Path.MAILBOX),
        ("paused", False, Path.PAUSED),
        ("needs_attention", False, Path.NEEDS_ATTENTION),
        ("disconnected", False, Path.NO_MAILBOX),
        (None, True, Path.PROVIDER),
        ("connected", True, Path.MAILBOX),
        ("paused", True, Path.PROVIDER),
        ("needs_attention", True, Path.PROVIDER),
        ("disconnected", True, Path.PROVIDER),
    ],
)
def test_the_path_is_the_mailbox_else_the_provider(state: str | None, has_provider: bool, path: Path) -> None:
    assert sending.decide_path(state, has_provider) is path
    assert path.is_open == (state == "connected" or has_provider)


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(
    ("provider", "is_consumer", "setting"),
    [
        ("google", True, "send_cap"),
        ("google", False, "send_cap_workspace"),
        ("microsoft", True, "send_cap_microsoft"),
        ("microsoft", False, "send_cap_microsoft"),
    ],
)
def test_each_kind_of_connection_has_its_own_cap(provider: str, is_consumer: bool, setting: str) -> None:
    assert sending.cap_setting(provider, is_consumer=is_consumer) == setting


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(
    ("hours_ago", "limit", "used", "left", "free_in_hours"),
    [
        ([], 3, 0, 3, None),
        ([25, 24], 3, 0, 3, None),  # what is 24 hours old no longer counts
        ([23, 1], 3, 2, 1, None),
        ([23, 5, 1], 3, 3, 0, 1),
        ([23, 20, 5, 1], 3, 4, 0, 4),  # the limit was lowered: one place frees up when two have aged
        ([1], 0, 1, 0, 24),
    ],
)
def test_the_cap_rolls_over_24_hours(
    hours_ago: list[int], limit: int, used: int, left: int, free_in_hours: int | None
) -> None:
    cap = sending.measure_cap([NOW - timedelta(hours=hours) for hours in hours_ago], limit, NOW)
    expected = None if free_in_hours is None else NOW + timedelta(hours=free_in_hours)
    assert (cap.used, cap.left, cap.next_free_at) == (used, left, expected)
    assert cap.is_reached == (left == 0)


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(
    ("hours_ago", "limit", "ahead", "closed_hours", "free_in_hours"),
    [
        ([], 2, 0, 0, 0),  # a place is free
        ([], 2, 1, 0, 0),
        ([], 2, 2, 0, 24),  # the two before it leave now and age a day
        ([23, 5, 1], 3, 0, 0, 1),
        ([23, 5, 1], 3, 1, 0, 19),
        ([23, 5, 1], 3, 2, 0, 23),
        ([23, 5, 1], 3, 3, 0, 25),  # behind the first of the line, who leaves in an hour
        ([23, 20, 5, 1], 3, 0, 0, 4),  # the limit was lowered
        ([23], 3, 0, 6, 6),  # the provider takes none before
        ([23, 5, 1], 3, 0, 6, 6),
        ([23, 5, 1], 3, 1, 6, 19),
        ([1], 0, 4, 0, 24),
    ],
)
def test_each_in_line_gets_the_place_that_frees_up_for_it(
    hours_ago: list[int], limit: int, ahead: int, closed_hours: int, free_in_hours: int
) -> None:
    sent_at = [NOW - timedelta(hours=hours) for hours in hours_ago]
    closed_until = NOW + timedelta(hours=closed_hours) if closed_hours else None
    free_at = sending.place_free_at(sent_at, limit, NOW, ahead, closed_until)
    assert free_at == NOW + timedelta(hours=free_in_hours)


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(
    ("used", "waiting", "closed_hours", "must_wait", "left"),
    [(1, 0, 0, False, 1), (2, 0, 0, True, 0), (1, 1, 0, True, 1), (1, 0, 3, True, 0), (1, 0, -1, False, 1)],
)
def test_one_more_waits_at_the_cap_behind_others_or_while_the_provider_is_closed(
    used: int, waiting: int, closed_hours: int, must_wait: bool, left: int
) -> None:
    closed_until = NOW + timedelta(hours=closed_hours) if closed_hours else None
    cap = sending.measure_cap([NOW] * used, 2, NOW, waiting=waiting, closed_until=closed_until)
    assert (cap.must_wait, cap.left) == (must_wait, left)


@pytest.mark.rule("G-14")
@pytest.mark.parametrize(("used", "is_near"), [(399, False), (400, True), (500, True)])
def test_the_cap_warns_at_80_per_cent(used: int, is_near: bool) -> None:
    assert sending.measure_cap([NOW] * used, 500, NOW).is_near is is_near


@pytest.mark.rule("G-19")
@pytest.mark.parametrize(
    ("parent", "references", "expected"),
    [
        ("<b@x>", "", "<b@x>"),
        ("<b@x>", "<a@x>", "<a@x> <b@x>"),
        ("<b@x>", "<a@x>\r\n\t<c@x>", "<a@x> <c@x> <b@x>"),
        ("<b@x>", "<b@x> <a@x> <a@x>", "<a@x> <b@x>"),
        ("", "<a@x>", "<a@x>"),
        ("not an id", "", ""),
        ("<b@X>", "<b@x>", "<b@x> <b@X>"),  # ids compare to the letter
    ],
)
def test_references_end_with_the_parent(parent: str, references: str, expected: str) -> None:
    assert sending.reply_references(parent, references) == expected


def test_long_chains_keep_their_first_and_last_ids() -> None:
    chain = " ".join(f"<{number}@x>" for number in range(100))
    kept = sending.reply_references("<parent@x>", chain).split()
    assert kept[0] == "<0@x>"
    assert kept[1:] == [f"<{number}@x>" for number in range(81, 100)] + ["<parent@x>"]


@pytest.mark.rule("G-19")
@pytest.mark.parametrize(
    ("subject", "reply", "forward"),
    [
        ("Swelling", "Re: Swelling", "Fwd: Swelling"),
        ("RE: Swelling", "RE: Swelling", "Fwd: RE: Swelling"),
        ("re[2]: Swelling", "re[2]: Swelling", "Fwd: re[2]: Swelling"),
        ("Fwd: Swelling", "Re: Fwd: Swelling", "Fwd: Swelling"),
        ("FW: Swelling", "Re: FW: Swelling", "FW: Swelling"),
        ("Reminder", "Re: Reminder", "Fwd: Reminder"),
        ("", "Re:", "Fwd:"),
    ],
)
def test_subjects_are_marked_once(subject: str, reply: str, forward: str) -> None:
    assert sending.reply_subject(subject) == reply
    assert sending.forward_subject(subject) == forward


@pytest.mark.requirement("NET-3")
@pytest.mark.parametrize(
    "text", ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\0b", "a\x0bb", "a\x7fb", "a\u2028b", "a\u0085b"]
)
def test_no_header_takes_a_line_break(text: str) -> None:
    assert not sending.is_header_safe(text)
    assert sending.is_header_safe(sending.one_line(text))
    assert sending.is_header_safe("Ünïcode, commas; and <brackets>")


@pytest.mark.bad_input(16)
def test_a_subject_from_elsewhere_becomes_one_line() -> None:
    assert sending.one_line("Hi\r\nBcc: eve@evil.example\x00 ") == "Hi Bcc: eve@evil.example"


@pytest.mark.bad_input(37)
@pytest.mark.parametrize(
    ("text", "emails", "wrong"),
    [
        ("ann@x.example", ["ann@x.example"], []),
        ("Ann Lee <ann@x.example>; bob@y.example", ["ann@x.example", "bob@y.example"], []),
        ('"Lee, Ann" <ann@x.example>', ["ann@x.example"], []),
        ("ann@x.example, ANN@X.example,", ["ann@x.example"], []),
        ("ann", [], ["ann"]),
        ("a@b", [], ["a@b"]),
        ("ann@x.example <script>", [], ["ann@x.example <script>"]),
        ("ann@x.example bob@y.example", [], ["ann@x.example bob@y.example"]),
        ("änn@x.example", [], ["änn@x.example"]),
        ("ann@x.example\nBcc: eve@evil.example", [], ["ann@x.example\nBcc: eve@evil.example"]),
        ("", [], []),
    ],
)
def test_typed_people_are_read_strictly(text: str, emails: list[str], wrong: list[str]) -> None:
    people, pieces = sending.parse_people(text)
    assert [person.email for person in people] == emails
    assert list(pieces) == wrong


@pytest.mark.requirement("NET-4")
@pytest.mark.parametrize(
    ("answer_was_lost", "seconds", "expected"),
    [(True, 59, False), (True, 60, True), (False, 60, False), (False, 299, False), (False, 300, True)],
)
def test_sending_anew_waits_until_the_first_try_cannot_turn_up(
    answer_was_lost: bool, seconds: int, expected: bool
) -> None:
    since = NOW - timedelta(seconds=seconds)
    assert sending.may_send_again(answer_was_lost=answer_was_lost, since=since, now=NOW) is expected


def test_looks_grow_apart_to_ten_minutes() -> None:
    waits = [(sending.next_look_at(attempts, NOW) - NOW).total_seconds() for attempts in range(9)]
    assert waits == sorted(waits)
    assert waits[0] == 15
    assert waits[-1] == 600
