"""No sync without a valid acknowledgement and a place in the account: refused, paused, told, audited (H-07, RBA-5)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from portal.connections import acknowledgements
from portal.database import db
from portal.lib import clock
from portal.lib.clock import now
from portal.models import AcknowledgementText, AuditEvent, Connection, Membership, Notice
from portal.sync import polling
from tests import factories
from tests.sync.conftest import OWN, Practice, connect


def refusals() -> list[str]:
    """Causes of refused syncs in the audit trail."""
    query = select(AuditEvent).where(AuditEvent.name == "portal:sync:refused").order_by(AuditEvent.id)
    return [row.details["cause"] for row in db.session.scalars(query)]


def forget_signature(practice: Practice) -> None:
    """As if the newest text had been published after the signature, and its grace had run out."""
    db.session.add(
        AcknowledgementText(
            version=99, sha256=acknowledgements.text_hash("new"), html="new", created_at=now() - timedelta(days=15)
        )
    )
    db.session.commit()


@pytest.mark.rule("H-06")
@pytest.mark.rule("H-07")
@pytest.mark.requirement("ACK-3")
@pytest.mark.requirement("ACK-5")
@pytest.mark.parametrize("way", ["job", "poll"])
def test_without_a_valid_signature_nothing_is_read(practice: Practice, way: str) -> None:
    mail = practice.arrives()
    forget_signature(practice)
    if way == "job":
        assert practice.sync() == "refused"
    else:
        assert polling.poll_shard([practice.connection.id]) == 0
    db.session.expire_all()
    assert (practice.connection.state, practice.connection.cause) == ("paused", "acknowledgement_missing")
    assert refusals() == ["acknowledgement_missing"]
    assert len(db.session.scalars(select(Notice)).all()) == 1
    assert not practice.calls("/gmail/")
    assert not practice.calls("/google/token")
    # Having read the new text, they lose nothing: the gap is filled.
    factories.make_signature(practice.account, practice.user, text_version=99)
    from portal.connections.service import resolve_attention

    resolve_attention(practice.connection)
    assert practice.sync() == "synced"
    assert practice.reason(mail) == "contact_wrote"


@pytest.mark.rule("H-06")
def test_within_the_grace_it_goes_on(practice: Practice) -> None:
    db.session.add(AcknowledgementText(version=99, sha256="0" * 64, html="new", created_at=now()))
    db.session.commit()
    assert practice.sync() == "synced"
    clock.set_offset(13 * 24 * 3600, allowed=True)
    assert practice.sync() == "synced"
    clock.set_offset(15 * 24 * 3600, allowed=True)
    assert practice.sync() == "refused"


@pytest.mark.requirement("TEN-4")
@pytest.mark.requirement("RBA-5")
@pytest.mark.parametrize("way", ["job", "poll"])
def test_a_person_without_a_place_syncs_nothing(practice: Practice, way: str) -> None:
    practice.arrives()
    db.session.execute(update(Membership).values(state="deactivated"))
    db.session.commit()
    if way == "job":
        assert practice.sync() == "refused"
    else:
        polling.poll_shard([practice.connection.id])
    db.session.expire_all()
    assert practice.connection.cause == "membership_ended"
    assert not practice.calls("/gmail/")


def test_the_signature_of_another_account_does_not_count(practice: Practice) -> None:
    account = factories.make_account()
    user = factories.make_member(account, email="erin@lumen.example")
    connection = connect(practice.sandbox, account, user, OWN)
    practice.connection = connection
    other = factories.make_account()
    factories.make_member(other, user=user)
    db.session.execute(update(Connection).where(Connection.id == connection.id).values(account_id=other.id))
    db.session.commit()
    assert practice.sync() == "refused"
