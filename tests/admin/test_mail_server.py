"""The mail server of a location: who may see and change it, what a test must show, where its password never goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from devtools.places import free_port
from portal.admin import relay_service, relay_trial
from portal.audit import events
from portal.database import db
from portal.lib.clock import now
from portal.models import Account, AuditEvent, MailRelay
from portal.providers.smtp.relay import RelayServer
from portal.sealing import open_text
from portal.sending import relays
from tests.factories import make_account, make_member, make_relay
from tests.providers.smtp_server import HANG_UP, MailServer, Script
from tests.services.programs import Sandbox

PAGE = "/settings/mail-server"
OWNER = "maren.holt@lumen.example"


@pytest.fixture
def account(app: Any) -> Account:
    return make_account()


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server that takes everything until its script says otherwise."""
    running = MailServer(Script())
    yield running
    running.close()


def typed(port: int, other: dict[str, str] | None = None, **values: str) -> dict[str, str]:
    """What an owner types for a server on this machine."""
    return {
        "host": "127.0.0.1", "port": str(port), "security": "none", "username": "", "password": "",
        "from_email": "hello@lumen.example", "from_name": "Lumen Aesthetics Uptown",
    } | (other or {}) | values  # fmt: skip


def relay(account: Account) -> MailRelay | None:
    return db.session.scalar(select(MailRelay).where(MailRelay.account_id == account.id))


def audited(name: str) -> list[dict[str, Any]]:
    return list(db.session.scalars(select(AuditEvent.details).where(AuditEvent.name == name).order_by(AuditEvent.id)))


