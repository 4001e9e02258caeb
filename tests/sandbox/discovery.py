"""Checks a value against a schema of Google's discovery document. Unknown fields are refused."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "gmail.v1.trimmed.json").read_text())
METHODS: dict[str, Any] = DOCUMENT["methods"]
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def problems(schema: dict[str, Any], value: Any, where: str = "$") -> list[str]:
    """Everything in `value` that the schema does not allow, as `path: what`."""
    if "$ref" in schema:
        schema = DOCUMENT["schemas"][schema["$ref"]]
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{where}: {type(value).__name__} is no {schema['type']}"]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found = [f"{where}.{name}: unknown field" for name in value if name not in known]
        return found + [p for n, v in value.items() if n in known for p in problems(known[n], v, f"{where}.{n}")]
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in problems(schema["items"], item, f"{where}[{i}]")]
    return _scalar_problems(schema, value, where)


def _scalar_problems(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    match schema.get("format"):
        case "int64" | "uint64":
            fits = str(value).isdigit() and int(value) < 2**64
        case "int32":
            fits = -(2**31) <= value < 2**31
        case "byte":
            fits = _is_base64url(value)
        case _:
            fits = "enum" not in schema or value in schema["enum"]
    return [] if fits else [f"{where}: {str(value)[:60]!r} is no {schema.get('format', 'known word')}"]


def _is_base64url(text: str) -> bool:
    if "+" in text or "/" in text:
        return False
    try:
        base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return False
    return True
