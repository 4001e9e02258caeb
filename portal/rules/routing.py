"""Addresses of the portal's own: where answers come back to a conversation, and where delivery reports go.

`r-TOKEN@DOMAIN` is a conversation's Reply-To (S-01), `b-TOKEN@DOMAIN` the envelope sender of one mail (G-22),
`u-TOKEN@DOMAIN` a person's BCC address (B-01). Tokens are unguessable; a trailing `+anything` is ignored, and case does not
count (providers, section 7).
"""

from __future__ import annotations

import re
from enum import StrEnum

ROUTED = re.compile(r"(?P<kind>[rbu])-(?P<token>[a-z2-7]{26})(?:\+[^@]*)?")


class Route(StrEnum):
    """What an address of ours is for."""

    REPLY = "r"
    BOUNCE = "b"
    USER = "u"


def routed_address(route: Route, token: str, domain: str) -> str:
    """The address to write into a mail."""
    return f"{route.value}-{token}@{domain}"


def parse_routed(address: str, domain: str) -> tuple[Route, str] | None:
    """What an address that somebody wrote to stands for; None when it is none of ours."""
    local, _, found = address.strip().casefold().rpartition("@")
    match = ROUTED.fullmatch(local)
    if match is None or found != domain.casefold():
        return None
    return Route(match["kind"]), match["token"]
