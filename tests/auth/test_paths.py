"""A sign-in leads nowhere but to this portal's own pages."""

from __future__ import annotations

import pytest

from portal.auth.paths import local_path


@pytest.mark.parametrize(
    "wanted",
    [
        "/", "/conversations", "/contacts?q=o%27brien&show=all", "/contacts/0190-aa/mail", "/contacts?q=50%25",
        "/contacts?next=https://evil.example", "/profile/email#decisions", "/contacts?q=J%C3%B6rg",
    ],
)  # fmt: skip
def test_own_pages_are_kept(wanted: str) -> None:
    assert local_path(wanted) == wanted


@pytest.mark.requirement("OAU-4")
@pytest.mark.parametrize(
    "wanted",
    [
        None, "", "conversations", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example",
        "https:evil.example", "https://evil.example", "HTTPS:/evil.example", "javascript:alert(1)", "data:text/html,x",
        "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/%2fevil.example", "/%2Fevil.example",
        "/%5cevil.example", "%2f%2fevil.example", "/%252fevil.example", "/%25252fevil.example", "/%2525252fevil.example",
        "/%09/evil.example", "/x%0d%0aSet-Cookie:a=b", "/..//evil.example", "/x\x00y", "/x\x7fy", "//evil.example@portal.example",
        "/" + "a" * 2000,
    ],
)  # fmt: skip
def test_other_places_are_refused(wanted: str | None) -> None:
    assert local_path(wanted) is None
