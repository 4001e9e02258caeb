"""What is encrypted at rest, and to which place each value is bound.

A value is bound to its kind (table and column), its account and its row; a grant's to provider and subject instead
of an account, because the connections of several accounts share it.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app

from portal.lib.crypto import Envelope


def envelope() -> Envelope:
    """The envelope of the running application."""
    found: Envelope = current_app.extensions["envelope"]
    return found


def place(kind: str, owner: UUID | str, row: UUID) -> str:
    """The place a value is bound to: `kind` is "table.column", `owner` the account id (or "provider:subject")."""
    return f"{kind}|{owner}|{row}"


def seal_text(text: str, kind: str, owner: UUID | str, row: UUID) -> bytes:
    """Seal a text for its place."""
    return envelope().seal(text.encode("utf-8", "surrogatepass"), place(kind, owner, row))


def open_text(sealed: bytes | None, kind: str, owner: UUID | str, row: UUID) -> str:
    """Open a text; an absent value is the empty text. Raises SealError when it does not belong here."""
    if sealed is None:
        return ""
    return envelope().open(sealed, place(kind, owner, row)).decode("utf-8", "surrogatepass")
