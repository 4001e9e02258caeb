"""`flask conversations list` tells facts, never what was written."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from portal.database import db
from tests import factories
from tests.conversations.conftest import OWN, Practice, add_file


def listed(app: Flask, *arguments: str) -> Any:
    """The command's JSON."""
    db.session.commit()
    result = app.test_cli_runner().invoke(args=["conversations", "list", "--json", *arguments])
    assert result.exit_code == 0, result.output
    assert "CANARY" not in result.output
    return json.loads(result.output)


def test_it_lists_people_files_and_states_without_bodies(app: Flask, practice: Practice) -> None:
    message = factories.make_message(
        practice.conversation, "CANARY", subject="CANARY",
        people={"from": ["priya@mail.example"], "to": [OWN], "cc": ["anil@mail.example"]},
    )  # fmt: skip
    add_file(message, "front.jpg")
    (found,) = listed(app, "--account", practice.account.slug)
    assert (found["id"], found["state"]) == (str(practice.conversation.id), "open")
    assert found["contact"]["email"] == "priya@mail.example"
    (mail,) = found["messages"]
    assert (mail["direction"], mail["from"], mail["to"], mail["cc"]) == (
        "inbound", "priya@mail.example", [OWN], ["anil@mail.example"],
    )  # fmt: skip
    assert (mail["attachments"], mail["state"], mail["id"]) == (["front.jpg"], "logged", str(message.id))


def test_it_keeps_to_the_account_and_the_contact(app: Flask, practice: Practice) -> None:
    other = factories.make_account()
    factories.make_conversation(factories.make_contact(other), factories.make_member(other))
    slug = practice.account.slug
    assert len(listed(app, "--account", slug, "--contact", "PRIYA@mail.example")) == 1
    assert listed(app, "--account", slug, "--contact", "nobody@mail.example") == []
    assert listed(app, "--account", slug, "--contact", "rubbish") == []


def test_an_unknown_account_is_said(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["conversations", "list", "--account", "nowhere"])
    assert result.exit_code != 0
    assert "there is no account nowhere" in result.output