@pytest.mark.rule("S-01")
def test_an_owner_sets_it_up_and_gets_a_test_mail(client: Any, account: Account, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(OWNER, "Maren Holt")
    client.sign_in(make_member(account, "owner", email=OWNER))
    assert "Save and test" in client.get(PAGE).text
    answer = client.post(PAGE, data=typed(sandbox.smtp_port, send_test="y"), follow_redirects=True)
    assert "The mail server works and is in use." in answer.text
    assert f"A test mail is on its way to {OWNER}" in answer.text
    row = relay(account)
    assert row is not None
    assert (row.is_on, row.test_error, row.from_name) == (True, "", "Lumen Aesthetics Uptown")
    assert relays.relay_of(account.id) is row
    [mail] = sandbox.messages(OWNER)
    assert mail["headers"]["subject"] == "Test mail of Lumen Aesthetics, Uptown"
    assert set(audited(events.RELAY_CHANGED)[0]["changed"]) >= {"host", "port", "from_email"}
    assert audited(events.RELAY_TESTED) == [{"result": "passed"}]
    client.post(PAGE, data=typed(sandbox.smtp_port))  # the same once more is no change, and sends no mail
    assert len(audited(events.RELAY_CHANGED)) == 1
    assert len(sandbox.messages(OWNER)) == 1


@pytest.mark.rule("A-01")
@pytest.mark.parametrize(
    ("role", "read", "write"),
    [("compliance", 200, 403), ("provider", 404, 403), ("front_desk", 404, 403), ("marketing", 404, 403), ("vendor", 404, 403)],
)
def test_who_may_see_and_change_it(client: Any, account: Account, server: MailServer, role: str, read: int, write: int) -> None:
    make_relay(account, server.port, username="lumen-mailer", password="hush-hush")
    client.sign_in(make_member(account, role))
    page = client.get(PAGE)
    assert page.status_code == read
    assert ("lumen-mailer" in page.text) is (read == 200)
    for path in ("", "/test", "/remove"):
        assert client.post(PAGE + path, data=typed(server.port)).status_code == write
    assert "Save and test" not in page.text + client.get("/settings/account").text
    assert server.connections == 0
    assert relay(account) is not None


def test_another_locations_server_is_not_seen(client: Any, account: Account, server: MailServer) -> None:
    make_relay(make_account(), server.port, host="mail.other.example")
    client.sign_in(make_member(account, "owner"))
    assert "mail.other.example" not in client.get(PAGE).text
    assert "No mail server is set up here" in client.post(PAGE + "/test", follow_redirects=True).text
    assert server.connections == 0


@pytest.mark.requirement("NET-2")
def test_the_password_goes_in_and_never_comes_out(client: Any, account: Account, server: MailServer) -> None:
    client.sign_in(make_member(account, "owner"))
    secret = {"security": "starttls", "host": "localhost", "username": "lumen-mailer", "password": "hush-hush"}
    answers = [client.post(PAGE, data=typed(server.port, secret), follow_redirects=True)]  # it offers no STARTTLS
    assert "no password was sent" in answers[0].text.casefold()
    assert not any(line.startswith("AUTH") for line in server.lines)
    row = relay(account)
    assert row is not None
    assert b"hush" not in (row.password or b"")
    sealed = row.password
    answers.append(client.get(PAGE))
    answers.append(client.post(PAGE, data=typed(server.port, secret | {"from_email": "nonsense"})))
    assert answers[2].status_code == 400
    client.post(PAGE, data=typed(server.port, secret | {"password": ""}))  # kept unless typed
    assert relay(account).password == sealed  # type: ignore[union-attr]
    client.post(PAGE, data=typed(server.port, secret | {"password": "newer-secret"}))
    row = relay(account)
    assert row is not None
    assert open_text(row.password, relays.PASSWORD, account.id, row.id) == "newer-secret"
    client.post(PAGE, data=typed(server.port, secret | {"username": "", "password": ""}))
    assert relay(account).password is None  # type: ignore[union-attr]
    assert not any("hush" in answer.text for answer in answers)
    assert "hush" not in str(audited(events.RELAY_CHANGED))


@pytest.mark.requirement("NET-2")
@pytest.mark.parametrize("change", [{"host": "localhost"}, {"port": "1"}])
def test_a_kept_password_never_goes_to_another_server(
    client: Any, account: Account, server: MailServer, change: dict[str, str]
) -> None:
    make_relay(account, server.port, security="starttls", username="lumen-mailer", password="hush-hush")
    client.sign_in(make_member(account, "owner"))
    kept = {"security": "starttls", "username": "lumen-mailer"}
    answer = client.post(PAGE, data=typed(server.port, kept | change))
    assert answer.status_code == 400
    assert "never goes to another server" in answer.text
    assert server.connections == 0
    assert relay(account).is_on  # type: ignore[union-attr]
    wanted = relay_service.Wanted("evil.example", server.port, "tls", "lumen-mailer", "", "a@lumen.example", "")
    with pytest.raises(relay_service.Conflict):
        relay_service.save(account, wanted)


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("answers", "send_test", "result", "words"),
    [
        ({"GREETING": HANG_UP}, "", "unreachable", "Nobody answered"),
        ({"GREETING": "554 5.7.1 go away"}, "", "turned_away", "turns the portal away"),
        ({"MAIL": "530 5.7.0 sign in"}, "", "sign_in", "refused the sign-in"),
        ({"MAIL": "550 5.7.1 not yours"}, "", "sender", "return address"),
        ({"RCPT": "550 5.1.1 no-such-person"}, "y", "mail", "refused the test mail"),
        ({"DOT": "554 5.7.1 spoofed"}, "y", "mail", "554 5.7.1"),
        ({"DOT": HANG_UP}, "y", "uncertain", "Look into your mailbox"),
    ],
)
def test_a_test_that_fails_keeps_it_out_of_use(
    client: Any, account: Account, server: MailServer, answers: dict[str, str], send_test: str, result: str, words: str
) -> None:
    server.script.answers.update(answers)
    client.sign_in(make_member(account, "owner"))
    page = client.post(PAGE, data=typed(server.port, send_test=send_test), follow_redirects=True).text
    assert "The last test did not pass" in page
    assert words in page
    assert not any(said in page for said in ("go away", "not yours", "no-such-person", "spoofed"))
    assert relays.relay_of(account.id) is None
    assert audited(events.RELAY_TESTED) == [{"result": result}]
    server.script.answers.clear()
    assert "works and is in use" in client.post(PAGE + "/test", follow_redirects=True).text
    assert relays.relay_of(account.id) is not None


def test_words_for_encryption_and_private_hosts(app: Any) -> None:
    letter = relay_trial.Letter("b@replies.example")
    found = relay_trial.run(RelayServer("127.0.0.1", free_port(), "tls"), letter)
    assert found.kind == "host"
    assert all(len(words) < relays.MAX_WORDS - 60 for _, _, words in relay_trial.KINDS)


