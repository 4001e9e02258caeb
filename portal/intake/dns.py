"""Questions to the DNS, for telling who may send for a domain. Always within a time; demo and test ask the stand-in.

A question is a name and a type (TXT, A, AAAA, MX, PTR); the answer is text: strings of a TXT record joined, an MX record as
"preference host". No record is an empty answer; a name server that does not answer is `DnsUnavailable`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import dns.exception
import dns.rdatatype
import dns.resolver
from flask import current_app

from portal.lib.http import Http, NoAnswer

BUDGET_SECONDS = 5.0  # of one question
TOTAL_SECONDS = 20.0  # of all questions about one mail (RFC 7208 4.6.4)

Ask = Callable[[str, str], tuple[str, ...]]


class DnsUnavailable(Exception):
    """No answer at the moment; it may come later."""


class Resolver:
    """The name servers of this machine, for one mail."""

    def __init__(self, budget: float = BUDGET_SECONDS, total: float = TOTAL_SECONDS) -> None:
        self._budget, self._ends_at = budget, time.monotonic() + total

    def __call__(self, name: str, kind: str) -> tuple[str, ...]:
        """The records of a name. Raises DnsUnavailable."""
        left = min(self._budget, self._ends_at - time.monotonic())
        if left <= 0:
            raise DnsUnavailable("too slow")
        try:
            found = dns.resolver.resolve(name, kind, lifetime=left, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.resolver.NoNameservers, dns.exception.Timeout, OSError) as error:
            raise DnsUnavailable(type(error).__name__) from None
        except (dns.exception.DNSException, UnicodeError, ValueError):  # what is no name has no records
            return ()
        return tuple(_text(record) for record in found)


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("latin-1")
    return str(record).rstrip(".")


class OverHttps:
    """A resolver that speaks the JSON of DNS over HTTPS: the stand-in's."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __call__(self, name: str, kind: str) -> tuple[str, ...]:
        """The records of a name. Raises DnsUnavailable."""
        try:
            return tuple(str(line["data"]) for line in json.loads(asyncio.run(self._fetch(name, kind))).get("Answer", ()))
        except (NoAnswer, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DnsUnavailable(type(error).__name__) from None

    async def _fetch(self, name: str, kind: str) -> bytes:
        async with Http(max_connections=1) as http:
            params = {"name": name, "type": kind}
            return (await http.request("GET", self._base, params=params, read_seconds=BUDGET_SECONDS)).body


def resolver() -> Ask:
    """Whom to ask about one mail: what the application was given, the stand-in, or the name servers."""
    given: Ask | None = current_app.extensions.get("dns")
    base = current_app.extensions["settings"].dns_base
    return given or (OverHttps(base) if base else Resolver())
