"""What a person or a file says about a contact, made clean and checked field by field. One check for form and import.

An address is kept as it was typed and known by `rules.addresses.match_key`: a plus-tag makes another address, an
international domain is accepted, quotes, a trailing dot and look-alike letters of the domain are refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from email_validator import EmailNotValidError, validate_email

from portal.rules.addresses import match_key

MAX_NAME, MAX_EMAIL, MAX_PHONE, MAX_NOTES, MAX_ALTERNATES = 100, 254, 40, 5_000, 10
NAME_KEY_CHARS = 401
PHONE = re.compile(r"[0-9+()\-./ ]{3,}(?:(?:x|ext\.?|#) ?[0-9]{1,8})?", re.IGNORECASE)
CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"  # and line feed and tab, where one line is asked
UNSEEN = re.compile(f"[{CONTROL}]")
UNFIT_FOR_A_LINE = re.compile(  # the latter ones turn the reading direction
    f"[{CONTROL}\t\n<>\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
PLAIN_LOCAL = re.compile(rf"{ATOM}(?:\.{ATOM})*")  # dot-atom of RFC 5322
LIST_BREAK = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class ContactDetails:
    """A contact as given. Make it with `clean`, which trims, composes (NFC) and drops repeated addresses."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    alternates: tuple[str, ...] = ()
    phone: str = ""
    notes: str = ""

    @classmethod
    def clean(
        cls, *, first_name: str = "", last_name: str = "", email: str = "", alternates: Iterable[str] = (),
        phone: str = "", notes: str = "",
    ) -> ContactDetails:  # fmt: skip
        """Whatever was typed, as it will be kept once `problems` has nothing to say."""
        email = _trimmed(email)
        others: dict[str, str] = {}
        for other in map(_trimmed, alternates):
            if other and (match_key(other) or other) != (match_key(email) or email):
                others.setdefault(match_key(other) or other, other)
        return cls(
            first_name=_trimmed(first_name),
            last_name=_trimmed(last_name),
            email=email,
            alternates=tuple(others.values()),
            phone=_trimmed(phone),
            notes=unicodedata.normalize("NFC", notes).replace("\r\n", "\n").replace("\r", "\n").strip(),
        )

    @cached_property
    def email_key(self) -> str:
        return match_key(self.email)

    @cached_property
    def alternate_keys(self) -> tuple[str, ...]:
        return tuple(match_key(other) for other in self.alternates)

    @cached_property
    def name_key(self) -> str:
        """For sorting and searching: last name first, case-folded."""
        return f"{self.last_name} {self.first_name}".strip().casefold()[:NAME_KEY_CHARS]

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email


def split_addresses(text: str) -> list[str]:
    """The addresses of a list, one a line or with commas or semicolons between."""
    return [piece for piece in LIST_BREAK.split(text) if piece]


def problems(details: ContactDetails) -> dict[str, str]:
    """What is wrong, by field; empty when it can be saved."""
    found = {
        "first_name": _name_problem(details.first_name),
        "last_name": _name_problem(details.last_name),
        "email": address_problem(details.email) if details.email else "",
        "alternates": _alternates_problem(details.alternates),
        "phone": _phone_problem(details.phone),
        "notes": _notes_problem(details.notes),
    }
    if not (details.first_name or details.last_name or details.email):
        found["first_name"] = "Give at least a name or an address."
    return {field: text for field, text in found.items() if text}


def address_problem(text: str) -> str:
    """Why a text is no address that a contact can have; "" when it is one. Nothing is asked of the network."""
    if len(text) > MAX_EMAIL:
        return f"An address has at most {MAX_EMAIL} characters."
    local, _, domain = text.rpartition("@")
    if len(local) <= 64 and PLAIN_LOCAL.fullmatch(local) and _is_plain_domain(domain):
        return ""  # as nearly all are: a file has thousands, and the full check takes a hundred times as long
    try:
        found = validate_email(text, check_deliverability=False)
    except EmailNotValidError as error:
        return str(error)
    if match_key(found.normalized) != match_key(text) or not match_key(text):
        return f"This address is written with unusual letters. Is it {found.normalized}?"
    return ""


@lru_cache(maxsize=4096)
def _is_plain_domain(domain: str) -> bool:
    """Whether a domain is plain letters and stands the full check; those of a file are few."""
    if not domain.isascii():
        return False
    try:
        found = validate_email(f"x@{domain}", check_deliverability=False)
    except EmailNotValidError:
        return False
    return match_key(found.normalized) == match_key(f"x@{domain}") != ""


def _trimmed(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _name_problem(text: str) -> str:
    if len(text) > MAX_NAME:
        return f"Use at most {MAX_NAME} characters."
    if UNFIT_FOR_A_LINE.search(text):
        return "Write the name on one line, without < and > and without hidden characters."  # it goes into headers (NET-3)
    return ""


def _alternates_problem(alternates: tuple[str, ...]) -> str:
    if len(alternates) > MAX_ALTERNATES:
        return f"Give at most {MAX_ALTERNATES} alternate addresses."
    for other in alternates:
        if why := address_problem(other):
            return f"“{other[:60]}”: {why}"
    return ""


def _phone_problem(text: str) -> str:
    if text and (len(text) > MAX_PHONE or not PHONE.fullmatch(text)):
        return "Write a phone number with digits, spaces and + ( ) - . / only, such as +1 312 555 0100."
    return ""


def _notes_problem(text: str) -> str:
    if len(text) > MAX_NOTES:
        return f"Use at most {MAX_NOTES:,} characters."
    if UNSEEN.search(text):
        return "The notes hold control characters. Type them again."
    return ""
