"""The figure of the first risk and the list behind its link count the same (pages.md: every number opens its list)."""

from __future__ import annotations

from typing import Any

import pytest

from portal.connections.figures import figures_of
from tests.factories import make_account, make_contact, make_member


@pytest.mark.rule("H-02")
def test_see_them_shows_as_many_as_the_figure_says(client: Any) -> None:
    account = make_account()
    person = make_member(account, "provider", email="owen@lumen.example", name="Owen Castellano")
    for email in ("desk@lumen.example", "owen@lumen.example", "priya@mail.example"):
        make_contact(account, email)
    page = client.sign_in(person).get("/connections/google/risks").text
    assert figures_of(account, person.id, "google").like_staff == 2
    assert "2 of your 3 contacts" in page
    assert "/contacts?show=colleague" in page
    shown = client.get("/contacts?show=colleague").text
    assert shown.count("desk@lumen.example") >= 1
    assert "priya@mail.example" not in shown
