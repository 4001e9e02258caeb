"""`flask sync now` and `flask sync decisions`, and what the pages ask for."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from portal.database import db
from portal.sync import queries
from portal.sync.commands import group
from tests.sync.conftest import OWN, STRANGER, Practice


@pytest.mark.rule("E-01")
def test_sync_now_and_decisions(practice: Practice, app: Flask) -> None:
    logged, left_out = practice.arrives(), practice.arrives(STRANGER)
    db.session.commit()
    run = app.test_cli_runner().invoke
    assert run(group, ["now", "--mailbox", OWN.upper()]).output == "synced\n"
    answer = run(group, ["decisions", "--mailbox", OWN, "--json"])
    rows = {row["provider_message_id"]: row for row in json.loads(answer.output)}
    assert set(rows) == {logged, left_out}
    assert set(rows[logged]) == {
        "provider_message_id", "direction", "outcome", "reason", "contact_id", "conversation_id", "decided_at",
    }  # fmt: skip
    assert rows[logged]["contact_id"] == str(practice.contact.id)
    assert (rows[left_out]["reason"], rows[left_out]["contact_id"]) == ("no_contact", None)
    assert STRANGER not in answer.output
    assert "no_contact" in run(group, ["decisions", "--mailbox", OWN]).output
    unknown = run(group, ["now", "--mailbox", "nobody@x.example"])
    assert unknown.exit_code != 0
    assert "no connection" in unknown.output


@pytest.mark.rule("E-01")
@pytest.mark.rule("P-02")
def test_decisions_in_words_newest_first(practice: Practice) -> None:
    for number in range(3):
        practice.arrives(subject=f"n {number}")
    practice.arrives(STRANGER)
    practice.sync()
    found = queries.last_decisions(practice.connection.id)
    assert [view.outcome for view in found] == ["left_out", "logged", "logged", "logged"]
    assert found[-1].sentence == "Priya Raman wrote to you from their primary address."
    assert found[0].press == "Find out why"
    assert queries.decision_counts(practice.connection.id) == {"logged": 3, "left_out": 1}
    first = queries.last_decisions(practice.connection.id, limit=2)
    rest = queries.last_decisions(practice.connection.id, limit=9, before=first[-1].id)
    assert [view.id for view in first + rest] == [view.id for view in found]
    assert len(queries.last_decisions(practice.connection.id, "logged", 1)) == 1
