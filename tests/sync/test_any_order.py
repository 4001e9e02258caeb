"""SYN-2 as a property: however the work is cut, killed, repeated and mixed up, the rows at the end are the same.

The same mailbox is connected in two accounts. One is synced after every few mails, killed at random points, replayed
from old cursors and fed odd histories; the other is synced once, at the end. They must agree.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from portal.database import db
from portal.faultpoint import SYNC_POINTS
from portal.lib.clock import now
from portal.models import Connection, Conversation, Decision, Message
from portal.sync import service
from tests import factories
from tests.services.programs import Sandbox
from tests.sync.conftest import OTHER, OWN, PATIENT, STRANGER, Killed, Practice, connect, expire_lease

EVENTS = ("contact", "other", "stranger", "list", "answer", "forward", "begun", "spam", "answer_to_all")
STEPS = ("sync", "replay", "unordered", "duplicates", "small pages", *(f"kill {point}" for point in SYNC_POINTS))
LIKELY = ("contact", "answer", "other", "forward", "answer_to_all")
histories = st.lists(
    st.one_of(st.sampled_from(LIKELY), st.sampled_from(EVENTS), st.sampled_from(STEPS)), min_size=8, max_size=18
)


class Story:
    """Plays events and steps against the first account's connection."""

    def __init__(self, practice: Practice, kill_at: Callable[[str], None]) -> None:
        self.practice, self.kill_at, self.count = practice, kill_at, 0
        self.begun_at = practice.connection.cursor

    def play(self, word: str) -> None:
        """One event or step."""
        self.count += 1
        if word in EVENTS:
            getattr(self, f"mail_{word}")()
        elif word.startswith("kill "):
            self.kill_at(word.removeprefix("kill "))
            self.sync()
        elif word == "replay":
            db.session.get_one(Connection, self.practice.connection.id).cursor = self.begun_at
            self.sync()
        else:
            quirk = {"unordered": "history_unordered", "duplicates": "history_duplicate", "small pages": "history_page_size"}
            if word in quirk:
                self.practice.sandbox.quirk(quirk[word], times=3, value=2)
            self.sync()

    def sync(self) -> None:
        """One job, which may die."""
        try:
            self.practice.sync()
        except Killed:
            db.session.rollback()
            expire_lease(self.practice.connection)
        self.kill_at("")

    def mail_contact(self) -> None:
        self.practice.arrives(Message_ID=f"<c{self.count}@mail.example>", subject=f"topic {self.count % 3}")

    def mail_other(self) -> None:
        self.practice.arrives(OTHER, Cc=PATIENT, References=f"<c{self.count - 1}@mail.example>")

    def mail_stranger(self) -> None:
        self.practice.arrives(STRANGER, to=f"{OWN}, {PATIENT}")

    def mail_list(self) -> None:
        self.practice.arrives(List_Id="<news.example>")

    def mail_spam(self) -> None:
        self.practice.arrives(labels="SPAM")

    def mail_begun(self) -> None:
        self.practice.writes(PATIENT, subject=f"topic {self.count % 3}")

    def mail_answer(self) -> None:
        if newest := self._newest():
            self.practice.replies(newest)

    def mail_answer_to_all(self) -> None:
        if newest := self._newest():
            self.practice.replies(newest, reply_all=True)

    def mail_forward(self) -> None:
        if newest := self._newest():
            self.practice.writes(OTHER, forward_of=newest)

    def _newest(self) -> str:
        met = [m for m in self.practice.sandbox.messages(OWN) if "INBOX" in m["labels"] and "SENT" not in m["labels"]]
        return str(met[-1]["id"]) if met else ""


def rows_of(connection: Connection) -> dict[str, Any]:
    """What stands in the database of a connection, without ids of our own and moments of our own."""
    db.session.expire_all()
    decisions = db.session.scalars(select(Decision).where(Decision.connection_id == connection.id)).all()
    groups: dict[Any, list[str]] = {}
    for message in db.session.scalars(
        select(Message).where(Message.connection_id == connection.id).order_by(Message.sent_at)
    ):
        groups.setdefault(message.conversation_id, []).append(str(message.provider_message_id))
    conversations = db.session.scalars(select(Conversation).where(Conversation.connection_id == connection.id)).all()
    return {
        "decisions": sorted((d.provider_message_id, d.reason, d.outcome, d.direction) for d in decisions),
        "conversations": sorted(
            (c.contact.email, c.started_by, c.message_count, c.last_message_at, tuple(sorted(groups[c.id])))
            for c in conversations
        ),
        "seen": connection.seen,
        "cursor": connection.cursor,
    }


@pytest.mark.requirement("SYN-2")
@pytest.mark.fault(1)
@pytest.mark.fault(3)
@pytest.mark.fault(19)
@settings(
    max_examples=8, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@example(words=["contact", "sync", "answer", "kill page-written", "forward", "unordered", "answer_to_all"])
@given(words=histories)
def test_same_rows_whatever_happens(
    app: Flask, backend: Any, sandbox_program: Sandbox, kill_at: Callable[[str], None], words: list[str]
) -> None:
    db.session.rollback()
    db.session.remove()
    backend.database.clean(app)
    sandbox_program.reset()
    sandbox_program.call("POST", "/knobs", json={"push_url": ""})
    practice, other = two_accounts(sandbox_program)
    story = Story(practice, kill_at)
    for word in words:
        story.play(word)
    sandbox_program.clear_faults()
    expire_lease(practice.connection)
    assert practice.sync() == "synced"
    assert service.sync_mailbox(other.id) == "synced"
    assert rows_of(practice.connection) == rows_of(other)
    assert practice.is_consistent()


def two_accounts(sandbox: Sandbox) -> tuple[Practice, Connection]:
    """The mailbox in two accounts with the same contacts."""
    for address in (OWN, PATIENT, OTHER):
        sandbox.add_mailbox(address)
    since = now() - timedelta(seconds=2)
    user = factories.make_user("tomas@lumen.example")
    found = []
    for _ in range(2):
        account = factories.make_account()
        factories.make_member(account, user=user)
        contact = factories.make_contact(account, PATIENT)
        factories.make_contact(account, OTHER)
        grant = found[0][1].grant if found else None
        connection = connect(sandbox, account, user, OWN, connected_at=since, grant=grant)
        found.append((Practice(sandbox, account, user, contact, connection), connection))
    found[1][1].cursor = found[0][1].cursor
    db.session.commit()
    return found[0][0], found[1][1]
