"""When two mails are one, met twice."""

from __future__ import annotations

from typing import Any

import pytest

from portal.rules.sameness import identity_of, is_same_mail
from tests.rules.mails import ANIL, ME, PRIYA, STRANGER, mail

OURS = "reply.portal.example"
BCC = f"u-{'a' * 26}@{OURS}"
WIRE = {"internet_message_id": "<one@mail.example>"}


@pytest.mark.rule("B-02")
@pytest.mark.bad_input(18)
@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (mail(PRIYA, ME, **WIRE), mail(PRIYA, ME, **WIRE, provider_message_id="m2"), True),
        (mail(PRIYA, ME, ANIL, **WIRE), mail(PRIYA, ANIL, cc=(ME,), **WIRE), True),  # order and field do not count
        (mail(ME, PRIYA, **WIRE), mail(ME, PRIYA, cc=(BCC,), **WIRE), True),  # a visible address of the portal's own
        (mail(ME, PRIYA, bcc=(BCC,), **WIRE), mail(ME, PRIYA, **WIRE), True),
        (mail(ME, PRIYA, bcc=(STRANGER,), **WIRE), mail(ME, PRIYA, **WIRE), True),  # only the sender sees who is in BCC
        (mail("PRIYA@mail.example", ME, **WIRE), mail(PRIYA, ME, **WIRE), True),
        # Whoever writes a mail chooses its Message-ID: alone it proves nothing.
        (mail(STRANGER, ME, **WIRE), mail(PRIYA, ME, **WIRE), False),
        (mail(PRIYA, ME, ANIL, **WIRE), mail(PRIYA, ME, **WIRE), False),
        (mail(PRIYA, ME, **WIRE), mail(PRIYA, ME, internet_message_id="<ONE@mail.example>"), False),
        (mail(PRIYA, ME), mail(PRIYA, ME), False),  # no Message-ID at all
        (mail(PRIYA, ME, **WIRE, sender=None), mail(PRIYA, ME, **WIRE, sender=None), False),
    ],
)  # fmt: skip
def test_sameness(one: Any, other: Any, is_same: bool) -> None:
    assert is_same_mail(identity_of(one, OURS), identity_of(other, OURS)) is is_same
    assert is_same_mail(identity_of(other, OURS), identity_of(one, OURS)) is is_same
