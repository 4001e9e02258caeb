"""DKIM: mail that leaves a mailbox for another program is signed by the mailbox's provider, in the name of its domain.

One key serves all domains (RFC 6376); `/__ctl/dns` plays the name servers that publish it. Mail that somebody else hands in
(`/__ctl/mail`, the SMTP sink) is not signed, whatever stands in its From.
"""

from __future__ import annotations

import base64

from dkim import DKIM, DKIMException

from sandbox.state import World

SELECTOR = "sandbox"


def signed(world: World, raw: bytes, mail_from: str) -> bytes:
    """The mail with the signature of its sender's domain in front; unchanged when that has no mailbox here."""
    domain = mail_from.rpartition("@")[2].lower()
    if world.mailbox_for(mail_from) is None or not domain.isascii():
        return raw
    relaxed = (b"relaxed", b"relaxed")
    try:
        field: bytes = DKIM(raw).sign(SELECTOR.encode(), domain.encode(), world.key.private_pem(), canonicalize=relaxed)
    except (DKIMException, IndexError):  # a header that no signer would take
        return raw
    return field + raw


def records(world: World, name: str, kind: str) -> list[str]:
    """What a name server says: the key of every domain that has a mailbox here; nothing else."""
    selector, _, domain = name.lower().rstrip(".").partition("._domainkey.")
    if kind != "TXT" or selector != SELECTOR or not world.is_own_domain(f"x@{domain}"):
        return []
    return [f"v=DKIM1; k=rsa; p={base64.b64encode(world.key.public_der()).decode()}"]
