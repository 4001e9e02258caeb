"""Who may connect what, and what a consent does, as tables."""

from __future__ import annotations

import pytest

from portal.rules.connecting import (
    READ,
    SEND,
    ConsumerPolicy,
    Effect,
    Purpose,
    consumer_policy,
    decide_effect,
    is_consumer_mailbox,
    may_role_connect,
    missing_boxes,
    missing_microsoft_boxes,
    missing_microsoft_scopes,
    missing_scopes,
)

EMAIL = "https://www.googleapis.com/auth/userinfo.email"


@pytest.mark.rule("G-01")
@pytest.mark.requirement("OAU-6")
@pytest.mark.provider_fault(3)
@pytest.mark.bad_input(52)
@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        (f"openid email {READ} {SEND}", ()),
        (f"{SEND} {READ} openid {EMAIL}", ()),  # long form, other order
        (f"openid {EMAIL} {READ} {SEND} https://www.googleapis.com/auth/calendar", ()),
        (f"openid {EMAIL} {READ}", (SEND,)),
        (f"openid {EMAIL} {SEND}", (READ,)),
        (f"openid {EMAIL}", (READ, SEND)),
        (f"{READ} {SEND}", ("openid", EMAIL)),
        ("", ("openid", EMAIL, READ, SEND)),
        (f"openid email {READ}x {SEND}", (READ,)),
    ],
)
def test_every_permission_must_be_granted(granted: str, missing: tuple[str, ...]) -> None:
    assert missing_scopes(granted) == missing
    assert len(missing_boxes(granted)) == len(missing)


@pytest.mark.rule("G-01")
def test_missing_boxes_bear_the_words_of_the_consent_page() -> None:
    assert missing_boxes(f"openid email {READ}") == ("Send email on your behalf",)


@pytest.mark.rule("O-01")
@pytest.mark.requirement("OAU-6")
@pytest.mark.provider_fault(9)
@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("User.Read Mail.ReadWrite Mail.Send", ()),
        ("openid profile https://graph.microsoft.com/Mail.Send https://graph.microsoft.com/Mail.ReadWrite User.Read", ()),
        ("HTTPS://GRAPH.MICROSOFT.COM/MAIL.SEND mail.readwrite user.read Calendars.Read", ()),
        ("User.Read Mail.Read Mail.Send", ("mail.readwrite",)),
        ("https://evil.example/Mail.Send Mail.ReadWrite User.Read", ("mail.send",)),
        ("", ("user.read", "mail.readwrite", "mail.send")),
    ],
)
def test_every_permission_of_outlook_must_be_granted(granted: str, missing: tuple[str, ...]) -> None:
    assert missing_microsoft_scopes(granted) == missing
    assert len(missing_microsoft_boxes(granted, has_refresh_token=True)) == len(missing)
    assert len(missing_microsoft_boxes(granted, has_refresh_token=False)) == len(missing) + 1


@pytest.mark.rule("P-06")
@pytest.mark.parametrize(
    ("role", "policy", "expected"),
    [
        ("provider", "owner,provider,front_desk", True),
        ("provider", "owner, provider", True),
        ("marketing", "owner,provider", False),
        ("owner", "", False),  # none, or BCC Sync only
        ("", "owner,,", False),
        ("own", "owner", False),
    ],
)
def test_the_policy_names_the_roles_that_may_connect(role: str, policy: str, expected: bool) -> None:
    assert may_role_connect(role, policy) is expected


@pytest.mark.rule("P-06")
@pytest.mark.parametrize(
    ("address", "hosted", "expected"),
    [
        ("owen@lumen.example", "lumen.example", False),
        ("owen@lumen.example", "", True),
        ("owen@gmail.com", "", True),
        ("owen@googlemail.com", "googlemail.com", True),
    ],
)
def test_a_mailbox_without_a_workspace_is_a_consumers(address: str, hosted: str, expected: bool) -> None:
    assert is_consumer_mailbox(address, hosted) is expected


@pytest.mark.rule("P-06")
def test_an_unknown_policy_is_the_strictest() -> None:
    assert consumer_policy("warned") is ConsumerPolicy.WARNED
    assert consumer_policy("whatever") is ConsumerPolicy.FORBIDDEN


@pytest.mark.rule("G-20")
@pytest.mark.rule("P-05")
@pytest.mark.provider_fault(5)
@pytest.mark.parametrize(
    ("purpose", "live", "chosen", "expected"),
    [
        (Purpose.CONNECT, None, "s1", Effect.BEGIN),
        (Purpose.CONNECT, "s1", "s1", Effect.ALREADY_CONNECTED),
        (Purpose.CONNECT, "s1", "s2", Effect.ALREADY_CONNECTED),
        (Purpose.RECONNECT, "s1", "s1", Effect.CONTINUE),
        (Purpose.RECONNECT, "s1", "s2", Effect.OTHER_MAILBOX),
        (Purpose.RECONNECT, None, "s1", Effect.NOTHING_THERE),
        (Purpose.UPDATE, "s1", "s2", Effect.SWAP),
        (Purpose.UPDATE, "s1", "s1", Effect.CONTINUE),
        (Purpose.UPDATE, None, "s1", Effect.NOTHING_THERE),
    ],
)
def test_what_a_consent_does(purpose: Purpose, live: str | None, chosen: str, expected: Effect) -> None:
    effect = decide_effect(purpose, live, chosen)
    assert effect is expected
    assert effect.is_refusal == (expected.value in ("already_connected", "nothing_there", "other_mailbox"))
