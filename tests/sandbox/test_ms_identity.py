"""Microsoft's sign-in, consent and tokens."""

from __future__ import annotations

import httpx2
import pytest
from joserfc.errors import BadSignatureError

from devtools.settings import MS_CALLBACK
from tests.sandbox.google_app import VERIFIER, field
from tests.sandbox.microsoft_app import CLIENT, MAIL, SCOPE, MicrosoftApp, callback, codes
from tests.services.programs import Sandbox

MIA, OLA = "mia@clinic.example", "ola@outlook.example"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.fixture
def microsoft(sandbox: Sandbox, http: httpx2.Client, ports: tuple[int, int, int, int]) -> MicrosoftApp:
    """The app; Mia (work) and Ola (personal) have Outlook mailboxes in the stand-in."""
    sandbox.add_mailbox(MIA, "Mia Lund", provider="microsoft", kind="workspace")
    sandbox.add_mailbox(OLA, "Ola Berg", provider="microsoft")
    return MicrosoftApp(http, f"http://127.0.0.1:{ports[0]}{MS_CALLBACK}")


@pytest.mark.provider_fault(9)
def test_a_whole_consent_gives_tokens_and_an_identity(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    answer = microsoft.consent(MIA)
    assert answer["state"] == "state-1"
    tokens = microsoft.exchange(answer["code"]).json()

    assert tokens["scope"].split() == ["openid", "email", "profile", "User.Read", "Mail.ReadWrite", "Mail.Send"]
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3599)
    assert tokens["access_token"].count(".") == 0
    claims = microsoft.claims(tokens["id_token"])
    assert claims["iss"] == f"{microsoft.http.base_url}/microsoft/{claims['tid']}/v2.0".replace("//microsoft", "/microsoft")
    assert claims["aud"] == CLIENT["client_id"]
    assert (claims["preferred_username"], claims["email"], claims["nonce"]) == (MIA, MIA, "nonce-1")
    assert f"{claims['tid']}:{claims['oid']}" == sandbox.grant(MIA)["sub"]


def test_a_personal_account_belongs_to_the_consumer_tenant_and_an_organization_to_its_domain(
    microsoft: MicrosoftApp, sandbox: Sandbox
) -> None:
    sandbox.add_mailbox("max@clinic.example", provider="microsoft", kind="workspace")
    mia, max_, ola = (microsoft.claims(microsoft.connect(who)["id_token"]) for who in (MIA, "max@clinic.example", OLA))

    assert ola["tid"] == CONSUMERS
    assert mia["tid"] == max_["tid"] != CONSUMERS
    assert len({mia["oid"], max_["oid"], ola["oid"]}) == 3


@pytest.mark.provider_fault(9)
def test_each_refresh_gives_a_new_token_and_the_old_one_lives_on(microsoft: MicrosoftApp) -> None:
    first = microsoft.connect(OLA)["refresh_token"]
    second = microsoft.refresh(first).json()

    assert second["refresh_token"] != first
    assert microsoft.claims(second["id_token"])["preferred_username"] == OLA
    for token in (first, second["refresh_token"]):
        assert microsoft.refresh(token).status_code == 200


@pytest.mark.provider_fault(9)
@pytest.mark.parametrize(
    "form, shown", [("long", MAIL), ("short", ["User.Read", "Mail.ReadWrite", "Mail.Send"]), ("lower", ["mail.send"])]
)
def test_the_scope_comes_in_short_or_long_form(
    microsoft: MicrosoftApp, sandbox: Sandbox, form: str, shown: list[str]
) -> None:
    sandbox.quirk("ms_scope_form", value=form)
    granted = microsoft.connect(MIA)["scope"].split()

    assert set(shown) <= set(granted)
    assert "offline_access" not in granted


@pytest.mark.provider_fault(1)
def test_cancel_comes_back_with_access_denied(microsoft: MicrosoftApp) -> None:
    answer = microsoft.decide(microsoft.sign_in(microsoft.authorize(), MIA), "cancel")

    assert (answer["error"], answer["state"]) == ("access_denied", "state-1")
    assert "65004" in answer["error_description"]


@pytest.mark.provider_fault(11)
def test_only_an_administrator_may_agree_where_the_organization_says_so(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    sandbox.preset("ms_approval", MIA)
    page = microsoft.sign_in(microsoft.authorize(), MIA)
    assert "Need admin approval" in page.text

    answer = microsoft.decide(page)
    assert answer["error"] == "consent_required"
    assert "90094" in answer["error_description"]


@pytest.mark.parametrize(
    "changes, shown", [({"client_id": "other"}, "AADSTS700016"), ({"redirect_uri": "https://evil.example/"}, "AADSTS50011")]
)
def test_an_unknown_app_or_address_never_gets_an_answer(
    microsoft: MicrosoftApp, changes: dict[str, str | None], shown: str
) -> None:
    page = microsoft.authorize(**changes)

    assert page.status_code == 400
    assert shown in page.text


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "openid Mail.Nothing"}, "invalid_scope"),
        ({"prompt": "none"}, "interaction_required"),
        ({"prompt": "please"}, "invalid_request"),
    ],
)
def test_a_wrong_request_goes_back_with_its_error(
    microsoft: MicrosoftApp, changes: dict[str, str | None], error: str
) -> None:
    answer = callback(microsoft.authorize(**changes))

    assert (answer["error"], answer["state"]) == (error, "state-1")


