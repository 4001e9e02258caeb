"""What comes back from Google and is refused: wrong, late, foreign, incomplete or unreadable. Nothing is ever half-saved."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask

from portal.connections import acknowledgements
from portal.database import db
from portal.models import AcknowledgementText, AuditEvent, Connection, Grant, Membership
from tests.connections.consent import asked, consent
from tests.connections.people import MAILBOX, connect, finish, live, make_signature, make_signer, start
from tests.factories import make_account, make_member
from tests.services.programs import Sandbox

TOKEN = "/google/token"
CALLBACK = "/connections/google/callback"
NEUTRAL = "does not belong to a connection you have just begun here"


@pytest.fixture
def way(app: Flask, client: Any, sandbox: Sandbox) -> tuple[Any, str]:
    """A person who has consented and not come back yet: who, and the callback's URL."""
    sandbox.add_mailbox(MAILBOX, "Owen", kind="workspace")
    _, user = make_signer()
    client.sign_in(user)
    return user, consent(sandbox, start(client), MAILBOX)


def changed(url: str, **values: Any) -> str:
    """The callback with parameters replaced; a list sends one twice, None leaves it out."""
    given: dict[str, Any] = dict(parse_qs(urlsplit(url).query)) | values
    return f"{CALLBACK}?" + urlencode({k: v for k, v in given.items() if v is not None}, doseq=True)


def refusals() -> list[str]:
    query = db.session.query(AuditEvent).filter_by(name="person:connection:refused").order_by(AuditEvent.id)
    return [event.details["cause"] for event in query]


def assert_nothing_happened(sandbox: Sandbox) -> None:
    assert sandbox.requests(path=TOKEN) == []
    assert db.session.query(Connection).count() == db.session.query(Grant).count() == 0


@pytest.mark.requirement("OAU-1")
@pytest.mark.requirement("OAU-3")
@pytest.mark.provider_fault(1)
@pytest.mark.bad_input(46)
@pytest.mark.parametrize(
    "values",
    [
        {"state": None},
        {"state": ""},
        {"state": "wrong"},
        {"state": ["twice", "twice"]},
        {"state": "\u0000\ud7ff" + "x" * 5000},
        {"state": None, "code": None},
        {"code": None},
        {"code": ""},
        {"code": ["a", "b"]},
        {"code": "x" * 5000},
        {"iss": "https://evil.example"},
    ],
)
def test_an_answer_that_is_not_whole_is_refused_before_google_is_asked(
    way: tuple[Any, str], client: Any, sandbox: Sandbox, values: dict[str, Any]
) -> None:
    answer = client.get(changed(way[1], **values))
    assert answer.status_code == 400
    assert NEUTRAL in answer.text
    assert_nothing_happened(sandbox)
    assert len(refusals()) == 1


@pytest.mark.requirement("OAU-3")
def test_the_issuer_is_taken_when_it_is_googles(way: tuple[Any, str], client: Any, app: Flask) -> None:
    issuer = app.extensions["settings"].google_issuer
    assert client.get(changed(way[1], iss=issuer)).status_code == 303


