"""What goes over the wire: the letter without its secrets and in whole lines, and addresses that are only addresses."""

from __future__ import annotations

import re

from portal.providers.errors import Refused
from portal.rules.addresses import domain_key, match_key

LINE_END = re.compile(rb"\r\n|\r|\n")
HIDDEN_FIELD = re.compile(rb"^(?:resent-)?bcc[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
DOT = re.compile(rb"^\.", re.MULTILINE)


def letter_of(raw: bytes) -> bytes:
    """The message as it travels: CRLF lines only, the last one ended, dots doubled (RFC 5321, 4.5.2), no Bcc header.

    The Bcc fields of the head go, folded lines and all; a line of the text that begins alike stays.
    """
    lines = LINE_END.sub(b"\r\n", raw)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    head, gap, text = lines.partition(b"\r\n\r\n")
    kept = HIDDEN_FIELD.sub(b"", head + b"\r\n")
    return DOT.sub(b"..", kept + gap[2:] + text)


def wire_address(address: str) -> str:
    """An address for MAIL or RCPT, its domain in A-labels; "" stays "" (the empty sender).

    Raises Refused for what is none: nothing else than an address gets into a command (NET-3).
    """
    if not address:
        return ""
    if address != address.strip() or not match_key(address):
        raise Refused("501 5.1.3", status=501)
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise Refused("553 5.6.7", status=553)  # needs SMTPUTF8, which few mailboxes take
    return f"{local}@{domain_key(domain)}"
