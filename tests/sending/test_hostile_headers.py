"""Texts that a stranger chose (a subject, a name, a file's name) mean themselves in the mail that answers them.

Python's library decodes what looks like an encoded word when a header is set, and up to 3.11.9 writes a line break that the
word holds as one: `=?utf-8?q?x=0D=0ABcc:_eve@evil.example?=` in the subject of a mail made the reply to it carry a Bcc.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from email import message_from_bytes
from typing import Any
from uuid import uuid4

import pytest

from portal.lib.clock import now
from portal.rules.addresses import Address
from portal.rules.sending import is_reachable, parse_people
from portal.sending.mime import POLICY, OutgoingFile, OutgoingMail, build_mime
from tests.sending.conftest import Desk
from tests.sending.test_replies import arrived, reply

EVE = "eve@evil.example"
WORDS = [
    f"=?utf-8?q?x=0D=0ABcc:_{EVE}?=",
    f"=?utf-8?q?x=0ABcc:_{EVE}?=",
    f"=?US-ASCII?Q?x=0DBcc:_{EVE}?=",
    "=?utf-8?b?eA0KQmNjOiBldmVAZXZpbC5leGFtcGxlDQoNCmV2aWw=?=",
    f"==??=?utf-8?q?x=0ABcc:_{EVE}?=",
    f"Schwellung =?utf-8?q?=0D=0A=0D=0ABcc:_{EVE}?= für",
]
PLACES = ("subject", "to", "cc", "sender", "file")
FIELDS = {
    "From", "To", "Cc", "Subject", "Date", "Message-ID", "X-CRM-Ref", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding",
}  # fmt: skip


def built(place: str, text: str) -> bytes:
    """A mail with the text in one place."""
    person = Address("ann@x.example", "ann@x.example", text if place in ("to", "cc", "sender") else "Ann")
    mail = OutgoingMail(
        sender=person if place == "sender" else Address("me@x.example", "me@x.example", "Me"),
        to=(person,), cc=(person,) if place == "cc" else (), subject=text if place == "subject" else "Swelling",
        text="How is it?", crm_ref=uuid4(), written_at=now(),
        files=(OutgoingFile(text, "text/plain", b"plan"),) if place == "file" else (),
    )  # fmt: skip
    return build_mime(mail)


@pytest.mark.requirement("NET-3")
@pytest.mark.bad_input(16)
@pytest.mark.bad_input(37)
@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("place", PLACES)
def test_an_encoded_word_in_a_text_adds_no_header(place: str, text: str) -> None:
    message = message_from_bytes(built(place, text))
    assert set(message.keys()) <= FIELDS
    assert all(part.get("Bcc") is None for part in message.walk())
    assert "evil" not in str(message.get_payload(0) if message.is_multipart() else message.get_payload())


@pytest.mark.requirement("NET-3")
def test_no_mixture_of_such_pieces_adds_a_header() -> None:
    chance = random.Random(7)
    pieces = ["=?", "utf-8", "?q?", "?b?", "=0D=0A", "=0A", "?=", "=", "?", " ", "é", f"Bcc:_{EVE}", "eA0K", '"', "(", "x" * 70, "<", ","]
    for _ in range(400):
        text = "".join(chance.choices(pieces, k=chance.randint(3, 14)))
        place = chance.choice(PLACES)
        message = message_from_bytes(built(place, text))
        assert set(message.keys()) <= FIELDS, (place, text)


@pytest.mark.requirement("NET-3")
def test_a_header_that_became_two_is_refused_by_the_policy() -> None:
    """The last wall, should a text ever come by another way."""
    for fold in (POLICY.fold, POLICY.fold_binary):
        with pytest.raises(ValueError, match="line break"):
            fold("Subject", POLICY.header_factory("Subject", WORDS[0]))


@pytest.mark.requirement("NET-3")
@pytest.mark.bad_input(38)
def test_an_address_that_is_an_encoded_word_is_nobodys() -> None:
    address = "=?utf-8?q?x=0ABcc=3Aeve=40evil.ex?=@mail.example"
    assert not is_reachable(address)
    assert parse_people(f"Ann <{address}>, ann@x.example")[1] == (f"Ann <{address}>",)
    assert is_reachable("bounce=ann=x.example@lists.example")


@pytest.mark.requirement("NET-3")
@pytest.mark.bad_input(16)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_strangers_subject_does_not_address_the_reply(desk: Desk, client: Any) -> None:
    desk.sandbox.add_mailbox(EVE, "Eve")
    _, conversation = arrived(desk, WORDS[0])
    assert reply(desk, client, conversation).status_code == 303
    assert desk.deliver() == ["sent"]
    assert desk.sandbox.messages(EVE) == []
    assert len(desk.received()) == 1


@pytest.mark.requirement("LIM-2")
@pytest.mark.bad_input(35)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_one_mail_goes_to_fifty_people_in_copy_at_most_and_a_huge_list_is_not_read(
    desk: Desk, press: Callable[..., Any]
) -> None:
    many = [f"p{number}@x.example" for number in range(51)]
    for values in (
        {"people": many},
        {"people": many[:30], "cc": ", ".join(many[30:])},
        {"people": [", ".join(many)]},
        {"cc": "a@b.co," * 250_000},
        {"bcc": "a@b.co," * 250_000},
    ):
        started = now()
        assert press(**values).status_code == 400
        assert (now() - started).total_seconds() < 2
    assert desk.mails() == []
