"""Outlook at the real stand-in: consent, the way back, and the gate before them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask

from portal.connections import acknowledgements, service
from portal.database import db
from portal.models import AcknowledgementText, AuditEvent, Connection, Grant
from tests.connections.consent import asked, consent
from tests.connections.people import connect, finish, live, make_signature, make_signer, sign_form, start
from tests.factories import (
    make_connection,
)
from tests.services.programs import Sandbox

GMAIL, OUTLOOK, OTHER = "owen@lumen.example", "owen@harbor.example", "owen.new@harbor.example"
AUTHORIZE, TOKEN = "/oauth2/v2.0/authorize", "/oauth2/v2.0/token"
TOKEN_RULE = "/microsoft/*/token"
CALLBACK = "/connections/microsoft/callback"
NEUTRAL = "does not belong to a connection you have just begun here"


@pytest.fixture
def person(app: Flask, client: Any, sandbox: Sandbox) -> Any:
    """Somebody with an Outlook mailbox at work who has signed the risks for Outlook, signed in."""
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft", kind="workspace")
    _, user = make_signer(provider="microsoft")
    client.sign_in(user)
    return user


def refusals() -> list[str]:
    query = db.session.query(AuditEvent).filter_by(name="person:connection:refused").order_by(AuditEvent.id)
    return [event.details["cause"] for event in query]


def assert_nothing_happened(sandbox: Sandbox) -> None:
    assert sandbox.requests(path=TOKEN) == sandbox.requests(path="/google/token") == []
    assert db.session.query(Connection).count() == db.session.query(Grant).count() == 0


def linked(client: Any, sandbox: Sandbox, mailbox: str = OUTLOOK, purpose: str = "connect", **choices: Any) -> Any:
    return connect(client, sandbox, mailbox, purpose, "microsoft", **choices)


# The way there and back ----------------------------------------------------------------------------------------------


@pytest.mark.rule("O-01")
@pytest.mark.requirement("OAU-2")
@pytest.mark.requirement("OAU-4")
@pytest.mark.requirement("OAU-6")
def test_what_is_asked_of_microsoft(person: Any, app: Flask, client: Any) -> None:
    answer = client.post(
        "/connections/microsoft/begin", data={"purpose": "connect"}, headers={"X-Forwarded-Host": "evil.example"}
    )
    given, settings = asked(answer.location), app.extensions["settings"]
    assert answer.location.startswith(f"{settings.ms_login_base}/common{AUTHORIZE}?")
    assert given["scope"] == (
        "openid email profile offline_access https://graph.microsoft.com/User.Read "
        "https://graph.microsoft.com/Mail.ReadWrite https://graph.microsoft.com/Mail.Send"
    )
    assert given["redirect_uri"] == f"{settings.base_url}{CALLBACK}"
    assert (given["response_mode"], given["prompt"], given["code_challenge_method"]) == ("query", "select_account", "S256")
    assert min(len(given["state"]), len(given["nonce"])) >= 43
    assert not {"login_hint", "client_secret", "code_verifier"} & set(given)
    assert settings.ms_login_base.rpartition("/")[0] in answer.headers["Content-Security-Policy"]


@pytest.mark.rule("O-01")
@pytest.mark.rule("G-03")
@pytest.mark.requirement("OAU-5")
@pytest.mark.parametrize("kind", ["workspace", "consumer"])
def test_a_whole_consent_with_a_code_step_connects(app: Flask, client: Any, sandbox: Sandbox, kind: str) -> None:
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft", kind=kind)
    sandbox.require_code(OUTLOOK)
    account, user = make_signer(provider="microsoft")
    client.sign_in(user)
    answer = linked(client, sandbox)
    assert (answer.status_code, answer.location) == (303, "/profile/email")
    row = live(user)
    assert row is not None
    assert (row.account_id, row.provider, row.mailbox, row.state) == (account.id, "microsoft", OUTLOOK, "connected")
    assert row.is_consumer == (kind == "consumer")
    tenant, _, person_id = row.grant.subject.partition(":")
    assert min(len(tenant), len(person_id)) == 36
    assert (tenant == "9188040d-6c67-4c5b-b112-36a304b66dad") == (kind == "consumer")
    assert row.cursor


@pytest.mark.rule("O-01")
@pytest.mark.requirement("OAU-6")
@pytest.mark.provider_fault(9)
@pytest.mark.parametrize("form", ["long", "short", "lower"])
def test_scopes_are_understood_in_every_form(person: Any, client: Any, sandbox: Sandbox, form: str) -> None:
    sandbox.quirk("ms_scope_form", mailbox=OUTLOOK, value=form)
    assert linked(client, sandbox).status_code == 303


@pytest.mark.rule("O-01")
@pytest.mark.requirement("OAU-6")
@pytest.mark.provider_fault(13)
@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        ("openid profile offline_access User.Read Mail.ReadWrite", "Send mail as you"),
        ("openid profile offline_access User.Read Mail.Send", "Read and write access to your mail"),
        ("openid profile User.Read Mail.ReadWrite Mail.Send", "Maintain access to data you have given it access to"),
    ],
)
def test_every_permission_must_be_granted(person: Any, client: Any, sandbox: Sandbox, scopes: str, words: str) -> None:
    sandbox.quirk("token_scope", mailbox=OUTLOOK, value=scopes)
    answer = linked(client, sandbox)
    assert answer.status_code == 400
    assert "Insufficient permission" in answer.text
    assert words in answer.text
    assert "one permission was not given. Nothing was connected." in answer.text
    assert 'href="/connections/microsoft/risks"' in answer.text
    assert (live(person), db.session.query(Grant).count(), refusals()) == (None, 0, ["insufficient_permission"])


@pytest.mark.provider_fault(1)
@pytest.mark.provider_fault(11)
@pytest.mark.parametrize(("case", "words"), [
    ("deny", "You cancelled at Microsoft. Nothing was connected."),
    ("approval", "The administrator of your Microsoft 365 does not allow this app."),
    ("error", "Microsoft ended the consent with an error."),
])  # fmt: skip
def test_what_ends_at_microsoft_is_told_in_our_own_words(
    person: Any, client: Any, sandbox: Sandbox, case: str, words: str
) -> None:
    if case == "error":
        state = asked(start(client, provider="microsoft"))["state"]
        query = {"state": state, "error": "<b>odd</b>", "error_description": "AADSTS1: call 555"}
        answer = client.get(f"{CALLBACK}?{urlencode(query)}")
    else:
        if case == "approval":
            sandbox.preset("ms_approval", OUTLOOK)
        answer = linked(client, sandbox, decision="deny")
    assert answer.status_code == 400
    assert words in answer.text
    assert "555" not in answer.text
    assert_nothing_happened(sandbox)


@pytest.mark.requirement("OAU-1")
@pytest.mark.requirement("OAU-3")
@pytest.mark.provider_fault(1)
@pytest.mark.bad_input(49)
@pytest.mark.parametrize(("begun", "brought"), [("google", "microsoft"), ("microsoft", "google")])
def test_an_answer_on_the_other_providers_path_reaches_no_token_endpoint(
    app: Flask, client: Any, sandbox: Sandbox, begun: str, brought: str
) -> None:
    sandbox.add_mailbox(GMAIL, "Owen")
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft")
    account, user = make_signer(provider="microsoft")
    make_signature(user, account)
    client.sign_in(user)
    url = consent(sandbox, start(client, provider=begun), GMAIL if begun == "google" else OUTLOOK)
    answer = client.get(f"/connections/{brought}/callback?{urlsplit(url).query}")
    assert (answer.status_code, NEUTRAL in answer.text) == (400, True)
    assert NEUTRAL in finish(client, url).text  # spent
    assert_nothing_happened(sandbox)


@pytest.mark.requirement("OAU-1")
@pytest.mark.requirement("OAU-3")
@pytest.mark.provider_fault(1)
@pytest.mark.parametrize("change", [{"state": "wrong"}, {"code": None}, {"iss": "https://evil.example/x/v2.0"}], ids=str)
def test_an_answer_that_is_not_whole_is_refused_before_microsoft_is_asked(
    person: Any, client: Any, sandbox: Sandbox, change: dict[str, Any]
) -> None:
    url = consent(sandbox, start(client, provider="microsoft"), OUTLOOK)
    query = {k: v for k, v in ({k: v[0] for k, v in parse_qs(urlsplit(url).query).items()} | change).items() if v}
    assert NEUTRAL in client.get(f"{CALLBACK}?{urlencode(query)}").text
    assert_nothing_happened(sandbox)


@pytest.mark.requirement("OAU-1")
@pytest.mark.provider_fault(2)
def test_nobody_elses_session_can_finish_it(person: Any, app: Flask, client: Any, sandbox: Sandbox) -> None:
    url = consent(sandbox, start(client, provider="microsoft"), OUTLOOK)
    _, other = make_signer("Hana Roth", provider="microsoft")
    thief: Any = app.test_client()
    assert NEUTRAL in finish(thief.sign_in(other), url).text
    assert_nothing_happened(sandbox)


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
    person: Any, client: Any, sandbox: Sandbox, quirk: str
) -> None:
    assert linked(client, sandbox).status_code == 303  # the checks hold from the second sign-in on, too
    service.disconnect(live(person), "user")  # type: ignore[arg-type]
    sandbox.quirk(quirk, mailbox=OUTLOOK)
    answer = linked(client, sandbox)
    assert (answer.status_code, "could not be verified" in answer.text, live(person)) == (400, True, None)


@pytest.mark.requirement("OAU-2")
@pytest.mark.provider_fault(1)
@pytest.mark.provider_fault(7)
@pytest.mark.provider_fault(8)
@pytest.mark.provider_fault(11)
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("invalid_grant", 54005, "Microsoft no longer accepts this consent"),
        ("invalid_grant", 501481, "Microsoft no longer accepts this consent"),
        ("invalid_client", 50011, "Microsoft no longer accepts this consent"),
        ("invalid_grant", 70008, "Microsoft no longer accepts this consent"),
        ("interaction_required", 50076, "wants you to sign in with a further step"),
        ("consent_required", 90094, "The administrator of your Microsoft 365"),
        ("invalid_grant", 65001, "Microsoft refused us"),
        ("invalid_grant", 50057, "This Microsoft account has no Outlook mailbox"),
        ("invalid_client", 7000222, "Your operator has to mend it"),
        ("temporarily_unavailable", 90033, "Microsoft could not be reached"),
        ("", 0, "Microsoft could not be reached"),  # a page of some proxy
    ],
)
def test_a_code_that_is_not_taken_says_why(
    person: Any, client: Any, sandbox: Sandbox, error: str, code: int, words: str
) -> None:
    body = {"error": error, "error_codes": [code], "error_description": "AADSTS1: call 555"} if error else "<html>"
    sandbox.fault(method="POST", path=TOKEN_RULE, status=400, body=body)
    answer = linked(client, sandbox)
    assert answer.status_code == 400
    assert words in answer.text
    assert "555" not in answer.text
    assert (live(person), db.session.query(Grant).count()) == (None, 0)


@pytest.mark.rule("P-05")
def test_an_identity_without_a_mailbox_is_refused(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft", mail_enabled=False)
    _, user = make_signer(provider="microsoft")
    client.sign_in(user)
    assert "has no Outlook mailbox" in linked(client, sandbox).text
    assert live(user) is None


@pytest.mark.rule("P-06")
def test_a_personal_mailbox_is_kept_out_where_the_practice_says_so(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft", kind="consumer")
    account, user = make_signer(provider="microsoft")
    account.consumer_mailboxes = "forbidden"
    client.sign_in(user)
    assert "does not allow personal Outlook mailboxes" in linked(client, sandbox).text
    assert live(user) is None


@pytest.mark.rule("P-05")
def test_another_provider_is_no_page(person: Any, client: Any) -> None:
    assert client.get("/connections/yahoo/risks").status_code == 404
    assert client.post("/connections/yahoo/begin", data={"purpose": "connect"}).status_code == 404


# The gate ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("H-01")
@pytest.mark.rule("H-02")
@pytest.mark.rule("H-06")
@pytest.mark.rule("H-07")
def test_the_risks_are_read_and_signed_for_outlook_on_its_own(app: Flask, client: Any, sandbox: Sandbox) -> None:
    sandbox.add_mailbox(OUTLOOK, "Owen", provider="microsoft")
    _, user = make_signer()  # for Gmail only
    client.sign_in(user)
    refused = client.post("/connections/microsoft/begin", data={"purpose": "connect"})
    assert refused.status_code == 403
    assert "the risks of two-way sync with Outlook" in refused.text
    assert 'href="/connections/microsoft/risks"' in refused.text
    page = client.get("/connections/microsoft/risks").text
    assert "Before you connect Outlook: six risks" in page
    assert "Continue to Microsoft" in page
    assert not {"Gmail", "Google"} & set(page.replace("<", " ").split())
    answer = client.post("/connections/microsoft/risks", data=sign_form(user.name))
    assert AUTHORIZE in answer.location
    assert finish(client, consent(sandbox, answer.location, OUTLOOK)).status_code == 303


@pytest.mark.rule("H-07")
def test_a_text_that_changed_meanwhile_refuses_the_callback(person: Any, client: Any, sandbox: Sandbox) -> None:
    url = consent(sandbox, start(client, provider="microsoft"), OUTLOOK)
    db.session.add(AcknowledgementText(version=9, html="<p>new</p>", sha256="0" * 64))
    assert finish(client, url).status_code == 403
    assert_nothing_happened(sandbox)


@pytest.mark.rule("H-07")
def test_signing_for_one_provider_lets_no_mailbox_of_the_other_go_on(app: Flask, client: Any) -> None:
    account, user = make_signer()
    connection = make_connection(account, user, OUTLOOK, provider="microsoft", state="paused", cause="acknowledgement_missing")
    client.sign_in(user)
    acknowledgements.sign(user, account.id, "google", ticked=list("abcdef"), typed_name=user.name)
    assert connection.state == "paused"
    acknowledgements.sign(user, account.id, "microsoft", ticked=list("abcdef"), typed_name=user.name)
    assert connection.state == "connected"