@pytest.mark.rule("S-01")
def test_changed_settings_are_out_of_use_until_they_pass(client: Any, account: Account, server: MailServer) -> None:
    row = make_relay(account, server.port, trouble="The mail server is away.", retry_at=now())
    client.sign_in(make_member(account, "owner"))
    assert "The mail server is away." in client.get(PAGE).text
    server.script.answers["GREETING"] = HANG_UP
    client.post(PAGE + "/test")  # it passed before, and mail would only wait: it stays
    assert relays.relay_of(account.id) is not None
    assert "It stays in use" in client.get(PAGE).text
    client.post(PAGE, data=typed(server.port, from_name="Lumen"))
    assert relay(account).is_on  # type: ignore[union-attr]  # a name needs no test
    client.post(PAGE, data=typed(server.port, from_email="desk@lumen.example"))
    db.session.refresh(row)
    assert (row.is_on, row.trouble, row.retry_at) == (False, "", None)


def test_a_result_for_settings_that_changed_meanwhile_does_not_count(
    account: Account, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_relay(account, server.port, is_on=False)
    db.session.commit()
    real = relay_trial.run

    def slow(*given: Any) -> relay_trial.Result:
        assert not db.session().in_transaction()  # nothing is held while the server thinks
        row = relay(account)
        assert row is not None
        row.host = "mail.other.example"
        db.session.commit()
        return real(*given)

    monkeypatch.setattr(relay_service.relay_trial, "run", slow)
    assert relay_service.try_out(account.id) is False
    assert relays.relay_of(account.id) is None


@pytest.mark.bad_input(37)
@pytest.mark.requirement("NET-3")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", ""), ("host", "not a host"), ("host", "evil.example\r\nX"), ("host", "http://mail.example"), ("port", "0"),
        ("port", "70000"), ("port", "x"), ("security", "ssl3"), ("from_email", "a@b"), ("from_email", "a@b.example\r\nBcc: x"),
        ("from_email", "r-x@replies.demo.example"), ("from_name", "Lumen\r\nBcc: x"), ("from_name", "x" * 71),
        ("username", "lumen\r\nX"), ("username", "lumen"),
    ],
)  # fmt: skip
def test_settings_out_of_their_bounds_change_nothing(
    client: Any, account: Account, server: MailServer, field: str, value: str
) -> None:
    client.sign_in(make_member(account, "owner"))
    answer = client.post(PAGE, data=typed(server.port, {field: value}))
    assert answer.status_code == 400
    assert "to be mended" in answer.text
    assert relay(account) is None
    assert server.connections == 0


def test_taking_it_out_of_use(client: Any, account: Account, server: MailServer) -> None:
    make_relay(account, server.port, username="", password="hush")
    client.sign_in(make_member(account, "owner"))
    assert "Nothing is lost" in client.get(PAGE + "/remove").text
    answer = client.post(PAGE + "/remove", follow_redirects=True)
    assert "out of use" in answer.text
    assert relay(account) is None
    assert len(audited(events.RELAY_REMOVED)) == 1
    assert client.get(PAGE + "/remove").status_code == 302
    assert "Nothing was changed" in client.post(PAGE + "/remove", follow_redirects=True).text


def test_tries_are_limited(client: Any, account: Account, server: MailServer) -> None:
    make_relay(account, server.port)
    client.sign_in(make_member(account, "owner"))
    statuses = [client.post(PAGE + "/test").status_code for _ in range(7)]
    assert statuses == [303] * 6 + [429]
    assert server.connections == 6


@pytest.mark.rule("S-01")
def test_the_standard_email_card(client: Any, account: Account, server: MailServer) -> None:
    make_member(account, "owner", name="Maren Holt", email=OWNER)
    client.sign_in(make_member(account, "provider"))
    before = client.get("/profile/email").text
    assert "Maren Holt can set it up" in before
    row = make_relay(account, server.port)
    page = client.get("/profile/email").text
    assert "Always on. Nothing to set up." in page
    assert "can set it up" not in page
    row.trouble = "The mail server is away."
    assert "Nothing is lost" in client.get("/profile/email").text
