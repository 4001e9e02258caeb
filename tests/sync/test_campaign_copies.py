"""A campaign that reaches the sender's own connected mailbox stays out of the records (G-07, G-22)."""

from __future__ import annotations

import pytest

from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Account
from portal.rules.addresses import Address
from portal.rules.reasons import Reason
from portal.sending.delivery_letters import Letter, Person, post_of, write_mail
from portal.sending.mime import build_mime
from tests.sync.conftest import OWN, PATIENT, Practice


@pytest.mark.rule("G-07")
@pytest.mark.rule("G-22")
@pytest.mark.parametrize("html", ["", "<p>Hello <b>{first_name}</b>.</p>"])
def test_bulk_mail_in_the_mailbox_is_left_out(practice: Practice, html: str) -> None:
    """The very bytes of the engine, from a contact's address so that nothing else keeps them out."""
    letter = Letter("News for {first_name}", "Hello {first_name}.", html, is_bulk=True)
    post = post_of(letter, Address(PATIENT, PATIENT, "Priya Raman"), db.session.get_one(Account, practice.account.id))
    raw = build_mime(write_mail(post, Person(new_id(), OWN, OWN, new_token(), "Tomas", "Berg"), now()))
    mail = practice.arrives_raw(raw)
    assert practice.sync() == "synced"
    assert practice.reason(mail) == Reason.LIST_MAIL
    assert practice.messages() == []