def test_a_wrong_password_tenant_or_provider_goes_no_further(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    sandbox.add_mailbox("pat@gmail.example")
    for tenant, address, password in (
        ("common", MIA, "guess"), ("common", "pat@gmail.example", "demo-password"), ("consumers", MIA, "demo-password"),
        ("organizations", OLA, "demo-password"), ("common", "nobody@clinic.example", "demo-password"),
    ):  # fmt: skip
        page = microsoft.sign_in(microsoft.authorize(tenant=tenant), address, password)
        assert page.status_code == 400
        assert 'name="decision"' not in page.text


def test_the_chooser_knows_only_the_people_of_its_provider(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    sandbox.add_mailbox("pat@gmail.example")
    page = microsoft.authorize().text

    assert MIA in page
    assert "pat@gmail.example" not in page


def test_a_code_is_asked_for_after_the_password_where_it_is_demanded(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    sandbox.require_code(MIA)
    page = microsoft.sign_in(microsoft.authorize(), MIA)
    flow, code = field(page.text, "flow"), sandbox.code_of(MIA)
    assert 'name="otc"' in page.text

    skipped = microsoft.http.post("/microsoft/consent", data={"flow": flow, "decision": "accept"})
    assert skipped.status_code == 400
    wrong = microsoft.http.post("/microsoft/code", data={"flow": flow, "otc": "x"})
    assert wrong.status_code == 400
    right = microsoft.http.post("/microsoft/code", data={"flow": flow, "otc": code})
    assert "code" in microsoft.decide(right)
    assert sandbox.code_of(MIA) != code

    sandbox.require_code(MIA, on=False)
    assert "code" in microsoft.consent(MIA)


def test_prompts_decide_which_pages_come(microsoft: MicrosoftApp) -> None:
    microsoft.connect(MIA)

    assert 'name="password"' in microsoft.authorize(login_hint=MIA, prompt="login").text
    assert 'name="decision"' in microsoft.authorize(login_hint=MIA, prompt="consent").text
    assert "code" in callback(microsoft.authorize(login_hint=MIA, prompt=None))
    assert "code" in callback(microsoft.authorize(login_hint=MIA, prompt="none"))
    assert "code" in callback(microsoft.sign_in(microsoft.authorize(), MIA))


@pytest.mark.provider_fault(1)
@pytest.mark.parametrize(
    "changes, code, status",
    [
        ({"code_verifier": "w" * 64}, 501481, 400),
        ({"code_verifier": None}, 501481, 400),
        ({"redirect_uri": "http://127.0.0.1:1/"}, 50011, 400),
        ({"code": "M.unknown"}, 70000, 400),
        ({"client_secret": "wrong"}, 7000215, 401),
        ({"client_id": "other"}, 700016, 400),
        ({"grant_type": "password"}, 70003, 400),
    ],
)
def test_a_code_is_bound_to_its_request(
    microsoft: MicrosoftApp, changes: dict[str, str | None], code: int, status: int
) -> None:
    form: dict[str, str | None] = {
        "code": microsoft.consent(MIA)["code"], "redirect_uri": microsoft.redirect_uri, "code_verifier": VERIFIER, **changes,
    }  # fmt: skip
    answer = microsoft.token(form.pop("grant_type", None) or "authorization_code", **form)

    assert (answer.status_code, codes(answer)) == (status, [code])
    body = answer.json()
    assert body["error_description"].startswith(f"AADSTS{code}: ")
    assert {"error", "trace_id", "correlation_id", "timestamp"} <= set(body)


@pytest.mark.provider_fault(1)
def test_a_code_works_once_and_for_ten_minutes(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    code = microsoft.consent(MIA)["code"]
    assert microsoft.exchange(code).status_code == 200
    assert codes(microsoft.exchange(code)) == [54005]

    late = microsoft.consent(MIA)["code"]
    sandbox.call("POST", "/clock", json={"offset_seconds": 601})
    assert codes(microsoft.exchange(late)) == [70008]


@pytest.mark.provider_fault(11)
@pytest.mark.parametrize(
    "preset, code, error",
    [
        ("ms_revoke", 50173, "invalid_grant"),
        ("ms_expired", 700082, "invalid_grant"),
        ("ms_mfa", 50076, "interaction_required"),
        ("ms_conditional_access", 53003, "interaction_required"),
        ("ms_consent_gone", 65001, "invalid_grant"),
    ],
)
def test_a_grant_ends_for_a_reason_until_the_person_signs_in_again(
    microsoft: MicrosoftApp, sandbox: Sandbox, preset: str, code: int, error: str
) -> None:
    tokens, other = microsoft.connect(MIA), microsoft.connect(OLA)
    sandbox.preset(preset, MIA)

    answer = microsoft.refresh(tokens["refresh_token"])
    assert (answer.status_code, codes(answer), answer.json()["error"]) == (400, [code], error)
    assert microsoft.refresh(other["refresh_token"]).status_code == 200
    again = microsoft.connect(MIA, prompt="consent")
    assert microsoft.refresh(again["refresh_token"]).status_code == 200
    assert codes(microsoft.refresh(tokens["refresh_token"])) == [code]


def test_a_disabled_account_can_neither_refresh_nor_sign_in(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    tokens = microsoft.connect(MIA)
    sandbox.preset("ms_disabled", MIA)

    assert codes(microsoft.refresh(tokens["refresh_token"])) == [50057]
    assert "AADSTS50057" in microsoft.sign_in(microsoft.authorize(), MIA).text
    assert 'name="password"' in microsoft.authorize(login_hint=MIA, prompt="consent").text
    sandbox.preset("ms_disabled_off", MIA)
    assert microsoft.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.provider_fault(8)
@pytest.mark.parametrize(
    "preset, code, status",
    [("ms_bad_secret", 7000215, 401), ("ms_secret_expired", 7000222, 401), ("ms_app_unknown", 700016, 400),
     ("ms_unavailable", 90033, 503)],
)  # fmt: skip
def test_what_goes_wrong_for_the_app_goes_wrong_for_everybody(
    microsoft: MicrosoftApp, sandbox: Sandbox, preset: str, code: int, status: int
) -> None:
    held = [sandbox.grant(who)["refresh_token"] for who in (MIA, OLA)]
    sandbox.preset(preset)

    for token in held:
        answer = microsoft.refresh(token)
        assert (answer.status_code, codes(answer)) == (status, [code])
    sandbox.clear_faults()
    assert microsoft.refresh(held[0]).status_code == 200


@pytest.mark.provider_fault(7)
def test_the_token_endpoint_can_be_down_or_answer_a_page(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    held = sandbox.grant(MIA)["refresh_token"]
    for preset, status in (("ms_login_errors", 500), ("ms_login_html", 200)):
        sandbox.preset(preset, times=1)
        answer = microsoft.refresh(held)
        assert (answer.status_code, answer.text[:6]) == (status, "<html>")
    assert microsoft.refresh(held).status_code == 200


@pytest.mark.parametrize(
    "address, by_admin, ends", [(MIA, False, False), (MIA, True, True), (OLA, False, True)]
)  # fmt: skip
def test_a_new_password_ends_tokens_of_personal_accounts_and_by_an_administrator(
    microsoft: MicrosoftApp, sandbox: Sandbox, address: str, by_admin: bool, ends: bool
) -> None:
    held = sandbox.grant(address)["refresh_token"]
    sandbox.call("POST", f"/users/{address}/change-password", json={"password": "better", "by_admin": by_admin})

    answer = microsoft.refresh(held)
    assert codes(answer) == [50173] if ends else answer.status_code == 200


def test_a_refresh_token_dies_after_ninety_days_without_use(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    held = sandbox.grant(MIA)["refresh_token"]
    sandbox.call("POST", "/clock", json={"offset_seconds": 91 * 86_400})

    assert codes(microsoft.refresh(held)) == [700082]


def test_a_consent_without_offline_access_gives_no_refresh_token(microsoft: MicrosoftApp) -> None:
    assert "refresh_token" not in microsoft.connect(MIA, scope=SCOPE.replace("offline_access ", ""))


@pytest.mark.parametrize(
    "quirk, claim",
    [("id_token_wrong_issuer", "iss"), ("id_token_wrong_audience", "aud"), ("id_token_wrong_nonce", "nonce")],
)
def test_an_id_token_can_be_wrong_in_one_claim(
    microsoft: MicrosoftApp, sandbox: Sandbox, quirk: str, claim: str
) -> None:
    good = microsoft.claims(microsoft.connect(MIA)["id_token"])
    sandbox.quirk(quirk, times=1)

    assert microsoft.claims(microsoft.connect(MIA)["id_token"])[claim] != good[claim]


def test_an_id_token_can_be_forged(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    sandbox.quirk("id_token_bad_signature", times=1)
    token = microsoft.connect(MIA)["id_token"]
    with pytest.raises(BadSignatureError):
        microsoft.claims(token)


def test_discovery_names_a_template_of_an_issuer(microsoft: MicrosoftApp) -> None:
    shared = microsoft.http.get("/microsoft/common/v2.0/.well-known/openid-configuration").json()
    personal = microsoft.http.get("/microsoft/consumers/v2.0/.well-known/openid-configuration").json()

    assert shared["issuer"].endswith("/microsoft/{tenantid}/v2.0")
    assert personal["issuer"].endswith(f"/microsoft/{CONSUMERS}/v2.0")
    assert shared["jwks_uri"].endswith("/microsoft/common/discovery/v2.0/keys")


def test_a_preset_of_the_other_provider_is_refused(microsoft: MicrosoftApp, sandbox: Sandbox) -> None:
    with pytest.raises(httpx2.HTTPStatusError):
        sandbox.preset("send_cap", MIA)
