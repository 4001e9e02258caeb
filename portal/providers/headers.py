"""What the header fields of a mail say, whoever handed it over. Pure, bounded, and never raising on a stranger's input.

Threading and kinds of mail as the RFCs 5322, 3834, 3464 and 8098 say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from portal.lib.mailboxes import MAX_HEADER_CHARS, Mailboxes, decode_words, parse_mailboxes
from portal.rules.addresses import Address, canonical_key, match_key
from portal.rules.facts import Direction, MailFacts

WIRE_ID = re.compile(r"<[^<>\s]{1,990}>")
DELAY_SUBJECT = re.compile(r"^\s*(?:delivery status notification \(delay\)|delivery incomplete)", re.IGNORECASE)
FORWARD_SUBJECT = re.compile(r"^\s*(?:fwd?|fw|wg|tr|rv|enc|i|doorst)\s*:", re.IGNORECASE)
MAX_PEOPLE, MAX_HEADERS, MAX_REFERENCES = 2_000, 1_000, 100
MAX_REFERENCE_CHARS = 19_000  # of all ids together: what a message row can keep
MAX_SUBJECT = 2_000
HEADER_NAMES = (
    "From", "To", "Cc", "Bcc", "Subject", "Message-ID", "In-Reply-To", "References", "Content-Type", "Auto-Submitted",
    "Precedence", "List-Id", "List-Unsubscribe", "List-Post", "X-Autoreply", "X-Autorespond", "X-Failed-Recipients",
    "X-Forwarded-To", "X-Forwarded-For", "X-Forwarded-Message-Id", "Resent-From", "Resent-To", "X-CRM-Ref",
)  # fmt: skip
WANTED = {name: name.lower() for name in HEADER_NAMES} | {name.lower(): name.lower() for name in HEADER_NAMES}

Headers = dict[str, list[str]]


def fields_of(pairs: Iterable[tuple[str, str]]) -> Headers:
    """The header fields that count, by lower-case name."""
    found: Headers = {}
    for name, value in pairs:
        key = WANTED.get(name) or WANTED.get(name.lower())
        if key:
            found.setdefault(key, []).append(value)
    return found


def is_over_limits(count: int, headers: Headers) -> bool:
    """Whether a header block is larger than any real mail's, so that reading it would cost more than it can tell."""
    return count > MAX_HEADERS or sum(len(value) for values in headers.values() for value in values) > MAX_HEADER_CHARS


def read_facts(place: dict[str, Any], headers: Headers, count: int, own_keys: frozenset[str]) -> MailFacts:
    """The facts of a mail of `count` header fields; `place` says what no header tells (ids, direction, moment, labels)."""
    if is_over_limits(count, headers):
        return MailFacts(**place, sender=None, is_readable=False)
    to, cc, bcc = (parse_mailboxes(headers.get(name, ())) for name in ("to", "cc", "bcc"))
    people = len(to.found) + len(cc.found) + len(bcc.found)
    return MailFacts(
        **place,
        **_kinds(headers, own_keys),
        sender=_sender(headers.get("from", [])),
        to=_people(to),
        cc=_people(cc),
        bcc=_people(bcc),
        internet_message_id=next(iter(wire_ids(headers.get("message-id", []))), ""),
        references=_references(headers),
        # Only what the mailbox itself sent can be the CRM's own mail; from a stranger the mark says nothing.
        crm_ref=mark_of(headers) if place["direction"] == Direction.OUTBOUND else None,
        is_readable=people <= MAX_PEOPLE and not (to.is_broken or cc.is_broken or bcc.is_broken),
    )


def subject_of(headers: Headers) -> str:
    """The subject in clear, on one line."""
    return decode_words(first(headers, "subject"))[:MAX_SUBJECT]


def mark_of(headers: Headers) -> UUID | None:
    """The CRM's own mark, as it stands there."""
    return _uuid(headers.get("x-crm-ref", []))


def first(headers: Headers, name: str) -> str:
    """The first value of a field; "" when it has none."""
    values = headers.get(name)
    return values[0] if values else ""


def _kinds(headers: Headers, own_keys: frozenset[str]) -> dict[str, Any]:
    """What machines and mail programs say of a mail (G-22, RFC 3834, RFC 8098, RFC 3464)."""
    content = " ".join(headers.get("content-type", ())).lower()
    submitted = first(headers, "auto-submitted").strip().lower()
    precedence = first(headers, "precedence").strip().lower()
    subject = decode_words(first(headers, "subject"))
    is_receipt = "disposition-notification" in content
    is_delay = bool(DELAY_SUBJECT.match(subject))  # Google still tries: nothing has failed yet
    return {
        "is_receipt": is_receipt,
        "is_bounce": not is_receipt
        and not is_delay
        and (
            "delivery-status" in content
            or "x-failed-recipients" in headers
            or any("mailer-daemon@" in value.lower() for value in headers.get("from", ()))
        ),
        "is_list": not headers.keys().isdisjoint(("list-id", "list-unsubscribe", "list-post"))
        or precedence in ("bulk", "list"),
        "is_automatic": is_delay
        or submitted.partition(";")[0].strip() not in ("", "no")
        or precedence in ("auto_reply", "junk")
        or not headers.keys().isdisjoint(("x-autoreply", "x-autorespond")),
        "is_automatic_forward": _is_automatic_forward(headers, own_keys),
        "is_forward": "x-forwarded-message-id" in headers
        or bool(FORWARD_SUBJECT.match(subject)),
    }


def _is_automatic_forward(headers: Headers, own_keys: frozenset[str]) -> bool:
    """Another mailbox's rule, or a redirect, brought it here; it was not written to this mailbox (G-04)."""
    if "resent-from" in headers or "resent-to" in headers:
        return True
    if "x-forwarded-to" not in headers:
        return "x-forwarded-for" in headers
    parts = (part for value in headers["x-forwarded-to"] for part in re.split(r"[\s,]+", value))
    return any(canonical_key(part) in own_keys for part in parts if "@" in part)


def _sender(values: list[str]) -> Address | None:
    """The one address in the one From header; anything else is no sender (two are nobody)."""
    read = parse_mailboxes(values)
    if len(values) != 1 or not read.is_sound or len(read.found) != 1:
        return None
    mailbox = read.found[0]
    key = _key(mailbox.address)
    return Address(mailbox.address, key, mailbox.name) if key else None


def _people(read: Mailboxes) -> tuple[Address, ...]:
    """The readable addresses of a field, each once, in order."""
    people: dict[str, Address] = {}
    for mailbox in read.found[:MAX_PEOPLE]:
        key = _key(mailbox.address)
        if key and key not in people:
            people[key] = Address(mailbox.address, key, mailbox.name)
    return tuple(people.values())


@lru_cache(maxsize=8192)
def _key(address: str) -> str:
    """`match_key`, remembered: the same few people write all the time."""
    return match_key(address)


def wire_ids(values: list[str]) -> list[str]:
    """The Message-IDs in these values, in order."""
    return [found for value in values for found in WIRE_ID.findall(value)]


def _references(headers: Headers) -> tuple[str, ...]:
    """References, then In-Reply-To, each once; of a long chain the first and the last."""
    ids = list(dict.fromkeys(wire_ids(headers.get("references", [])) + wire_ids(headers.get("in-reply-to", []))))
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    while len(ids) > 1 and sum(map(len, ids)) + len(ids) > MAX_REFERENCE_CHARS:
        del ids[len(ids) > 2]
    return tuple(ids)


def _uuid(values: list[str]) -> UUID | None:
    try:
        return UUID(values[0].strip()) if values else None
    except ValueError:
        return None
