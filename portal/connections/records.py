"""Signed acknowledgements as compliance reads, prints and exports them (H-06, ACK-2)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from portal.audit import events
from portal.audit.service import record
from portal.connections.acknowledgements import published_versions, text_hash
from portal.database import db
from portal.lib.clock import now
from portal.lib.csv import write_rows
from portal.models import Account, Acknowledgement, AcknowledgementText
from portal.rules.acknowledgement import Standing, judge_standing

PAGE = 50
WORDS = {
    Standing.CURRENT: "Current",
    Standing.OUTDATED_IN_GRACE: "Outdated, sync goes on for now",
    Standing.OUTDATED_EXPIRED: "Outdated, sync paused",
    Standing.MISSING: "Not signed",
}
REPLACED = "Replaced by a later one"
HEADS = (
    "Person", "Login", "Provider", "Text version", "SHA-256 of the text", "Risks ticked", "Typed name", "Signed at (UTC)",
    "Address", "Browser", "Session", "Record", "Standing",
)  # fmt: skip


@dataclass(frozen=True)
class SignedRow:
    """A signature and what it is worth; `standing` is None for one that a later signature replaced."""

    signature: Acknowledgement
    standing: Standing | None

    @property
    def word(self) -> str:
        """What it is worth, in words."""
        return WORDS[self.standing] if self.standing else REPLACED


@dataclass(frozen=True)
class SignedPage:
    """A page of signatures, newest first. `before` is the id to ask the next page with, None on the last."""

    rows: list[SignedRow]
    before: UUID | None


def signed_page(account_id: UUID, before: UUID | None = None, limit: int | None = PAGE) -> SignedPage:
    """Signatures of an account; `limit` None gives all."""
    query = select(Acknowledgement).where(Acknowledgement.account_id == account_id)
    if before is not None:
        query = query.where(Acknowledgement.id < before)
    query = query.order_by(Acknowledgement.id.desc())
    found = list(db.session.scalars(query.limit(limit + 1) if limit else query))
    rows = found[:limit] if limit else found
    worth = standings(account_id)
    return SignedPage(
        [SignedRow(row, _standing(row, worth)) for row in rows], rows[-1].id if len(found) > len(rows) else None
    )


Key = tuple[UUID, str]


def standings(account_id: UUID) -> dict[Key, tuple[int, Standing]]:
    """Per person and provider the highest version signed and what it is worth now."""
    query = (
        select(Acknowledgement.user_id, Acknowledgement.provider, func.max(Acknowledgement.text_version))
        .where(Acknowledgement.account_id == account_id)
        .group_by(Acknowledgement.user_id, Acknowledgement.provider)
    )
    published, grace = published_versions(), db.session.get_one(Account, account_id).acknowledgement_grace_days
    return {
        (user_id, provider): (version, judge_standing(version, published, grace, now()))
        for user_id, provider, version in db.session.execute(query)
    }


def _standing(row: Acknowledgement, worth: dict[Key, tuple[int, Standing]]) -> Standing | None:
    version, standing = worth[row.user_id, row.provider]
    return standing if row.text_version == version else None


@dataclass(frozen=True)
class SignedText:
    """The text of a version exactly as stored, and whether its hash still is the one that was signed."""

    html: str
    is_intact: bool


def signed_text(row: Acknowledgement) -> SignedText:
    """What was read and signed, from the database's own copy."""
    text = db.session.scalar(select(AcknowledgementText).where(AcknowledgementText.version == row.text_version))
    if text is None:
        return SignedText("", False)
    return SignedText(text.html, text_hash(text.html) == row.text_sha256 == text.sha256)


def export(account_id: UUID) -> bytes:
    """All signatures of an account as CSV, every cell safe to open; the export is an audit event."""
    rows = signed_page(account_id, limit=None).rows
    record(events.ACKNOWLEDGEMENTS_EXPORTED, account_id=account_id, rows=len(rows))
    return write_rows([HEADS, *(_cells(row) for row in rows)])


def _cells(row: SignedRow) -> tuple[str, ...]:
    signed = row.signature
    return (
        signed.user.name, signed.user.email, signed.provider, str(signed.text_version), signed.text_sha256,
        " ".join(signed.items).upper(), signed.typed_name, signed.created_at.strftime("%Y-%m-%d %H:%M:%S"), signed.ip,
        signed.browser, str(signed.session_id or ""), str(signed.id), row.word,
    )  # fmt: skip
