"""The guard of the documents catches each way in which they could claim too much."""

from __future__ import annotations

import pytest

from tests.services.ledger import BEHAVIOUR, Entry, read_entries, unproven

TEXT = """
| id | rule | state |
| --- | --- | --- |
| G-07 | The filter. | done: `tests/rules/test_sync.py::test_the_user_filter` |
| G-08 | Only the primary one. | open but for this |
## Faults (mark `fault`)
| 12 | The provider answers 500. | done: `tests/sync/test_faults.py::test_it_waits` |
"""


def test_rows_are_read_with_their_kind_state_and_tests() -> None:
    assert read_entries(TEXT) == [
        Entry("rule", "G-07", True, ("tests/rules/test_sync.py::test_the_user_filter",)),
        Entry("rule", "G-08", False, ()),
        Entry("fault", "12", True, ("tests/sync/test_faults.py::test_it_waits",)),
    ]


GOOD = {
    ("rule", "G-07"): {"tests/rules/test_sync.py::test_the_user_filter"},
    ("fault", "12"): {"tests/sync/test_faults.py::test_it_waits"},
}


def test_what_has_passed_is_proven() -> None:
    assert unproven(read_entries(TEXT), GOOD) == []


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (Entry("rule", "G-01", True, ()), "names no test"),
        (Entry("rule", "G-02", True, ("tests/a.py::test_b",)), "no test that bears its mark passed"),
        (Entry("rule", "G-07", True, ("tests/rules/test_sync.py::test_gone",)), "did not pass with its mark"),
        (Entry("rule", "G-09", False, ("tests/a.py::test_b",)), "did not pass with its mark"),
    ],
)
def test_planted_claims_are_caught(entry: Entry, sentence: str) -> None:
    assert sentence in " ".join(unproven([entry], GOOD))


def test_every_rule_of_every_family_stands_in_the_document_once() -> None:
    ids = [entry.id for entry in read_entries(BEHAVIOUR.read_text())]
    counts = {"P": 6, "H": 7, "G": 22, "O": 7, "B": 6, "X": 2, "S": 3, "Z": 5, "E": 3, "R": 8, "A": 3, "N": 9}
    expected = {f"{family}-{number:02d}" for family, most in counts.items() for number in range(1, most + 1)}
    assert set(ids) == expected
    assert len(ids) == len(expected)
