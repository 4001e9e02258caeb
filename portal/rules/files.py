"""Which files an Outlook mailbox carries into the CRM and out of it (O-06). One rule for sync and for sending."""

from __future__ import annotations

from portal.rules.reasons import FileReason

MAX_OUTLOOK_BYTES = 3 * 1024 * 1024  # of one file
OUTLOOK_TYPES = ("jpg", "jpeg", "png", "mp4", "mpeg", "zip", "rar", "pdf", "doc", "docx", "txt")
TYPES_BY_CLAIM = frozenset(
    {
        "image/jpeg", "image/png", "video/mp4", "video/mpeg", "application/zip", "application/x-zip-compressed",
        "application/vnd.rar", "application/x-rar-compressed", "application/pdf", "application/msword",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "text/plain",
    }
)  # fmt: skip


def outlook_hindrance(name: str, size: int, claimed_type: str = "") -> FileReason | None:
    """Why a file of this name and so many bytes is not carried; None when it is.

    The type is told by the name's extension, as the product's list is one of extensions; of a file whose name has none by
    the content type that its sender claims.
    """
    if not _is_synced_type(name.strip(), claimed_type):
        return FileReason.TYPE_NOT_SYNCED
    return FileReason.TOO_LARGE_OUTLOOK if size > MAX_OUTLOOK_BYTES else None


def _is_synced_type(name: str, claimed_type: str) -> bool:
    _, dot, extension = name.rpartition(".")
    if not dot:
        return claimed_type.partition(";")[0].strip().casefold() in TYPES_BY_CLAIM
    return extension.casefold() in OUTLOOK_TYPES
