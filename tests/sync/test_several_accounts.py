"""The same mailbox in several accounts: each judges for itself; grant and watch are shared (X-01, provider fault 38)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.connections.service import disconnect
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, Connection, Decision, Message, User
from portal.sync import service, watches
from tests import factories
from tests.sync.conftest import COLLEAGUE, OTHER, OWN, Practice, connect


def second_place(practice: Practice, user: User | None = None) -> tuple[Account, Connection]:
    """Another account in which Tomas has connected the same mailbox, over the same grant."""
    account = factories.make_account()
    user = factories.make_member(account, user=practice.user)
    connection = connect(practice.sandbox, account, user, OWN, grant=practice.connection.grant)
    return account, connection


def reasons(connection: Connection) -> dict[str, str]:
    """Reasons by provider id."""
    db.session.expire_all()
    rows = db.session.scalars(select(Decision).where(Decision.connection_id == connection.id))
    return {row.provider_message_id: row.reason for row in rows}


@pytest.mark.rule("X-01")
@pytest.mark.provider_fault(38)
def test_each_account_judges_for_itself(practice: Practice) -> None:
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    factories.make_contact(account, OTHER)
    factories.make_member(practice.account, email=COLLEAGUE)
    factories.make_contact(account, COLLEAGUE)
    both, one, colleague = practice.arrives(), practice.arrives(OTHER), practice.arrives(COLLEAGUE)
    practice.sync()
    assert service.sync_mailbox(other.id) == "synced"
    assert reasons(practice.connection) == {both: "contact_wrote", one: "no_contact", colleague: "crm_user"}
    assert reasons(other) == {both: "contact_wrote", one: "contact_wrote", colleague: "contact_wrote"}
    accounts = {m.account_id for m in db.session.scalars(select(Message).where(Message.provider_message_id == both))}
    assert accounts == {practice.account.id, account.id}


@pytest.mark.rule("G-17")
@pytest.mark.provider_fault(38)
def test_disconnecting_one_leaves_the_other_working(practice: Practice) -> None:
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    disconnect(practice.connection, "user")
    db.session.commit()
    mail = practice.arrives()
    assert practice.sync() == "gone"
    assert service.sync_mailbox(other.id) == "synced"
    assert reasons(other) == {mail: "contact_wrote"}
    assert practice.sandbox.call("GET", f"/mailboxes/{OWN}")["address"] == OWN
    assert not practice.calls("/google/revoke")


def test_a_notice_reaches_every_connection_of_the_mailbox(practice: Practice) -> None:
    _, other = second_place(practice)
    assert service.notice_change(practice.connection.mailbox_key) == 2
    db.session.commit()
    db.session.expire_all()
    assert practice.connection.change_noticed_at is not None
    assert other.change_noticed_at is not None
    assert service.notice_change("nobody@elsewhere.example") == 0


@pytest.mark.provider_fault(23)
def test_one_watch_per_grant(practice: Practice) -> None:
    second_place(practice)
    assert watches.renew_watches() == 1
    assert len(practice.calls("/watch")) == 1


@pytest.mark.rule("G-20")
def test_disconnect_and_connect_sets_a_new_beginning(practice: Practice) -> None:
    """What lies between never comes in; a contact's mail after it begins a conversation, also in the old thread."""
    first = practice.arrives(Message_ID="<first@mail.example>")
    practice.sync()
    disconnect(practice.connection, "user")
    db.session.commit()
    between = practice.arrives(In_Reply_To="<first@mail.example>")
    grant = practice.connection.grant
    practice.connection = connect(practice.sandbox, practice.account, practice.user, OWN, connected_at=now(), grant=grant)
    after = practice.arrives(In_Reply_To="<first@mail.example>")
    assert practice.sync() == "synced"
    assert between not in practice.decisions()
    assert practice.reason(after) == "contact_wrote"
    assert [c.state for c in practice.conversations()] == ["ended", "open"]
    assert {m.provider_message_id for m in practice.messages()} == {first, after}


@pytest.mark.rule("G-16")
def test_replies_on_threads_of_the_old_address_stop(practice: Practice) -> None:
    """The mailbox was swapped: a reply that reaches the new address in an old thread is left out and says why."""
    from portal.conversations.service import end_conversations

    practice.arrives(Message_ID="<first@mail.example>")
    practice.sync()
    end_conversations(practice.connection.id, "updated")
    practice.connection.state, practice.connection.disconnected_at = "disconnected", now()
    db.session.commit()
    new = "tomas.new@gmail.example"
    practice.sandbox.add_mailbox(new)
    practice.connection = connect(
        practice.sandbox, practice.account, practice.user, new, connected_at=now() - timedelta(seconds=2)
    )
    reply = practice.arrives(box=new, to=new, In_Reply_To="<first@mail.example>")
    fresh = practice.arrives(box=new, to=new, subject="Another matter")
    practice.sync()
    assert practice.reason(reply) == "old_address"
    assert practice.reason(fresh) == "contact_wrote"
