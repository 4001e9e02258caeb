"""Reading what the control plane and the console are given: plain checks with a clear sentence when something is wrong."""

from __future__ import annotations

import math
from typing import Any

import orjson

from sandbox.addresses import is_address

Types = type | tuple[type, ...]
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list"}


class BadInput(ValueError):
    """Something given is wrong; the sentence says what. `status` is that of the answer."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object. Raises BadInput."""
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput("the body must be a JSON object")
    return value


def check_fields(values: dict[str, Any], known: dict[str, Types], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """`values`, when each field is known and of its type (None counts as not given). Raises BadInput."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadInput(f"unknown fields: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    given = {name: value for name, value in values.items() if value is not None}
    for name in required:
        if name not in given:
            raise BadInput(f"{name} is missing")
    for name, value in given.items():
        kinds = known[name]
        wanted: tuple[type, ...] = kinds if isinstance(kinds, tuple) else (kinds,)
        is_stray_bool = isinstance(value, bool) and bool not in wanted
        if is_stray_bool or not isinstance(value, wanted):
            raise BadInput(f"{name} must be {' or '.join(_WORDS.get(kind, kind.__name__) for kind in wanted)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{name} must be a finite number")
    return given


def whole_number(text: str, name: str, least: int = 0) -> int:
    """A whole number of a query parameter. Raises BadInput."""
    try:
        value = int(text)
    except ValueError:
        raise BadInput(f"{name} must be a whole number") from None
    if value < least:
        raise BadInput(f"{name} must be at least {least}")
    return value


def mail_address(value: object, name: str = "address") -> str:
    """A mail address in lower case. Raises BadInput."""
    text = str(value or "").strip().lower()
    if not is_address(text):
        raise BadInput(f"{name} is no mail address: {text[:80]!r}")
    return text


def text_list(value: object, name: str) -> list[str]:
    """A list of texts. Raises BadInput."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{name} must be a list of texts")
    return value
