"""Which files an Outlook mailbox carries."""

from __future__ import annotations

import pytest

from portal.rules.files import MAX_OUTLOOK_BYTES, outlook_hindrance
from portal.rules.reasons import FileReason


@pytest.mark.rule("O-06")
@pytest.mark.parametrize("kind", "JPG JPEG PNG MP4 MPEG ZIP RAR PDF DOC DOCX TXT".split())
def test_the_listed_types_are_carried_up_to_3_mb(kind: str) -> None:
    for name in (f"a.{kind}", f"Plan v1.2.{kind.lower()}", f" x.{kind.title()} "):
        assert outlook_hindrance(name, MAX_OUTLOOK_BYTES) is None
        assert outlook_hindrance(name, MAX_OUTLOOK_BYTES + 1) is FileReason.TOO_LARGE_OUTLOOK


@pytest.mark.rule("O-06")
@pytest.mark.parametrize(
    ("name", "claimed", "is_carried"),
    [
        ("x-ray.tiff", "image/tiff", False),
        ("x-ray.tiff", "image/jpeg", False),  # the name counts
        ("plan.pdf.exe", "application/pdf", False),
        ("photo.jpg.", "image/jpeg", False),
        ("message.eml", "message/rfc822", False),
        ("pdf", "application/octet-stream", False),
        ("", "application/octet-stream", False),
        ("", "", False),
        ("", "application/pdf; name=x", True),
        ("scan", "APPLICATION/PDF", True),
        ("plan.pdf", "application/octet-stream", True),
    ],
)
def test_other_types_are_not(name: str, claimed: str, is_carried: bool) -> None:
    assert outlook_hindrance(name, 10, claimed) is (None if is_carried else FileReason.TYPE_NOT_SYNCED)


@pytest.mark.rule("O-06")
def test_of_a_large_file_of_another_type_the_type_is_told() -> None:
    """A smaller one would not help."""
    assert outlook_hindrance("x-ray.tiff", 2 * MAX_OUTLOOK_BYTES) is FileReason.TYPE_NOT_SYNCED
