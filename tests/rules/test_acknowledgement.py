"""The rules of the risk acknowledgement as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.rules.acknowledgement import RISKS, Standing, find_missing, grace_end, judge_standing

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ONE = {1: START}
TWO = {1: START, 2: START + 100 * DAY}
THREE = {1: START, 2: START + 100 * DAY, 3: START + 110 * DAY}


@pytest.mark.rule("H-06")
@pytest.mark.rule("H-07")
@pytest.mark.requirement("ACK-3")
@pytest.mark.parametrize(
    ("signed", "published", "day", "expected"),
    [
        (None, ONE, 1, Standing.MISSING),
        (1, ONE, 5000, Standing.CURRENT),
        (1, TWO, 100, Standing.OUTDATED_IN_GRACE),
        (1, TWO, 113.99, Standing.OUTDATED_IN_GRACE),
        (1, TWO, 114, Standing.OUTDATED_EXPIRED),
        (2, TWO, 200, Standing.CURRENT),
        (1, THREE, 113, Standing.OUTDATED_IN_GRACE),
        (1, THREE, 114, Standing.OUTDATED_EXPIRED),  # the third text does not lengthen the grace of the first
        (2, THREE, 123, Standing.OUTDATED_IN_GRACE),
        (2, THREE, 124, Standing.OUTDATED_EXPIRED),
        (3, THREE, 124, Standing.CURRENT),
    ],
)
def test_a_signature_is_worth_what_its_version_is(
    signed: int | None, published: dict[int, datetime], day: float, expected: Standing
) -> None:
    assert judge_standing(signed, published, 14, START + day * DAY) is expected


@pytest.mark.rule("H-06")
def test_the_grace_period_is_a_setting() -> None:
    assert judge_standing(1, TWO, 0, START + 100 * DAY) is Standing.OUTDATED_EXPIRED
    assert grace_end(1, TWO, 3) == START + 103 * DAY
    assert grace_end(2, TWO, 3) is None


@pytest.mark.rule("H-07")
@pytest.mark.parametrize(
    ("standing", "connects", "syncs"),
    [
        (Standing.CURRENT, True, True),
        (Standing.OUTDATED_IN_GRACE, False, True),
        (Standing.OUTDATED_EXPIRED, False, False),
        (Standing.MISSING, False, False),
    ],
)
def test_only_the_newest_text_opens_the_way_and_grace_keeps_sync_going(
    standing: Standing, connects: bool, syncs: bool
) -> None:
    assert (standing.allows_connect, standing.allows_sync) == (connects, syncs)


@pytest.mark.rule("H-02")
@pytest.mark.parametrize(
    ("ticked", "name", "sentence"),
    [
        (RISKS, "Owen Castellano", ""),
        (RISKS, "  owen   CASTELLANO ", ""),
        (RISKS, "Owen", "type Owen Castellano"),
        (RISKS, "", "type Owen Castellano"),
        (("a", "b", "c", "d"), "Owen Castellano", "tick risks E and F"),
        (("a", "b", "c", "d"), "", "tick risks E and F, then type Owen Castellano"),
        (("b", "c", "d", "e", "f", "f"), "Owen Castellano", "tick risk A"),
        ((), "Owen Castellano", "tick risks A, B, C, D, E and F"),
        (("a", "b", "c", "d", "e", "g", "all"), "Owen Castellano", "tick risk F"),
    ],
)
def test_a_signature_needs_every_risk_and_the_own_name(ticked: tuple[str, ...], name: str, sentence: str) -> None:
    missing = find_missing(ticked, name, "Owen Castellano")
    assert missing.sentence("Owen Castellano") == sentence
    assert bool(missing) == bool(sentence)


def test_a_person_without_a_name_cannot_sign() -> None:
    assert find_missing(RISKS, "", "").name
