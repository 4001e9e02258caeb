"""Mail addresses: when two are the same for matching, and when two are the same mailbox.

Matching never folds more than case and the spelling of the domain: two look-alike addresses may be two patients.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOCAL = re.compile(r"^(?:[^\x00-\x20\x7f\"(),:;<>@\[\\\]\s]{1,64}|\"[^\x00-\x1f\x7f\"\\]{1,62}\")\Z")
LABEL = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
GOOGLE_DOMAINS = frozenset({"gmail.com", "googlemail.com"})
CONSUMER_DOMAINS = GOOGLE_DOMAINS | {
    "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "icloud.com", "me.com", "aol.com",
    "proton.me", "protonmail.com", "gmx.com", "gmx.net", "mail.com", "comcast.net", "verizon.net", "att.net",
}  # fmt: skip
MAX_ADDRESS = 320


@dataclass(frozen=True)
class Address:
    """One person in a header: the address as written, its key for matching, and the shown name."""

    email: str
    key: str
    name: str = ""


def match_key(email: str) -> str:
    """The form under which two addresses are the same for matching; "" for what is no address.

    ASCII letters are lower-cased, an international domain becomes its A-label. Nothing else is folded: dots, plus-tags
    and look-alike letters make another address (G-08, and two patients must never be merged).
    """
    email = email.strip()
    if len(email) > MAX_ADDRESS or email.count("@") < 1:
        return ""
    local, _, domain = email.rpartition("@")
    domain = domain_key(domain)
    if not domain or not LOCAL.match(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        return ""
    return f"{local.translate(ASCII_LOWER)}@{domain}"


def domain_key(domain: str) -> str:
    """A domain in lower-case A-labels; "" when it is none. A label is encoded as it stands, without folding look-alikes."""
    labels = [_label_key(label) for label in domain.split(".")]
    if len(labels) < 2 or not all(labels) or len(domain) > 253:
        return ""
    return ".".join(labels)


def _label_key(label: str) -> str:
    label = label.translate(ASCII_LOWER)
    if not label.isascii():
        try:
            label = "xn--" + label.encode("punycode").decode("ascii")
        except UnicodeError:
            return ""
    return label if LABEL.match(label) else ""


def canonical_key(email: str) -> str:
    """The mailbox behind an address as far as its provider's rules are known: only for "is this me, is this staff".

    Gmail ignores dots and everything after a plus; Workspace domains do not ignore dots. Never used to find a contact.
    """
    return mailbox_of(match_key(email))


def mailbox_of(key: str) -> str:
    """As `canonical_key`, for what is a matching key already."""
    local, _, domain = key.rpartition("@")
    if domain not in GOOGLE_DOMAINS:
        return key
    return f"{local.split('+')[0].replace('.', '')}@gmail.com"


def own_keys(*addresses: str) -> frozenset[str]:
    """Addresses as keys for "is this me", each also in the spelling that its provider treats as the same."""
    keys = {match_key(address) for address in addresses} - {""}
    return frozenset(keys | {mailbox_of(key) for key in keys})


def domain_of(key: str) -> str:
    """The domain of an address or key."""
    return key.rpartition("@")[2]


def is_consumer(email: str) -> bool:
    """Whether the mailbox belongs to a public mail service, which no BAA covers (P-06)."""
    return domain_of(match_key(email)) in CONSUMER_DOMAINS
