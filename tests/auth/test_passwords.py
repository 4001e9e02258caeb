"""Passwords: the right one, and nothing else, within the same time."""

from __future__ import annotations

from time import perf_counter

import pytest
from argon2 import PasswordHasher

from portal.auth.passwords import MAX_PASSWORD, NOBODY, check_password, hash_password, needs_rehash

RIGHT = "correct horse battery"


def test_the_right_password_and_no_other() -> None:
    stored = hash_password(RIGHT)
    assert stored.startswith("$argon2id$")
    assert RIGHT not in stored
    assert check_password(stored, RIGHT)
    for wrong in ("", RIGHT.upper(), RIGHT + " ", RIGHT[:-1], "\0"):
        assert not check_password(stored, wrong), wrong


def test_an_empty_or_broken_hash_is_nobodys() -> None:
    for stored in ("", "plain", "$argon2id$v=19$m=1", "$2b$12$" + "x" * 53):
        assert not check_password(stored, RIGHT)


def test_a_long_password_counts_whole_and_a_huge_one_not_at_all() -> None:
    long = "x" * MAX_PASSWORD
    stored = hash_password(long)
    assert check_password(stored, long)
    assert not check_password(stored, long + "y")
    with pytest.raises(ValueError, match="too long"):
        hash_password(long + "y")


def test_a_hash_of_other_parameters_is_seen() -> None:
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(RIGHT))
    assert not needs_rehash(hash_password(RIGHT))
    assert not needs_rehash(NOBODY), "make NOBODY anew with today's parameters, or strangers are told by the time"


@pytest.mark.requirement("SES-7")
def test_an_unknown_person_takes_as_long_as_a_wrong_password() -> None:
    """The shortest of a few runs each; an answer without hashing would be a thousand times faster."""
    stored = hash_password(RIGHT)

    def shortest(password_hash: str) -> float:
        times = []
        for _ in range(4):
            begun = perf_counter()
            check_password(password_hash, "wrong")
            times.append(perf_counter() - begun)
        return min(times)

    assert 0.4 < shortest("") / shortest(stored) < 2.5
