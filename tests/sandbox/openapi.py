"""Checks a value against a schema of Graph's OpenAPI document (cut to the mail paths). Unknown fields are refused."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parent / "graph_openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references followed and `allOf` made one."""
    if "$ref" in schema:
        return _plain(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    if "allOf" not in schema:
        return schema
    parts = [_plain(part) for part in schema["allOf"]]
    return {
        "type": "object", "properties": {k: v for part in parts for k, v in part.get("properties", {}).items()},
        "required": [name for part in parts for name in part.get("required", ())],
    }  # fmt: skip


def properties_of(name: str) -> set[str]:
    """The properties of a schema by its short name."""
    return set(_plain(SCHEMAS[f"microsoft.graph.{name}"])["properties"])


def problems(schema: dict[str, Any], value: Any, where: str = "$") -> list[str]:
    """Everything in `value` that the schema does not allow, as `path: what`."""
    if "anyOf" in schema:
        if value is None:
            return []
        return min((problems(choice, value, where) for choice in schema["anyOf"] if not choice.get("nullable")), key=len)
    schema = _plain(schema)
    if value is None:
        return [] if schema.get("nullable") else [f"{where}: null"]
    kind = TYPES[schema.get("type", "object")]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):  # type: ignore[arg-type]
        return [f"{where}: {type(value).__name__} is no {schema.get('type')}"]
    if isinstance(value, dict):
        return _object_problems(schema, value, where)
    if isinstance(value, list):
        return [p for i, item in enumerate(value) for p in problems(schema["items"], item, f"{where}[{i}]")]
    return _scalar_problems(schema, value, where)


def _object_problems(schema: dict[str, Any], value: dict[str, Any], where: str) -> list[str]:
    special = SCHEMAS.get(str(value.get("@odata.type", "")).lstrip("#"))
    known = _plain(special or schema)["properties"]
    known = {name.lower() if name == "innererror" else name: inner for name, inner in known.items()}
    found = [f"{where}.{n}: missing" for n in schema.get("required", ()) if n not in value and not n.startswith("@")]
    for name, inner in value.items():
        shown = "innererror" if name == "innerError" else name  # the document and the wire differ here
        if shown in known:
            found += problems(known[shown], inner, f"{where}.{name}")
        elif "@" not in name:
            found.append(f"{where}.{name}: unknown field")
    return found


def _scalar_problems(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    fits = "enum" not in schema or value in schema["enum"]
    match schema.get("format"):
        case "date-time":
            fits = value.endswith("Z") and bool(datetime.fromisoformat(value))
        case "base64url":
            fits = bool(re.fullmatch(r"[A-Za-z0-9+/_-]*={0,2}", value))
        case "int32":
            fits = -(2**31) <= value < 2**31
    return [] if fits else [f"{where}: {str(value)[:60]!r} is no {schema.get('format', 'known word')}"]
