"""The same mailbox in several accounts: each judges for itself; grant and watch are shared (X-01, provider fault 38)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.connections.service import disconnect
from portal.database import db
from portal.lib.clock import now
from portal.models import Membership, Message
from portal.sync import page, polling, service, watches
from tests import factories
from tests.sync.conftest import COLLEAGUE, OTHER, OWN, Practice, connect, reasons, second_place


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


@pytest.mark.rule("X-01")
@pytest.mark.requirement("TEN-6")
@pytest.mark.provider_fault(38)
@pytest.mark.parametrize("way", ["push", "poll"])
def test_a_mail_comes_into_every_account_by_push_and_by_poll(practice: Practice, way: str) -> None:
    """Where the sender is a contact and the person works; a place that the person has left gets nothing."""
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    left, third = second_place(practice)
    factories.make_contact(left, practice.contact.email)
    membership = db.session.scalars(select(Membership).where(Membership.account_id == left.id)).one()
    membership.state = "ended"
    db.session.commit()
    mail = practice.arrives()
    ids = [practice.connection.id, other.id, third.id]
    if way == "push":
        assert service.notice_change(practice.connection.mailbox_key) == 3
        db.session.commit()
        assert [service.sync_mailbox(i) for i in ids] == ["synced", "synced", "refused"]
    else:
        polling.poll_shard(ids)
    db.session.expire_all()
    for connection in (practice.connection, other):
        assert reasons(connection) == {mail: "contact_wrote"}
    assert reasons(third) == {}
    assert {m.account_id for m in db.session.scalars(select(Message))} == {practice.account.id, account.id}
    assert practice.is_consistent()


@pytest.mark.rule("X-01")
@pytest.mark.requirement("TEN-6")
@pytest.mark.provider_fault(38)
def test_an_ended_membership_ends_it_there_and_nowhere_else(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a page that is under way: it is not written any more."""
    account, other = second_place(practice)
    factories.make_contact(account, practice.contact.email)
    mail = practice.arrives()

    def leave(point: str) -> None:
        if point == "bodies-read":
            membership = db.session.scalars(select(Membership).where(Membership.account_id == account.id)).one()
            membership.state = "ended"
            db.session.commit()

    monkeypatch.setattr(page, "crash_point", leave)
    assert service.sync_mailbox(other.id) == "stopped"
    assert reasons(other) == {}
    monkeypatch.undo()
    assert service.sync_mailbox(other.id) == "refused"
    assert practice.sync() == "synced"
    assert reasons(practice.connection) == {mail: "contact_wrote"}
    assert not practice.calls("/google/revoke")
