"""Mail addresses as Google treats them."""

from __future__ import annotations

import re
from email.utils import getaddresses

GMAIL_DOMAINS = ("gmail.com", "googlemail.com")
_ADDRESS = re.compile(r"^[^@\s<>,;:\"]+@[^@\s<>,;:\"]+$")


def is_address(text: str) -> bool:
    """Whether `text` is one plain mail address."""
    return bool(_ADDRESS.match(text))


def canonical(address: str) -> str:
    """The address that Google delivers to: lower case, without `+tag`; for gmail.com also without dots."""
    local, _, domain = address.strip().lower().rpartition("@")
    local = local.split("+", 1)[0]
    if domain in GMAIL_DOMAINS:
        return local.replace(".", "") + "@gmail.com"
    return f"{local}@{domain}"


def addresses_in(values: list[str]) -> list[str]:
    """Plain addresses of address headers, in order, lower case, each once. What cannot be parsed is left out."""
    found: dict[str, None] = {}
    try:
        pairs = getaddresses([value.replace("\r", " ").replace("\n", " ") for value in values])
    except (RecursionError, AttributeError, IndexError):
        return []
    for _, address in pairs:
        if is_address(address):
            found[address.lower()] = None
    return list(found)
