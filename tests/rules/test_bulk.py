"""Bulk mail: From and alignment, who is a recipient, progress, back-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.rules.addresses import Address
from portal.rules.bulk import (
    LONGEST_WAIT,
    TRIES,
    Alignment,
    LeftOut,
    Progress,
    Tally,
    decide_alignment,
    decide_bulk_sender,
    decide_skip,
    needs_looking_at,
    next_try_at,
    sentence_of,
)

PRACTICE = Address("hello@lumen.example", "hello@lumen.example", "Lumen")
NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)


def own(email: str) -> Address:
    return Address(email, email, "Tomas Berg")


@pytest.mark.rule("O-07")
def test_an_empty_from_is_the_practice() -> None:
    sender = decide_bulk_sender(None, PRACTICE)
    assert (sender.address, sender.is_own, sender.alignment) == (PRACTICE, False, Alignment.ALIGNED)


@pytest.mark.rule("O-07")
@pytest.mark.parametrize(
    ("email", "alignment"),
    [
        ("tomas@lumen.example", Alignment.ALIGNED),
        ("tomas@mail.lumen.example", Alignment.ALIGNED),
        ("tomas@gmail.com", Alignment.CONSUMER),
        ("tomas@outlook.com", Alignment.CONSUMER),
        ("tomas@other.example", Alignment.FOREIGN),
        ("tomas@notlumen.example", Alignment.FOREIGN),
    ],
)
def test_ones_own_address_and_its_domain_are_the_sender(email: str, alignment: Alignment) -> None:
    sender = decide_bulk_sender(own(email), PRACTICE)
    assert (sender.address.email, sender.is_own) == (email, True)
    assert sender.domain == email.partition("@")[2]
    assert sender.alignment is alignment
    assert alignment.warns is (alignment is not Alignment.ALIGNED)


@pytest.mark.rule("O-07")
@pytest.mark.parametrize(
    ("of_from", "of_relay", "alignment"),
    [
        ("gmail.com", "gmail.com", Alignment.ALIGNED),
        ("lumen.example", "send.lumen.example", Alignment.ALIGNED),
        ("a.lumen.example", "b.lumen.example", Alignment.FOREIGN),
        ("one.co.uk", "two.co.uk", Alignment.FOREIGN),
        ("lumen.example", "example", Alignment.FOREIGN),
        ("lumen.example", "", Alignment.FOREIGN),
        ("men.example", "lumen.example", Alignment.FOREIGN),
    ],
)
def test_domains_are_compared_by_their_labels(of_from: str, of_relay: str, alignment: Alignment) -> None:
    assert decide_alignment(of_from, of_relay) is alignment


@pytest.mark.rule("S-02")
def test_who_gets_it_and_why_the_others_do_not() -> None:
    tally = Tally({"gone@mail.example"})
    judged = [
        tally.judge(key)
        for key in ("a@mail.example", "", "gone@mail.example", "a@mail.example", "zoë@mail.example", "b@mail.example")
    ]
    assert judged == [None, LeftOut.NO_ADDRESS, LeftOut.UNSUBSCRIBED, LeftOut.TWICE, LeftOut.UNREACHABLE, None]
    assert tally.people == 2
    assert tally.sentence == (
        "2 people get it; 1 has no address, 1 has an address that mail cannot go to, 1 unsubscribed, "
        "1 shares an address with another contact."
    )


@pytest.mark.parametrize(
    ("people", "left_out", "sentence"),
    [
        (412, {"no_address": 12, "unsubscribed": 3}, "412 people get it; 12 have no address, 3 unsubscribed."),
        (5000, {}, "5,000 people get it."),
        (1, {}, "1 person gets it."),
        (0, {"no_address": 1}, "Nobody gets it; 1 has no address."),
    ],
)
def test_the_sentence_about_the_recipients(people: int, left_out: dict[str, int], sentence: str) -> None:
    assert sentence_of(people, left_out) == sentence


@pytest.mark.rule("S-02")
@pytest.mark.parametrize(
    ("contact_key", "is_unsubscribed", "why"),
    [
        ("a@mail.example", False, None),
        ("a@mail.example", True, LeftOut.UNSUBSCRIBED),
        ("b@mail.example", False, LeftOut.CHANGED),
        ("", True, LeftOut.NO_ADDRESS),
    ],
)
def test_what_changed_while_it_waited(contact_key: str, is_unsubscribed: bool, why: LeftOut | None) -> None:
    assert decide_skip("a@mail.example", contact_key, is_unsubscribed=is_unsubscribed) is why


@pytest.mark.parametrize("why", LeftOut)
def test_every_reason_has_a_sentence(why: LeftOut) -> None:
    assert why.sentence.endswith(".")


def test_progress_adds_up() -> None:
    progress = Progress.of({"waiting": 3, "sending": 1, "sent": 5, "failed": 1, "unknown": 1, "skipped": 2})
    assert (progress.total, progress.left, progress.settled) == (13, 4, 9)
    with pytest.raises(TypeError):
        Progress.of({"lost": 1})


@pytest.mark.fault(13)
def test_what_is_put_off_waits_longer_each_time_and_not_for_ever() -> None:
    waits = [next_try_at(attempts, NOW) - NOW for attempts in range(1, TRIES + 1)]
    assert waits[:3] == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]
    assert waits == sorted(waits)
    assert waits[-1] == next_try_at(10_000, NOW) - NOW == LONGEST_WAIT
    assert [needs_looking_at(attempts) for attempts in (1, TRIES - 1, TRIES)] == [False, False, True]
