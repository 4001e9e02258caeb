"""Google's sign-in, consent and tokens."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import CLIENT, EMAIL, READ, SEND, Gmail, GoogleApp
from tests.services.programs import Sandbox


def claims_of(google: GoogleApp, id_token: str) -> dict[str, Any]:
    """The claims of an id_token whose signature fits the published keys."""
    keys = KeySet.import_key_set(google.http.get("/google/certs").json())
    return dict(jwt.decode(id_token, keys, algorithms=["RS256"]).claims)


def test_a_whole_consent_gives_tokens_and_an_identity(google: GoogleApp, sandbox: Sandbox) -> None:
    answer = google.consent(AMY)
    assert answer["state"] == "state-1"
    tokens = google.exchange(answer["code"]).json()

    assert tokens["scope"].split() == ["openid", EMAIL, READ, SEND]
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3599)
    claims = claims_of(google, tokens["id_token"])
    assert claims["iss"] == "https://accounts.google.com"
    assert claims["aud"] == CLIENT["client_id"]
    assert (claims["email"], claims["email_verified"], claims["nonce"]) == (AMY, True, "nonce-1")
    assert claims["sub"] == sandbox.call("GET", f"/mailboxes/{AMY}")["sub"]
    assert Gmail(google, tokens["access_token"]).get("profile")["emailAddress"] == AMY


def test_the_consent_page_names_the_app_and_has_an_unticked_box_per_permission(google: GoogleApp) -> None:
    page = google.authorize(login_hint=AMY).text

    assert "Aesthetix Mail Sync" in page
    assert f'value="{READ}">' in page
    assert f'value="{SEND}">' in page
    assert "checked" not in page
    assert "Stand-in for Google" in page


@pytest.mark.provider_fault(3)
@pytest.mark.parametrize("ticked", [[READ], [SEND], []])
def test_an_unticked_box_narrows_the_scope(google: GoogleApp, ticked: list[str]) -> None:
    tokens = google.connect(AMY, ticked=ticked)

    assert tokens["scope"].split() == ["openid", EMAIL, *ticked]


@pytest.mark.provider_fault(1)
def test_cancel_comes_back_with_access_denied(google: GoogleApp) -> None:
    assert google.consent(AMY, decision="deny") == {"error": "access_denied", "state": "state-1"}


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"client_id": "other"}, "invalid_client"),
        ({"redirect_uri": "https://evil.example/callback"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "invalid_request"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "https://www.googleapis.com/auth/gmail.nothing"}, "invalid_scope"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
    ],
)
def test_a_wrong_request_ends_on_googles_own_page(google: GoogleApp, changes: dict[str, str | None], error: str) -> None:
    page = google.authorize(**changes)

    assert page.status_code in (400, 401)
    assert error in page.text


def test_a_wrong_password_or_account_goes_no_further(google: GoogleApp) -> None:
    for email, password in ((AMY, "guess"), ("nobody@practice.example", "demo-password")):
        flow = google.authorize().text.split('name="flow" value="')[1].split('"')[0]
        page = google.http.post("/google/signin", data={"flow": flow, "email": email, "password": password})
        assert page.status_code == 400
        assert 'name="scope"' not in page.text


@pytest.mark.provider_fault(1)
@pytest.mark.parametrize(
    "changes, error",
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, "redirect_uri_mismatch"),
        ({"code": "4/unknown"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_secret": "wrong"}, "invalid_client"),
    ],
)
def test_a_code_is_bound_to_its_request(google: GoogleApp, changes: dict[str, str | None], error: str) -> None:
    answer = google.exchange(**{"code": google.consent(AMY)["code"], **changes})  # type: ignore[arg-type]

    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.json()["error"] == error


@pytest.mark.provider_fault(1)
def test_a_code_works_once_and_for_ten_minutes(google: GoogleApp, sandbox: Sandbox) -> None:
    code = google.consent(AMY)["code"]
    assert google.exchange(code).status_code == 200
    assert google.exchange(code).json()["error"] == "invalid_grant"

    late = google.consent(AMY)["code"]
    sandbox.call("POST", "/clock", json={"offset_seconds": 601})
    assert google.exchange(late).json()["error"] == "invalid_grant"


def test_an_access_token_lives_an_hour_and_is_refreshed(google: GoogleApp, sandbox: Sandbox) -> None:
    tokens = google.connect(AMY)
    sandbox.call("POST", "/clock", json={"offset_seconds": 3600})
    refused = Gmail(google, tokens["access_token"]).call("GET", "profile")
    assert refused.status_code == 401
    assert refused.json()["error"]["errors"][0]["reason"] == "authError"

    fresh = google.refresh(tokens["refresh_token"]).json()
    assert "refresh_token" not in fresh
    assert Gmail(google, fresh["access_token"]).get("profile")["emailAddress"] == AMY


@pytest.mark.provider_fault(4)
def test_a_returning_person_gets_no_refresh_token_without_a_new_consent(google: GoogleApp) -> None:
    first = google.connect(AMY)
    again = google.connect(AMY, prompt=None)

    assert "refresh_token" in first
    assert "refresh_token" not in again
    assert "refresh_token" in google.connect(AMY, prompt="consent")
    assert "refresh_token" not in google.connect(PAT, access_type=None)


def test_one_revocation_ends_the_whole_grant(google: GoogleApp) -> None:
    one, two = google.connect(AMY), google.connect(AMY)
    assert google.revoke(one["access_token"]).status_code == 200

    assert google.refresh(two["refresh_token"]).json()["error"] == "invalid_grant"
    assert Gmail(google, two["access_token"]).call("GET", "profile").status_code == 401
    assert google.revoke(one["access_token"]).status_code == 400


@pytest.mark.provider_fault(6)
@pytest.mark.parametrize("action", ["revoke", "change-password"])
def test_what_a_person_does_at_google_ends_the_tokens(google: GoogleApp, sandbox: Sandbox, action: str) -> None:
    tokens, other = google.connect(AMY), google.connect(PAT)
    sandbox.call("POST", f"/users/{AMY}/{action}")

    answer = google.refresh(tokens["refresh_token"])
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    assert google.refresh(other["refresh_token"]).status_code == 200


def test_a_new_password_leaves_tokens_without_mail_scopes_alive(google: GoogleApp, sandbox: Sandbox) -> None:
    tokens = google.connect(AMY, scope="openid email")
    sandbox.call("POST", f"/users/{AMY}/change-password", json={"password": "better"})

    assert google.refresh(tokens["refresh_token"]).status_code == 200
    flow = google.authorize().text.split('name="flow" value="')[1].split('"')[0]
    old = google.http.post("/google/signin", data={"flow": flow, "email": AMY, "password": "demo-password"})
    assert old.status_code == 400


def test_the_hundredth_refresh_token_is_the_last(google: GoogleApp, sandbox: Sandbox) -> None:
    first = sandbox.grant(AMY)
    for _ in range(100):
        last = sandbox.grant(AMY)

    assert google.refresh(first["refresh_token"]).status_code == 400
    assert google.refresh(last["refresh_token"]).status_code == 200


@pytest.mark.provider_fault(5)
def test_a_login_hint_goes_straight_to_that_person(google: GoogleApp, sandbox: Sandbox) -> None:
    sub = sandbox.call("GET", f"/mailboxes/{AMY}")["sub"]

    assert AMY in google.authorize(login_hint=sub).text
    assert 'name="password"' not in google.authorize(login_hint=AMY).text
    assert 'name="password"' in google.authorize(login_hint=AMY, prompt="consent select_account").text
    assert google.connect(PAT, login_hint=AMY)["scope"]


@pytest.mark.parametrize(
    "quirk, claim",
    [("id_token_wrong_issuer", "iss"), ("id_token_wrong_audience", "aud"), ("id_token_wrong_nonce", "nonce")],
)
def test_an_id_token_can_be_wrong_in_one_claim(google: GoogleApp, sandbox: Sandbox, quirk: str, claim: str) -> None:
    good = claims_of(google, google.connect(AMY)["id_token"])
    sandbox.quirk(quirk, times=1)
    bad = claims_of(google, google.connect(AMY)["id_token"])

    assert bad[claim] != good[claim]
    assert claims_of(google, google.connect(AMY)["id_token"])[claim] == good[claim]


def test_an_id_token_can_be_forged(google: GoogleApp, sandbox: Sandbox) -> None:
    sandbox.quirk("id_token_bad_signature", times=1)
    with pytest.raises(BadSignatureError):
        claims_of(google, google.connect(AMY)["id_token"])
    sandbox.quirk("id_token_alg_none", times=1)
    assert google.connect(AMY)["id_token"].endswith(".")


@pytest.mark.bad_input(51)
def test_token_answers_can_be_limited(google: GoogleApp, sandbox: Sandbox) -> None:
    sandbox.quirk("token_without_refresh", times=1)
    assert "refresh_token" not in google.connect(AMY)
    sandbox.quirk("token_lifetime", times=1, value=60)
    tokens = google.connect(AMY)
    assert tokens["refresh_token_expires_in"] == 60
    sandbox.call("POST", "/clock", json={"offset_seconds": 61})
    assert google.refresh(tokens["refresh_token"]).status_code == 400


def test_userinfo_and_discovery_agree_with_the_id_token(google: GoogleApp) -> None:
    tokens = google.connect(AMY)
    answer = google.http.get("/google/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})

    assert answer.json()["sub"] == claims_of(google, tokens["id_token"])["sub"]
    assert google.http.get("/google/.well-known/openid-configuration").json()["issuer"] == "https://accounts.google.com"
