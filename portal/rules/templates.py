"""Texts with fields: `Hello {first_name|there}` becomes `Hello Priya`, or `Hello there` for a contact without a name.

A field is a known name between braces, perhaps with a fallback after a bar. Braces that hold anything else stay as they
are; those that look like a field and are none are named by `unknown_fields`, so that a form can refuse them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portal.rules.sending import one_line


@dataclass(frozen=True)
class TemplateField:
    """One field: the name between the braces, how a form calls it, and what a preview shows when there is no contact."""

    name: str
    label: str
    sample: str

    @property
    def mark(self) -> str:
        """As it stands in a text."""
        return f"{{{self.name}}}"


FIELDS: tuple[TemplateField, ...] = (
    TemplateField("first_name", "First name", "Priya"),
    TemplateField("last_name", "Last name", "Raman"),
    TemplateField("name", "Whole name", "Priya Raman"),
    TemplateField("practice", "Practice", "Lumen Aesthetics"),
    TemplateField("location", "Location", "Uptown"),
)
NAMES = frozenset(field.name for field in FIELDS)
# No piece can reach over a brace, a line or a tag, so both patterns take time in proportion to the text.
BRACES = re.compile(r"\{(?P<name>[^{}|\n]{1,60})(?:\|(?P<fallback>[^{}\n]{0,200}))?\}")
BRACES_OR_TAG = re.compile(rf"<[^<>]*>|{BRACES.pattern}")
LIKE_A_NAME = re.compile(r"[a-z]+(?:_[a-z]+)*")


def fill(text: str, values: Mapping[str, str], *, escape: Callable[[str], str] = str) -> str:
    """The text with each field replaced by its value, or by its fallback where the value is empty or missing.

    A value is put in once and never read as a template again. With `escape` the text is HTML: values pass through it,
    fallbacks do not (they are part of the HTML), and fields inside a tag, such as a link's address, stay as they are.
    """

    def replace(found: re.Match[str]) -> str:
        name = _name_of(found["name"]) if found["name"] else ""
        if name not in NAMES:
            return found[0]
        value = values.get(name, "")
        return escape(value) if value else (found["fallback"] or "").strip()

    return (BRACES if escape is str else BRACES_OR_TAG).sub(replace, text)


def unknown_fields(text: str) -> tuple[str, ...]:
    """What stands between braces like a field's name and is none, as written, each once, in order of appearance."""
    names = (found["name"].strip() for found in BRACES.finditer(text))
    return tuple(dict.fromkeys(name for name in names if _is_unknown(_name_of(name))))


def field_count(text: str, *, is_html: bool = False) -> int:
    """How many places `fill` would fill in. For HTML and its plain text they differ where tags cut a field."""
    pattern = BRACES_OR_TAG if is_html else BRACES
    return sum(1 for found in pattern.finditer(text) if found["name"] and _name_of(found["name"]) in NAMES)


def values_of(*, first_name: str, last_name: str, practice: str, location: str) -> dict[str, str]:
    """The values of all fields for one contact. Each is one line, so that none can begin a header of its own (NET-3)."""
    first, last = one_line(first_name), one_line(last_name)
    return {
        "first_name": first,
        "last_name": last,
        "name": f"{first} {last}".strip(),
        "practice": one_line(practice),
        "location": one_line(location),
    }


def sample_values() -> dict[str, str]:
    """Values for a preview without a contact."""
    return {field.name: field.sample for field in FIELDS}


def _name_of(written: str) -> str:
    """`First name` and `FIRST_NAME` mean first_name."""
    return "_".join(re.split(r"[\s_-]+", written.strip().lower()))


def _is_unknown(name: str) -> bool:
    return name not in NAMES and LIKE_A_NAME.fullmatch(name) is not None