@pytest.mark.requirement("OAU-1")
@pytest.mark.provider_fault(1)
@pytest.mark.bad_input(49)
def test_a_state_is_good_once(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    user, url = way
    assert client.get(changed(url, code=None)).status_code == 400  # spends it
    assert NEUTRAL in finish(client, url).text
    assert_nothing_happened(sandbox)
    assert connect(client, sandbox).status_code == 303
    assert live(user) is not None


@pytest.mark.requirement("OAU-1")
@pytest.mark.provider_fault(1)
def test_a_state_lasts_ten_minutes(app: Flask, client: Any, sandbox: Sandbox, frozen_clock: Any) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    url = consent(sandbox, start(client), MAILBOX)
    frozen_clock.shift(601)
    assert NEUTRAL in finish(client, url).text
    assert_nothing_happened(sandbox)


@pytest.mark.rule("P-03")
@pytest.mark.requirement("OAU-1")
@pytest.mark.provider_fault(2)
@pytest.mark.bad_input(50)
def test_nobody_elses_session_can_finish_it(way: tuple[Any, str], app: Flask, client: Any, sandbox: Sandbox) -> None:
    user, url = way
    _, other = make_signer("Hana Roth", account=db.session.get_one(Membership, _membership(user)).account)
    thief = app.test_client()
    thief.sign_in(other)
    assert NEUTRAL in finish(thief, url).text
    assert_nothing_happened(sandbox)
    assert NEUTRAL in finish(client, url).text  # spent
    assert (live(user), live(other)) == (None, None)


def _membership(user: Any) -> Any:
    return db.session.query(Membership).filter_by(user_id=user.id).one().id


@pytest.mark.rule("P-03")
@pytest.mark.bad_input(50)
def test_a_new_session_of_the_same_person_cannot_finish_it(way: tuple[Any, str], app: Flask, sandbox: Sandbox) -> None:
    user, url = way
    again = app.test_client()
    again.sign_in(user)
    assert NEUTRAL in finish(again, url).text
    assert_nothing_happened(sandbox)


@pytest.mark.rule("P-03")
@pytest.mark.bad_input(50)
def test_a_stranger_is_told_and_the_code_is_not_carried_on(way: tuple[Any, str], app: Flask, sandbox: Sandbox) -> None:
    answer = finish(app.test_client(), way[1])
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert parse_qs(urlsplit(way[1]).query)["code"][0] not in answer.text
    assert_nothing_happened(sandbox)


@pytest.mark.rule("P-03")
@pytest.mark.bad_input(41)
def test_the_account_must_still_be_the_one_it_was_begun_in(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    user, url = way
    second = make_account()
    make_member(second, user=user)
    make_signature(user, second)
    with client.session_transaction():
        pass
    from portal.models import UserSession

    db.session.query(UserSession).filter_by(user_id=user.id).one().account_id = second.id
    assert NEUTRAL in finish(client, url).text
    assert_nothing_happened(sandbox)


@pytest.mark.bad_input(50)
def test_somebody_who_no_longer_works_here_connects_nothing(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    user, url = way
    db.session.query(Membership).filter_by(user_id=user.id).one().state = "deactivated"
    assert finish(client, url).status_code == 400
    assert_nothing_happened(sandbox)


@pytest.mark.rule("H-07")
@pytest.mark.requirement("ACK-5")
@pytest.mark.requirement("ACK-6")
@pytest.mark.bad_input(50)
def test_a_text_that_changed_meanwhile_refuses_the_callback(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    newest = acknowledgements.current_text().version
    db.session.add(AcknowledgementText(version=newest + 1, html="<p>new</p>", sha256="0" * 64))
    answer = finish(client, way[1])
    assert answer.status_code == 403
    assert "The risk text has changed" in answer.text
    assert_nothing_happened(sandbox)
    assert refusals() == ["acknowledgement_outdated_in_grace"]


@pytest.mark.bad_input(47)
@pytest.mark.bad_input(48)
@pytest.mark.provider_fault(1)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "You cancelled at Google"),
        ("admin_policy_enforced", "administrator of your Google Workspace"),
        ("<script>alert(1)</script>", "Google ended the consent with an error"),
    ],
)
def test_an_error_is_told_in_our_own_words(
    way: tuple[Any, str], client: Any, sandbox: Sandbox, error: str, words: str
) -> None:
    answer = client.get(changed(way[1], error=error, error_description="<b>call 555</b>"))  # the code is there too
    assert answer.status_code == 400
    assert words in answer.text
    assert "alert(1)" not in answer.text
    assert "call 555" not in answer.text
    assert_nothing_happened(sandbox)


@pytest.mark.provider_fault(1)
def test_cancel_at_google_connects_nothing(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    answer = connect(client, sandbox, decision="deny")
    assert "You cancelled at Google. Nothing was connected." in answer.text
    assert_nothing_happened(sandbox)


@pytest.mark.provider_fault(1)
@pytest.mark.requirement("OAU-2")
@pytest.mark.bad_input(49)
def test_a_code_of_another_attempt_does_not_open_with_this_verifier(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen")
    sandbox.add_mailbox("evil@mail.example", "Eve")
    _, victim = make_signer()
    _, attacker = make_signer("Eve")
    eve = app.test_client()
    eve.sign_in(attacker)
    stolen = parse_qs(urlsplit(consent(sandbox, start(eve), "evil@mail.example")).query)["code"][0]
    client.sign_in(victim)
    state = asked(start(client))["state"]
    answer = client.get(f"{CALLBACK}?" + urlencode({"state": state, "code": stolen}))
    assert answer.status_code == 400
    assert "no longer accepts this consent" in answer.text
    assert live(victim) is None


@pytest.mark.requirement("OAU-5")
@pytest.mark.bad_input(53)
@pytest.mark.parametrize(
    "quirk",
    [
        "id_token_bad_signature", "id_token_alg_none", "id_token_wrong_audience", "id_token_wrong_issuer",
        "id_token_wrong_nonce",
    ],
)  # fmt: skip
def test_an_identity_that_cannot_be_verified_connects_nothing(
    way: tuple[Any, str], client: Any, sandbox: Sandbox, quirk: str
) -> None:
    sandbox.quirk(quirk, mailbox=MAILBOX)
    answer = finish(client, way[1])
    assert answer.status_code == 400
    assert "could not be verified" in answer.text
    assert db.session.query(Grant).count() == 0


@pytest.mark.provider_fault(4)
@pytest.mark.bad_input(51)
def test_no_refresh_token_connects_nothing(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    sandbox.quirk("token_without_refresh", mailbox=MAILBOX)
    answer = finish(client, way[1])
    assert answer.status_code == 400
    assert "for this moment only" in answer.text
    assert db.session.query(Grant).count() == 0
    assert len(sandbox.requests(path="/google/revoke")) == 1


GOOD = {"access_token": "a", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "r", "id_token": "x.y.z"}


@pytest.mark.bad_input(51)
@pytest.mark.provider_fault(7)
@pytest.mark.provider_fault(39)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 200, "body": "<html>busy</html>"},
        {"status": 200, "body": {**GOOD, "expires_in": -1}},
        {"status": 200, "body": {**GOOD, "expires_in": "abc"}},
        {"status": 200, "body": {**GOOD, "expires_in": True}},
        {"status": 200, "body": {**GOOD, "token_type": "mac"}},
        {"status": 200, "body": {**GOOD, "access_token": ["a"]}},
        {"status": 200, "body": ["a"]},
        {"status": 200, "body": "x" * 10_000_000},
        {"status": 500, "body": {"error": "internal_failure"}},
        {"status": 503, "body": "<html>"},
        {"status": 302, "headers": {"Location": "https://evil.example/token"}, "body": ""},
        {"drop": True},
        {"truncate": 40},
    ],
    ids=str,
)
def test_a_token_answer_that_cannot_be_used_connects_nothing(
    way: tuple[Any, str], client: Any, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    sandbox.fault(method="POST", path=TOKEN, **fault)
    answer = finish(client, way[1])
    assert answer.status_code == 400
    assert "Google could not be reached" in answer.text
    assert db.session.query(Grant).count() == 0
    assert len(refusals()) == 1


@pytest.mark.provider_fault(8)
def test_a_refused_client_is_the_operators_matter(way: tuple[Any, str], client: Any, sandbox: Sandbox) -> None:
    sandbox.fault(method="POST", path=TOKEN, status=401, body={"error": "invalid_client"})
    answer = finish(client, way[1])
    assert answer.status_code == 400
    assert "Your operator has to mend it" in answer.text


@pytest.mark.provider_fault(39)
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"body": "<html>", "status": 200}, {"body": {"keys": "none"}, "status": 200}], ids=str
)
def test_keys_that_cannot_be_had_connect_nothing(
    way: tuple[Any, str], client: Any, sandbox: Sandbox, fault: dict[str, Any]
) -> None:
    sandbox.fault(path="/google/certs", **fault)
    assert "Google could not be reached" in finish(client, way[1]).text
    assert db.session.query(Grant).count() == 0


