"""Does anything prove that a mail comes from the domain in its From? DMARC-aligned DKIM or SPF, and nothing else (SMT-2).

RFC 6376 (DKIM) by dkimpy, RFC 7208 (SPF) by pyspf, alignment as RFC 7489 3.1 says, by the public suffix list that
authheaders brings. What a mail says of its own authentication (Authentication-Results) is a stranger's word and not read.
"""

from __future__ import annotations

import logging
from collections import Counter
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from ipaddress import ip_address
from typing import Any

import spf
from authheaders.dmarc_lookup import DMARCException, answer_to_dict
from dkim import DKIM, DKIMException
from dkim.canonicalization import ALGORITHMS, Relaxed
from dkim.util import InvalidTagValueList, parse_tag_value
from publicsuffix2 import PublicSuffixList

from portal.intake.dns import Ask, DnsUnavailable
from portal.intake.mime import HEAD_END
from portal.lib.traces import trace_of
from portal.rules.addresses import domain_key, domain_of

MOST_SIGNATURES = 5  # aligned ones that are checked: each hashes the whole body
MOST_NAMED = 100  # DKIM-Signature fields that are looked at
MANY_LINES = b"\r\n" * 4_096
MOST_TAGS = 4_096  # bytes of one; dkimpy's patterns take the square of it
SOUND = (b"rsa-sha256", b"ed25519-sha256")  # RFC 8301 3.1: rsa-sha1 proves nothing
ONCE = {  # RFC 5322 3.6: a second one is no part of what was signed, and might be the one that is read
    b"from", b"sender", b"reply-to", b"to", b"cc", b"subject", b"date", b"message-id", b"in-reply-to", b"references",
    b"content-type", b"content-transfer-encoding",
}  # fmt: skip
log = logging.getLogger("portal.intake")


