"""Header facts of odd and hostile mail: each is read, refused or marked, within a second, and none raises."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from portal.providers.google.parse import facts_of, mail_of
from tests.providers.gmail_json import OWN, facts, from_headers, message, mime, part, shown

REF = "0b0f6c6e-6a39-4f0e-9f5e-0d5c1b6a7e11"


@pytest.mark.bad_input(1)
@pytest.mark.bad_input(2)
@pytest.mark.parametrize("value", ["<>", "<abc@", "", "abc", "<a b@c>", "<" + "x" * 2000 + ">", ">a@b<"])
def test_a_message_id_that_is_none_is_left_empty(value: str) -> None:
    found = facts(mime(f"Message-ID: {value}"))
    assert (found.internet_message_id, found.is_readable) == ("", True)
    assert found.sender is not None


@pytest.mark.bad_input(6)
@pytest.mark.parametrize(
    "sender", ["(" * 5000, "(" * 5000 + "pat@gmail.com" + ")" * 5000, "a@b.example (" + "(x" * 400, '"pat@gmail.com']
)
def test_a_sender_that_nests_or_does_not_end_is_nobody(sender: str) -> None:
    assert facts(mime(f"From: {sender}")).sender is None


@pytest.mark.bad_input(7)
@pytest.mark.parametrize("to", ["a:" * 500 + "amy@practice.example;", "a:b:amy@practice.example;;", "x: y: z:"])
def test_groups_inside_groups_make_a_mail_unreadable(to: str) -> None:
    assert not facts(mime(f"To: {to}")).is_readable


@pytest.mark.parametrize(
    ("to", "keys"),
    [
        ("undisclosed-recipients:;", []),
        ("Undisclosed recipients", []),
        ("Team: amy@practice.example, Bo <bo@practice.example>;", ["amy@practice.example", "bo@practice.example"]),
        ('"Stone, Amy" <amy@practice.example>, bo@practice.example', ["amy@practice.example", "bo@practice.example"]),
        (
            "amy@practice.example (Amy, at work), <bo@practice.example>",
            ["amy@practice.example", "bo@practice.example"],
        ),
        (
            "amy@practice.example, not an address, bo@practice.example",
            ["amy@practice.example", "bo@practice.example"],
        ),
        ("AMY@Practice.Example, amy@practice.example", ["amy@practice.example"]),
        (", ,, amy@practice.example ,", ["amy@practice.example"]),
    ],
)
def test_odd_recipients_of_honest_mail_are_read(to: str, keys: list[str]) -> None:
    found = facts(mime(f"To: {to}"))
    assert ([person.key for person in found.to], found.is_readable) == (keys, True)


@pytest.mark.bad_input(9)
def test_more_recipients_than_any_mail_has_are_not_read() -> None:
    people = ", ".join(f"p{number}@crowd.example" for number in range(20_000))
    assert not facts(mime(f"To: {people}")).is_readable
    few_bytes = ",".join(f"a@b{number}.co" for number in range(2_100))
    assert not facts(mime(f"To: {few_bytes}")).is_readable


@pytest.mark.bad_input(10)
def test_more_headers_than_any_mail_has_are_not_read() -> None:
    raw = mime(*(f"X-{number}: y" for number in range(100_000)))
    started = time.perf_counter()
    payload = {
        "headers": [
            {"name": "From", "value": "pat@gmail.com"},
            *({"name": "X", "value": "y"} for _ in range(100_000)),
        ]
    }
    assert not facts_of(message(payload), OWN).is_readable
    assert time.perf_counter() - started < 10
    assert facts_of(shown(raw, whole=False), OWN).sender is not None  # of what we ask for, nothing is odd


@pytest.mark.bad_input(24)
@pytest.mark.parametrize("name", ["Subject", "From", "To", "References", "X-Forwarded-To", "Content-Type"])
def test_a_header_of_megabytes_is_not_read(name: str) -> None:
    found = facts(mime(f"{name}: " + "a@b, " * 1_000_000))
    assert (found.is_readable, found.sender) == (False, None)


@pytest.mark.bad_input(11)
@pytest.mark.bad_input(12)
@pytest.mark.bad_input(14)
@pytest.mark.parametrize(
    ("sender", "key"),
    [
        ("=?utf-8?Q?victim@clinic.com?= <x@evil.example>", "x@evil.example"),
        ("=?utf-8?B?dmljdGltQGNsaW5pYy5jb20=?= <x@evil.example>", "x@evil.example"),
        ("=?utf-8?Q?victim@clinic.com?=", None),
        ('"victim@clinic.com" <x@evil.example>', "x@evil.example"),
        ("alice@example.org)bob@evil.example", None),
        ("[alice@example.org]<bob@evil.example>", None),
        ("alice@example.org]<bob@evil.example>", None),
        ("alice@example.org <bob@evil.example> <eve@evil.example>", None),
        ("<alice@example.org> bob@evil.example", None),
        ("<alice@example.org", None),
        ("alice@example.org>", None),
        ("<alice@example.org@evil.example>", None),
        ("alice@example.org(", None),
        ('alice@example.org"<bob@evil.example>', None),
        ("alice @example.org", None),
        ("<@evil.example:alice@example.org>", None),
        ("alice@example.org\\", None),
        ("alice@[127.0.0.1]", None),
        ("Alice Smith <alice@example.org> (home)", "alice@example.org"),
        ('"Smith, Alice" <alice@example.org>', "alice@example.org"),
        ('"Al \\"Bo\\" Smith" <alice@example.org>', "alice@example.org"),
    ],
)
def test_the_sender_is_the_angle_part_or_nobody(sender: str, key: str | None) -> None:
    for found in (facts(mime(f"From: {sender}")), from_headers(("From", sender))):
        assert (found.sender.key if found.sender else None) == key


@pytest.mark.bad_input(11)
@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?Q?=3Cvictim@clinic.com=3E?=",
        "=?utf-8?Q?victim@clinic.com,?=",
        '"<victim@clinic.com>"',
        '"victim@clinic.com,"',
    ],
)
def test_a_name_with_the_signs_of_an_address_never_becomes_one(name: str) -> None:
    for found in (facts(mime(f"From: {name} <x@evil.example>")), from_headers(("From", f"{name} <x@evil.example>"))):
        assert found.sender is None or found.sender.key == "x@evil.example"


@pytest.mark.bad_input(14)
def test_a_name_that_looks_like_an_address_is_shown_as_a_name() -> None:
    sender = from_headers(("From", '"victim@clinic.com" <x@evil.example>')).sender
    assert sender is not None
    assert (sender.name, sender.email) == ("victim@clinic.com", "x@evil.example")


@pytest.mark.bad_input(13)
@pytest.mark.parametrize(
    "pairs",
    [
        [("From", "a@x.example, b@y.example")],
        [("From", "a@x.example"), ("From", "b@y.example")],
        [("From", "a@x.example"), ("from", "a@x.example")],
        [("From", "Team: a@x.example, b@y.example;")],
        [("From", "")],
        [],
    ],
)
def test_two_senders_are_nobody(pairs: list[tuple[str, str]]) -> None:
    assert from_headers(*pairs, ("To", "amy@practice.example")).sender is None


@pytest.mark.bad_input(15)
@pytest.mark.parametrize(
    "lookalike",
    ["рriya@mail.example", "prıya@mail.example", "priya＠mail.example", "priya@mаil.example", "ｐriya@mail.example"],
)
def test_a_lookalike_is_never_the_same_address(lookalike: str) -> None:
    sender = from_headers(("From", f"Priya <{lookalike}>")).sender
    assert sender is None or sender.key != "priya@mail.example"


@pytest.mark.bad_input(15)
@pytest.mark.parametrize(
    ("written", "key"), [("PRIYA@Mail.EXAMPLE", "priya@mail.example"), ("a@büro.example", "a@xn--bro-hoa.example")]
)
def test_case_and_the_spelling_of_a_domain_do_not_matter(written: str, key: str) -> None:
    sender = from_headers(("From", written)).sender
    assert sender is not None
    assert sender.key == key


@pytest.mark.bad_input(16)
@pytest.mark.parametrize(
    "subject", ["=?utf-8?q?Hi=0D=0ABcc:_x@evil.example?=", "Hi\r\nBcc: x@evil.example", "Hi\u2028there\x00"]
)
def test_a_subject_is_one_line(subject: str) -> None:
    payload = part("text/plain", "x", From="pat@gmail.com", To="amy@practice.example", Subject=subject)
    mail = mail_of(message(payload), OWN)
    assert not set("\r\n\x00\u2028") & set(mail.subject)
    assert mail.facts.bcc == ()


@pytest.mark.bad_input(32)
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("abc\u202edef", "abc\ufffddef"),
        ("a\u200bb", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("a\x00b\x85c", "a b c"),
        ("שלום", "שלום"),
    ],
)
def test_marks_that_hide_or_turn_are_made_visible(written: str, read: str) -> None:
    payload = part("text/plain", "x", From=f'"{written}" <pat@gmail.com>', Subject=written)
    mail = mail_of(message(payload), OWN)
    assert mail.facts.sender is not None
    assert (mail.subject, mail.facts.sender.name) == (read, read)
    mail.subject.encode()


@pytest.mark.bad_input(17)
@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 0000 00:00:00 +0000", "Thu, 99 Nov 2026 10:00:00 +9999999", "1 Jan 9999", "\x00"]
)
def test_the_mails_own_date_counts_for_nothing(date: str) -> None:
    assert facts(mime(f"Date: {date}")).received_at.timestamp() == 1_795_000_000


@pytest.mark.bad_input(17)
@pytest.mark.parametrize("moment", [None, "", "x", "-1e99", "9" * 40, []])
def test_a_receive_time_that_cannot_be_read_lies_before_every_connection(moment: object) -> None:
    found = facts_of(message({"headers": []}, internalDate=moment), OWN)
    assert found.received_at.year == 1970


@pytest.mark.bad_input(19)
@pytest.mark.rule("G-21")
def test_references_are_read_in_order_and_bounded() -> None:
    found = from_headers(("References", "<a@x>\t<b@x> junk <c@x><a@x>"), ("In-Reply-To", "<d@x>"))
    assert found.references == ("<a@x>", "<b@x>", "<c@x>", "<d@x>")
    many = from_headers(("References", " ".join(f"<{number}@x>" for number in range(5000))))
    assert (len(many.references), many.references[0], many.references[-1]) == (100, "<0@x>", "<4999@x>")
    long = from_headers(("References", " ".join(f"<{number}{'y' * 900}@x>" for number in range(100))))
    assert sum(map(len, long.references)) < 20_000
    assert long.references[-1].startswith("<99y")


@pytest.mark.bad_input(19)
def test_the_crms_own_mark_counts_only_in_what_the_mailbox_sent() -> None:
    raw = mime(f"X-CRM-Ref: {REF}")
    assert facts(raw, "SENT").crm_ref == UUID(REF)
    assert facts(raw, "INBOX").crm_ref is None
    assert facts(mime("X-CRM-Ref: ../../x"), "SENT").crm_ref is None
