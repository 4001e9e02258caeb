"""When two addresses are the same."""

from __future__ import annotations

import pytest

from portal.rules.addresses import canonical_key, domain_key, is_consumer, mailbox_of, match_key


@pytest.mark.rule("G-08")
@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Priya@Mail.Example", "priya@mail.example"),
        ("  priya@mail.example ", "priya@mail.example"),
        ("pri.ya+a@mail.example", "pri.ya+a@mail.example"),
        ("priya@münchen.example", "priya@xn--mnchen-3ya.example"),
        ("PRİYA@mail.example", "prİya@mail.example"),  # only ASCII letters are folded
        ('"a b"@mail.example', '"a b"@mail.example'),
        ("priya", ""),
        ("priya@", ""),
        ("@mail.example", ""),
        ("a@b", ""),
        ("a..b@mail.example", ""),
        (".a@mail.example", ""),
        ("a b@mail.example", ""),
        ("a@mail..example", ""),
        ("a@-mail.example", ""),
        ("a\n@mail.example", ""),
        ("a@mail\n.example", ""),
        ("a@" + "x" * 330 + ".example", ""),
        ("", ""),
    ],
)
@pytest.mark.bad_input(15)
@pytest.mark.bad_input(38)
def test_match_key(written: str, key: str) -> None:
    assert match_key(written) == key
    assert match_key(key) == key  # a key is its own key


@pytest.mark.bad_input(15)
@pytest.mark.parametrize("other", ["рriya@mail.example", "priуa@mail.example", "priya＠mail.example", "prıya@mail.example"])
def test_look_alikes_never_match(other: str) -> None:
    assert match_key(other) != "priya@mail.example"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("J.Smith+kid@gmail.com", "jsmith@gmail.com"),
        ("jsmith@googlemail.com", "jsmith@gmail.com"),
        ("j.smith+kid@lumen.example", "j.smith+kid@lumen.example"),
        ("nonsense", ""),
    ],
)
def test_canonical_key_is_the_mailbox_behind_an_address(written: str, canonical: str) -> None:
    assert canonical_key(written) == canonical
    assert mailbox_of(match_key(written)) == canonical


@pytest.mark.rule("P-06")
@pytest.mark.parametrize(
    ("written", "expected"),
    [("a@gmail.com", True), ("a@GoogleMail.com", True), ("a@outlook.com", True), ("a@lumen.example", False), ("?", False)],
)
def test_consumer_mailboxes(written: str, expected: bool) -> None:
    assert is_consumer(written) is expected


def test_a_long_or_empty_domain_is_none() -> None:
    assert domain_key("x." * 200 + "example") == ""
    assert domain_key("") == ""