class Proof(StrEnum):
    """What the checks say. `UNKNOWN`: a name server did not answer, ask again later."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    UNKNOWN = "unknown"


def authenticate(raw: bytes, sender: str, peer: str, helo: str, mail_from: str, ask: Ask) -> Proof:
    """Whether the mail comes from the domain of its one From address `sender`, as it was read; the bytes are untouched.

    `peer`, `helo` and `mail_from` are what the SMTP session said. Never raises on a stranger's input.
    """
    domain = domain_key(domain_of(sender))
    if not domain:
        return Proof.UNPROVEN
    is_unknown = False
    for check in (lambda: _dkim(raw, domain, ask), lambda: _spf(domain, peer, helo, mail_from, ask)):
        try:
            if check():
                return Proof.PROVEN
        except DnsUnavailable:
            is_unknown = True
        except Exception as error:
            log.warning("a check of a mail's origin failed: %s", trace_of(error))
    return Proof.UNKNOWN if is_unknown else Proof.UNPROVEN


def is_aligned(found: str, domain: str, *, strictly: bool = False) -> bool:
    """Whether two domains are of one organisation (RFC 7489 3.1); `strictly`: whether they are the same."""
    found, domain = domain_key(found), domain_key(domain)
    if not found or not domain or strictly:
        return bool(found) and found == domain
    return found == domain or (organisation(found) == organisation(domain) != "")


def organisation(domain: str) -> str:
    """The organisational domain: one label more than the public suffix; "" for a public suffix itself (RFC 7489 3.2)."""
    labels = domain.split(".")
    suffix = _suffixes().get_tld(domain, strict=True) or labels[-1]
    own = len(labels) - len(suffix.split("."))
    return ".".join(labels[own - 1 :]) if own > 0 else ""


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    with (resources.files("authheaders") / "public_suffix_list.txt").open(encoding="utf-8") as lines:
        return PublicSuffixList(lines)


def _is_strict(domain: str, tag: str, ask: Ask) -> bool:
    """Whether the domain asks for strict alignment (`adkim` or `aspf`); without a record the relaxed one holds."""
    for name in dict.fromkeys((domain, organisation(domain))):
        records = [text for text in ask(f"_dmarc.{name}", "TXT") if text.startswith("v=DMARC1")] if name else []
        if len(records) == 1:
            try:
                return str(answer_to_dict(records[0]).get(tag, "r")) == "s"
            except DMARCException:
                return False
    return False


def _dkim(raw: bytes, domain: str, ask: Ask) -> bool:
    """An aligned signature that is sound. One that leaves a part of the body open (l=) proves nothing of the mail."""
    try:
        mail = _opened(raw)
    except (DKIMException, IndexError):
        return False
    names = Counter(name.lower() for name, _value in mail.headers)
    if names[b"from"] != 1 or any(names[name] > 1 for name in ONCE):
        return False
    signatures = [value for name, value in mail.headers if name.lower() == b"dkim-signature"]
    checked = 0
    is_unknown = False
    for number, value in enumerate(signatures[:MOST_NAMED]):
        signer = _signer(value)
        if not is_aligned(signer, domain):
            continue
        checked += 1
        if checked > MOST_SIGNATURES:
            break
        try:
            if _is_sound(mail, number, ask) and not (signer != domain and _is_strict(domain, "adkim", ask)):
                return True
        except DnsUnavailable:
            is_unknown = True
    if is_unknown:
        raise DnsUnavailable("dkim")
    return False


def _opened(raw: bytes) -> Any:
    """The mail as dkimpy takes it, its body not taken apart line by line. Raises DKIMException, IndexError."""
    end = HEAD_END.search(raw)
    mail = DKIM(raw[: end.end()] if end else raw)
    if end:
        mail.body = raw[end.end() :].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return mail


class LinearRelaxed(Relaxed):  # type: ignore[misc]
    """RFC 6376 3.4.4 as dkimpy does it, but in linear time and little memory: its own takes the square of a run of blanks
    in time, and gigabytes for a large body of many words."""

    @staticmethod
    def canonicalize_body(body: bytes) -> bytes:
        """One blank for each run of them, none at a line's end, no empty lines at the end of all."""
        body = body.replace(b"\t", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
        body, end = body.replace(b" \r\n", b"\r\n"), None
        for lines in (MANY_LINES, b"\r\n"):
            while body.endswith(lines, 0, end):
                end = (len(body) if end is None else end) - len(lines)
        body = body[:end]
        return body + b"\r\n" if body else b""


ALGORITHMS[LinearRelaxed.name] = LinearRelaxed


def _signer(value: bytes) -> str:
    """The domain of a signature that signs From and the whole body; "" for every other."""
    if len(value) > MOST_TAGS:
        return ""
    try:
        tags = parse_tag_value(value)
        signed = [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]
        is_whole = b"l" not in tags and b"from" in signed and tags[b"a"] in SOUND
        return domain_key(tags[b"d"].strip().decode("ascii")) if is_whole else ""
    except (InvalidTagValueList, KeyError, UnicodeError, ValueError):
        return ""


def _is_sound(mail: Any, number: int, ask: Ask) -> bool:
    def key_of(name: bytes, timeout: float = 0) -> bytes | None:
        found = ask(name.decode("ascii", "replace").rstrip("."), "TXT")
        return found[0].encode("latin-1", "replace") if found else None

    try:
        return bool(mail.verify(number, dnsfunc=key_of))
    except DnsUnavailable:
        raise
    except Exception as error:  # dkimpy lets many a ValueError of a stranger's making through
        log.info("a signature could not be read: %s", trace_of(error))
        return False


def _spf(domain: str, peer: str, helo: str, mail_from: str, ask: Ask) -> bool:
    """Whether the one who handed it in may send for an aligned envelope sender.

    Who comes from this machine or a private network is a proxy of ours, if anything: its address says nothing.
    """
    envelope = domain_key(domain_of(mail_from))
    if not envelope or not is_aligned(envelope, domain) or not _is_public(peer):
        return False
    asked = _Query(ask, peer, mail_from, helo)
    result = asked.check()[0]
    if result == "temperror":
        raise DnsUnavailable("spf")
    return result == "pass" and not (envelope != domain and _is_strict(domain, "aspf", ask))


def _is_public(peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return not (address.is_loopback or address.is_private or address.is_link_local or address.is_unspecified)


class _Query(spf.query):  # type: ignore[misc]
    """pyspf's question with the names asked through `ask`, within its own limits on lookups."""

    def __init__(self, ask: Ask, peer: str, mail_from: str, helo: str) -> None:
        super().__init__(i=peer.partition("%")[0], s=mail_from, h=helo or "unknown")
        self._ask = ask

    def dns(self, name: object, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """The records as pyspf wants them."""
        key = str(name).rstrip(".").lower()
        if (key, qtype) not in self.cache:
            labels = key.split(".")
            fits = all(0 < len(label) < 64 for label in labels) and len(key) < 254
            try:
                found = self._ask(key, qtype) if fits else ()
            except DnsUnavailable as error:
                raise spf.TempError(f"DNS {error}") from None
            self.cache[key, qtype] = [_record(text, qtype) for text in found]
        records: list[Any] = self.cache[key, qtype]
        if not records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        return list(records)


def _record(text: str, kind: str) -> Any:
    if kind in ("TXT", "SPF"):
        return (text.encode("latin-1", "replace"),)
    if kind == "MX":
        preference, _, host = text.partition(" ")
        return (int(preference), host.rstrip("."))
    return text
