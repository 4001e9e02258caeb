"""What Microsoft's token endpoint and consent page say, by number, as the portal's own kinds of trouble."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config import Settings
from portal.lib.http import Http
from portal.providers.errors import AuthorizationLost, MissingPermission, OperatorFault, ProviderError, Temporary
from portal.providers.microsoft import oauth
from portal.providers.types import Tokens
from tests.services.programs import Sandbox

REVOKED, LOGIN, GONE, ADMIN = "revoked", "login_required", "mailbox_gone", "refused_by_provider_admin"
GRANTED = "https://graph.microsoft.com/User.Read Mail.ReadWrite mail.send"


def refresh(sandbox: Sandbox) -> Tokens:
    async def go() -> Tokens:
        async with Http(max_connections=1) as http:
            return await oauth.refresh(http, Settings(ms_login_base=f"{sandbox.url}/microsoft"), "r")

    return asyncio.run(go())


@pytest.mark.rule("G-18")
@pytest.mark.provider_fault(7)
@pytest.mark.provider_fault(8)
@pytest.mark.provider_fault(11)
@pytest.mark.provider_fault(13)
@pytest.mark.parametrize(
    ("error", "numbers", "kind", "cause"),
    [
        *(("invalid_grant", number, AuthorizationLost, REVOKED) for number in (50173, 70008, 700082, 50132, 50133, 70000)),
        *(("interaction_required", number, AuthorizationLost, LOGIN)
          for number in (50076, 50079, 50074, 50078, 53000, 53001, 53003, 50158)),
        *(("invalid_grant", number, AuthorizationLost, GONE) for number in (50057, 50034, 50020)),
        *(("invalid_grant", number, MissingPermission, "permission_missing") for number in (65001, 65004)),
        ("consent_required", 90094, AuthorizationLost, ADMIN),
        ("invalid_grant", 0, AuthorizationLost, REVOKED),  # a number that nobody has heard of
        *(("invalid_client", number, OperatorFault, "") for number in (7000215, 7000222)),
        ("unauthorized_client", 700016, OperatorFault, ""),
        ("invalid_request", 9002313, OperatorFault, ""),  # what we sent is not whole: no user's matter
        ("invalid_client", 50011, OperatorFault, ""),
        ("invalid_request", 50196, Temporary, ""),
        ("temporarily_unavailable", 90033, Temporary, ""),
    ],
)  # fmt: skip
def test_errors_of_the_token_endpoint_are_told_apart_by_number(
    sandbox: Sandbox, error: str, numbers: int, kind: type[ProviderError], cause: str
) -> None:
    body = {"error": error, "error_codes": [numbers], "error_description": "AADSTS50173: misleading text"}
    sandbox.fault(method="POST", path="/microsoft/*/token", status=400, body=body)
    with pytest.raises(ProviderError) as trouble:
        refresh(sandbox)
    assert (type(trouble.value), getattr(trouble.value, "cause", "")) == (kind, cause)
    assert "misleading" not in str(trouble.value)


@pytest.mark.provider_fault(7)
@pytest.mark.provider_fault(39)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "body": {"error": "invalid_grant", "error_codes": [50173]}},
        {"status": 429, "body": {"error": "invalid_grant", "error_codes": [50173]}},
        {"status": 400, "body": "<html>busy</html>"},
        {"status": 400, "body": {"error": ["invalid_grant"], "error_codes": "50173"}},
        {"status": 200, "body": "<html>login</html>"},
        {"status": 200, "body": {"access_token": "a", "token_type": "Bearer"}},
        {"drop": True},
    ],
    ids=str,
)
def test_trouble_that_passes_is_nothing_else(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    sandbox.fault(method="POST", path="/microsoft/*/token", **fault)
    with pytest.raises(Temporary):
        refresh(sandbox)


@pytest.mark.provider_fault(9)
@pytest.mark.provider_fault(13)
@pytest.mark.parametrize(("scope", "is_whole"), [(GRANTED, True), ("", True), ("User.Read Mail.ReadWrite", False)])
def test_a_refresh_looks_at_what_is_still_granted(sandbox: Sandbox, scope: str, is_whole: bool) -> None:
    answer = {"access_token": "a", "token_type": "Bearer", "expires_in": 3599, "refresh_token": "new", "scope": scope}
    sandbox.fault(method="POST", path="/microsoft/*/token", status=200, body=answer)
    if is_whole:
        assert refresh(sandbox).refresh_token == "new"
    else:
        with pytest.raises(MissingPermission):
            refresh(sandbox)


@pytest.mark.provider_fault(11)
@pytest.mark.parametrize(
    ("error", "description", "word"),
    [
        ("access_denied", "AADSTS65004: User declined to consent to access the app.", "cancelled"),
        ("access_denied", "", "cancelled"),
        ("access_denied", "AADSTS90094: only an admin can grant", "by_admin"),
        ("consent_required", "AADSTS90094: only an admin can grant", "by_admin"),
        ("interaction_required", "AADSTS50076: multi-factor", "login_required"),
        ("login_required", "", "login_required"),
        ("unauthorized_client", "AADSTS700016: not found", "operator"),
        ("temporarily_unavailable", "", "unavailable"),
        ("server_error", "", "unavailable"),
        ("whatever", "AADSTS" + "9" * 5000, "provider_error"),
    ],
)
def test_why_somebody_came_back_without_a_code(error: str, description: str, word: str) -> None:
    assert oauth.refusal(error, description) == word


@pytest.mark.requirement("OAU-3")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", True),
        ("https://login.microsoftonline.com/common/../evil/v2.0", False),
        ("https://login.microsoftonline.com//v2.0", False),
        ("https://login.microsoftonline.com.evil.example/1/v2.0", False),
        ("https://accounts.google.com", False),
        ("", False),
    ],
)
def test_the_issuer_of_an_answer_is_a_tenant_of_microsofts(said: str, expected: bool) -> None:
    assert oauth.is_issuer(Settings(), said) is expected
