"""Texts with fields: what is filled in, what falls back, what stays, and what no value can do."""

from __future__ import annotations

import time
from html import escape

import pytest

from portal.rules.templates import FIELDS, field_count, fill, sample_values, unknown_fields, values_of

PRIYA = values_of(first_name="Priya", last_name="Raman", practice="Lumen Aesthetics", location="Uptown")
NOBODY = values_of(first_name="", last_name="", practice="Lumen Aesthetics", location="Uptown")


@pytest.mark.rule("S-02")
@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Hello {first_name}", PRIYA, "Hello Priya"),
        ("{name}, {practice} {location}", PRIYA, "Priya Raman, Lumen Aesthetics Uptown"),
        ("{First name} and {LAST_NAME} and { name }", PRIYA, "Priya and Raman and Priya Raman"),
        ("Hello {first_name|there}", PRIYA, "Hello Priya"),
        ("Hello {first_name|there}", NOBODY, "Hello there"),
        ("Hello {first_name| dear friend }", NOBODY, "Hello dear friend"),
        ("Hello {first_name}.", NOBODY, "Hello ."),
        ("Hello {first_name|}.", {}, "Hello ."),
        ("{firstname} {} { } {x|y} {1, 2}", PRIYA, "{firstname} {} { } {x|y} {1, 2}"),
        ("{{first_name}}", PRIYA, "{Priya}"),
        ("{first_name|{last_name}}", PRIYA, "{first_name|Raman}"),
        ("{first_\nname} {first_name", PRIYA, "{first_\nname} {first_name"),
    ],
)  # fmt: skip
def test_fields_are_filled_in(text: str, values: dict[str, str], expected: str) -> None:
    assert fill(text, values) == expected


def test_every_field_has_a_value_and_a_sample() -> None:
    for field in FIELDS:
        assert fill(field.mark, PRIYA) == PRIYA[field.name]
        assert fill(field.mark, sample_values()) == field.sample


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {first_name|there} of {practice}", ()),
        ("{firstname}, {Phone number}, {firstname|you}", ("firstname", "Phone number")),
        ("{appointment_time|soon}", ("appointment_time",)),
        ("{1, 2} {} {a=b} {color: red}", ()),
    ],
)
def test_what_looks_like_a_field_and_is_none_is_named(text: str, expected: tuple[str, ...]) -> None:
    assert unknown_fields(text) == expected


@pytest.mark.parametrize(
    ("html", "text", "same"),
    [
        ("<p>Hi <b>{first_name|you}</b> {x}</p>", "Hi {first_name|you} {x}", True),
        ("{first_name|<em>you</em>}", "{first_name|you}", True),
        ("{first_<b>name</b>}", "{first_name}", False),
        ('<a href="https://x.example/{name}">x</a>', "x <https://x.example/{name}>", False),
    ],
)
def test_a_field_that_tags_cut_is_noticed(html: str, text: str, same: bool) -> None:
    assert (field_count(html, is_html=True) == field_count(text)) is same


def test_a_value_is_never_read_as_a_template_again() -> None:
    sly = values_of(first_name="{last_name}", last_name="{practice|x}", practice="P", location="L")
    assert fill("{first_name} {last_name} {name}", sly) == "{last_name} {practice|x} {last_name} {practice|x}"


@pytest.mark.requirement("NET-3")
def test_no_value_holds_a_line_break() -> None:
    sly = values_of(
        first_name="Ann\r\nBcc: everybody@x.example", last_name="\u2028x\x00y\u0085", practice="A\nB", location="\x0b\x0cC"
    )
    assert sly["first_name"] == "Ann Bcc: everybody@x.example"
    subject = fill("Hello {name} from {practice} {location}", sly)
    assert subject.splitlines() == [subject]
    assert "\x00" not in subject


def test_values_are_escaped_in_html_and_fallbacks_are_its_own() -> None:
    sly = values_of(first_name='<img src=x onerror="a">', last_name="", practice="A & B", location="")
    filled = fill("<p>{first_name} {practice} {last_name|<em>you</em>}</p>", sly, escape=escape)
    assert filled == "<p>&lt;img src=x onerror=&quot;a&quot;&gt; A &amp; B <em>you</em></p>"


def test_nothing_is_filled_in_inside_a_tag() -> None:
    sly = values_of(first_name="javascript:alert(1)", last_name="", practice="", location="")
    html = '<a href="{first_name}" title="{first_name}">{first_name}</a>'
    assert fill(html, sly, escape=escape) == '<a href="{first_name}" title="{first_name}">javascript:alert(1)</a>'
    assert fill("<{first_name}>", sly) == "<javascript:alert(1)>"


@pytest.mark.parametrize("piece", ["{", "{first_name|", "{a", "<", "<{", "{first_name}", "{ _", "{first_name|<", "}" * 3])
def test_time_grows_with_the_text_and_not_faster(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.perf_counter()
    fill(text, PRIYA, escape=escape)
    unknown_fields(text)
    assert time.perf_counter() - began < 5