def test_an_identity_without_a_mailbox_is_refused(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(MAILBOX, "Owen", mail_enabled=False)
    _, user = make_signer()
    client.sign_in(user)
    answer = connect(client, sandbox)
    assert "has no Gmail mailbox" in answer.text
    assert (live(user), db.session.query(Grant).count()) == (None, 0)


@pytest.mark.requirement("OAU-8")
def test_no_secret_stands_in_pages_logs_audit_or_redis(app: Flask, client: Any, sandbox: Sandbox, caplog: Any) -> None:
    from portal.connections import tokens
    from portal.sealing import open_text

    caplog.set_level("DEBUG")
    sandbox.add_mailbox(MAILBOX, "Owen")
    _, user = make_signer()
    client.sign_in(user)
    location = start(client)
    url = consent(sandbox, location, MAILBOX)
    caplog.clear()  # the browser of the test logs its own addresses
    answer = finish(client, url)
    grant = db.session.query(Grant).one()
    place = tokens.owner_of(grant)
    secrets = [
        open_text(grant.refresh_token, "grant.refresh_token", place, grant.id),
        open_text(grant.access_token, "grant.access_token", place, grant.id),
        parse_qs(urlsplit(url).query)["code"][0],
        asked(location)["state"],
    ]
    redis = app.extensions["redis"]
    kept = b"".join(redis.dump(key) or b"" for key in redis.keys("*"))
    audit = str([(event.details, event.name) for event in db.session.query(AuditEvent)])
    for secret in secrets:
        assert secret not in answer.text + caplog.text + audit + str(answer.headers)
        assert secret.encode() not in kept
