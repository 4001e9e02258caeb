"""Components: the names that readers of the screen hear, and that nothing of a stranger's becomes mark-up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask_wtf import FlaskForm
from wtforms import BooleanField, MultipleFileField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from portal.sending.forms import RichTextFields
from portal.vocabulary import VOCABULARY, status_of

Macros = Callable[[str], Any]
EVIL = "<img src=x onerror=alert(1)>\"'"


class Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def one(self, tag: str) -> dict[str, str | None]:
        """The attributes of the only such tag."""
        (found,) = [attrs for name, attrs in self.found if name == tag]
        return found


class Sample(FlaskForm):
    """A field of each kind."""

    name = StringField("Name", [DataRequired("Type a name.")])
    text = TextAreaField("Text", description="A few words.")
    kind = SelectField("Kind", choices=[SelectChoice("a", "A"), SelectChoice("b", "B")])
    agreed = BooleanField("I agree", [DataRequired("Tick it.")])
    many = SelectMultipleField("Keep", choices=[SelectChoice("x", "X"), SelectChoice("y", "Y")])
    files = MultipleFileField("Attach")


@pytest.fixture
def refused(macro: Macros) -> Sample:
    """The form after a press without anything filled in."""
    form = Sample(formdata=None, meta={"csrf": False})
    form.validate()
    return form


def test_a_field_with_an_error_says_so_to_readers(macro: Macros, refused: Sample) -> None:
    """Error and hint are tied to the control (WCAG 3.3.1)."""
    tags = Tags(macro("field")(refused.name, hint="As on your login."))
    control = tags.one("input")
    assert control["aria-invalid"] == "true"
    assert control["aria-describedby"] == "name-hint name-error"
    assert {attrs.get("id") for _, attrs in tags.found} >= {"name", "name-hint", "name-error"}
    assert tags.one("label")["for"] == "name"


def test_every_kind_of_field_has_its_label(macro: Macros, refused: Sample) -> None:
    for field in refused:
        if field.type in ("CSRFTokenField", "HiddenField"):
            continue
        tags = Tags(macro("field")(field))
        labels = {attrs.get("for") for tag, attrs in tags.found if tag == "label"}
        controls = {attrs["id"] for tag, attrs in tags.found if tag in ("input", "textarea", "select")}
        assert controls == labels, field.name
        assert "aria-invalid" not in str(macro("field")(refused.text))


def test_the_description_of_a_field_is_its_hint(macro: Macros, refused: Sample) -> None:
    tags = Tags(macro("field")(refused.text))
    assert tags.one("textarea")["aria-describedby"] == "text-hint"


def test_a_form_carries_its_token_and_lists_what_is_wrong(lonely: Flask, macro: Macros, refused: Sample) -> None:
    page = lonely.jinja_env.from_string(
        '{% from "components/form.html" import form %}{% call form("/x", fields=f, multipart=true) %}inner{% endcall %}'
    )
    text = page.render(f=refused)
    assert 'role="alert"' in text
    assert 'href="#name"' in text
    assert "3 things have to be mended" in text
    assert 'name="csrf_token"' in text
    assert 'enctype="multipart/form-data"' in text


def test_a_button_is_a_link_or_sends_its_form(macro: Macros) -> None:
    assert Tags(macro("button")("Open", href="/x")).one("a")["href"] == "/x"
    assert Tags(macro("button")("Send", tone="primary")).one("button")["type"] == "submit"
    off = macro("button")("Send", disabled=True, reason="Tick E and F first.")
    assert "disabled" in Tags(off).one("button")
    assert "Tick E and F first." in off


@pytest.mark.parametrize("key", VOCABULARY)
def test_a_status_has_icon_and_word(macro: Macros, key: str) -> None:
    """The word is read out, the icon is not."""
    text = macro("status")(key)
    assert f">{status_of(key).word}<" in text
    assert Tags(text).one("svg")["aria-hidden"] == "true"
    assert f"tone-{status_of(key).tone}" in text


def test_a_status_outside_the_vocabulary_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        status_of("fine")


@pytest.mark.parametrize(
    "value, limit, share, now", [(0, 500, "0.0%", "0"), (38, 500, "7.6%", "38"), (600, 500, "100.0%", "500"), (1, 0, "0.0%", "0")]
)  # fmt: skip
def test_the_cap_meter_says_what_it_draws(macro: Macros, value: int, limit: int, share: str, now: str) -> None:
    text = macro("meter")("Sent in the last 24 hours", value, limit, "individual mails")
    tags = Tags(text)
    assert tags.one("svg")["role"] == "meter"
    assert tags.one("svg")["aria-valuenow"] == now
    assert [attrs["width"] for tag, attrs in tags.found if tag == "rect"][1] == share


def test_heads_of_a_table_have_their_scope(lonely: Flask, macro: Macros) -> None:
    page = lonely.jinja_env.from_string(
        '{% from "components/table.html" import table %}'
        '{% call table(["When", ("Count", "number"), ("Next step", "hidden-label")], "Decisions") %}<tr></tr>{% endcall %}'
    )
    heads = [attrs for tag, attrs in Tags(page.render()).found if tag == "th"]
    assert [head["scope"] for head in heads] == ["col"] * 3
    assert "Decisions</caption>" in page.render()


def test_a_time_has_the_moment_and_the_distance(frozen_clock: object, macro: Macros) -> None:
    text = macro("time")(datetime(2026, 11, 24, 14, 36, tzinfo=UTC))
    tag = Tags(text).one("time")
    assert tag["datetime"] == "2026-11-24T14:36:00+00:00"
    assert tag["title"] == "24 minutes ago"
    assert "Today, 2:36 PM" in text
    assert macro("time")(None) == ""


def test_links_that_lead_nowhere_are_absent(macro: Macros) -> None:
    assert macro("pager")() == ""
    text = macro("pager")("1 to 25", next="?before=x")
    assert [attrs["href"] for tag, attrs in Tags(text).found if tag == "a"] == ["?before=x"]


def test_a_chip_of_no_contact_is_no_link(macro: Macros) -> None:
    assert "<a" not in macro("chip")("n.ortiz@example.com", dashed=True)
    assert Tags(macro("chip")("Priya Raman", "/contacts/1")).one("a")["href"] == "/contacts/1"


@pytest.mark.requirement("WEB-2")
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("button", (EVIL,)), ("status", ("on", EVIL)), ("note", ("warn", EVIL, EVIL)), ("chip", (EVIL, "/x")),
        ("attachment", (EVIL, EVIL, "/x")), ("copy_field", (EVIL, EVIL)), ("empty", (EVIL, EVIL)), ("avatar", (EVIL,)),
        ("facts", ([(EVIL, EVIL)],)), ("page_head", (EVIL, [(EVIL, "/x")], EVIL)), ("input", (EVIL, EVIL, EVIL)),
        ("checkbox", (EVIL, EVIL, EVIL)), ("select", (EVIL, EVIL, [(EVIL, EVIL)])), ("search", ("/x", EVIL, EVIL, {EVIL: EVIL})),
        ("tabs", ([{"label": EVIL, "href": "/x"}], EVIL)), ("segmented", ([{"label": EVIL, "href": "/x"}], EVIL)),
        ("meter", (EVIL, 1, 2, EVIL, EVIL)), ("progress", (EVIL, 1, 2, EVIL)), ("steps", ([EVIL], 1)),
    ],
)  # fmt: skip
def test_nothing_of_a_stranger_becomes_markup(macro: Macros, name: str, arguments: tuple[Any, ...]) -> None:
    tags = Tags(macro(name)(*arguments))
    assert "img" not in [tag for tag, _ in tags.found]
    assert not [attrs for _, attrs in tags.found if "onerror" in attrs]


class Letter(RichTextFields, FlaskForm):
    """A form with a text that may be formatted."""


def test_a_rich_text_is_a_text_area_until_the_editor_comes(macro: Macros) -> None:
    """Nothing of the editor is there without script, and its HTML is not sent then."""
    form = Letter(formdata=None, meta={"csrf": False}, data={"text": "Dear Ann", "html": EVIL})
    tags = Tags(macro("rich_text")(form.text, form.html))
    assert tags.one("textarea")["id"] == "text"
    assert {attrs.get("value") for tag, attrs in tags.found if attrs.get("name") == "html"} == {""}
    assert all("hidden" in attrs for _, attrs in tags.found if attrs.get("role") in ("toolbar", "group", "status"))
    assert all(attrs.get("aria-label") for tag, attrs in tags.found if tag == "button" and "data-tool" in attrs)
    assert not [tag for tag, _ in tags.found if tag == "img"]
