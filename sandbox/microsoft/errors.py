"""Microsoft's error bodies: AADSTS errors of the token endpoint. Those of Graph: `graph_errors`.

https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sandbox.http import Response, json_response
from sandbox.microsoft import graph_errors

_INTERACTION = "interaction_required"
AADSTS: dict[int, tuple[str, str]] = {
    50011: ("invalid_client", "The redirect URI specified in the request does not match the redirect URIs configured."),
    50020: ("invalid_grant", "The user account does not exist in this tenant."),
    50034: ("invalid_grant", "The user account does not exist in the directory."),
    50057: ("invalid_grant", "The user account is disabled."),
    50074: (_INTERACTION, "Strong Authentication is required."),
    50076: (_INTERACTION, "Due to a configuration change made by your administrator, you must use multi-factor "
                          "authentication to access the resource."),
    50079: (_INTERACTION, "The user must enroll in multi-factor authentication."),
    50132: ("invalid_grant", "The session is not valid: password expiration or recent password change."),
    50133: ("invalid_grant", "Session is invalid due to expiration or recent password change."),
    50158: (_INTERACTION, "External security challenge was not satisfied."),
    50173: ("invalid_grant", "The provided grant has expired due to it being revoked, a fresh auth token is needed."),
    50196: ("invalid_request", "The server terminated an operation because it encountered a client request loop."),
    53000: (_INTERACTION, "Device is not in required device state."),
    53003: (_INTERACTION, "Access has been blocked by Conditional Access policies."),
    54005: ("invalid_grant", "OAuth2 Authorization code was already redeemed, please retry with a new valid code."),
    65001: ("invalid_grant", "The user or administrator has not consented to use the application."),
    65004: ("access_denied", "User declined to consent to access the app."),
    70000: ("invalid_grant", "The provided value for the input parameter is not valid."),
    70003: ("unsupported_grant_type", "The app requested an unsupported grant type."),
    70008: ("invalid_grant", "The provided authorization code or refresh token has expired due to inactivity."),
    70011: ("invalid_scope", "The provided value for the input parameter 'scope' is not valid."),
    90014: ("invalid_request", "The required field is missing from the credential."),
    90033: ("temporarily_unavailable", "A transient error has occurred. Please try again."),
    90094: ("consent_required", "The app needs permission to access resources in your organization that only an admin can "
                               "grant."),
    501481: ("invalid_grant", "The Code_Verifier does not match the code_challenge supplied in the authorization request."),
    700016: ("unauthorized_client", "Application was not found in the directory."),
    700082: ("invalid_grant", "The refresh token has expired due to inactivity."),
    900144: ("invalid_request", "The request body must contain the following parameter: 'grant_type'."),
    900971: ("invalid_request", "No reply address provided."),
    7000215: ("invalid_client", "Invalid client secret provided."),
    7000218: ("invalid_client", "The request body must contain 'client_assertion' or 'client_secret'."),
    7000222: ("invalid_client", "The provided client secret keys are expired."),
    9002313: ("invalid_request", "Invalid request. Request is malformed or invalid."),
}  # fmt: skip
_SUBERROR = {65001: "consent_required", 50076: "basic_action", 50132: "bad_token", 50173: "bad_token", 700082: "bad_token"}


def description(code: int) -> str:
    """`AADSTS…: text`, as Microsoft begins each description."""
    return f"AADSTS{code}: {AADSTS[code][1]}"


def token_body(code: int) -> dict[str, Any]:
    """The JSON of an AADSTS error."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    value: dict[str, Any] = {
        "error": AADSTS[code][0],
        "error_description": f"{description(code)} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
        "error_codes": [code], "timestamp": now, "trace_id": trace, "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }  # fmt: skip
    return value | ({"suberror": _SUBERROR[code]} if code in _SUBERROR else {})


def token_error(code: int) -> Response:
    """An error answer of the token endpoint."""
    return json_response(token_body(code), token_status(code))


def token_status(code: int) -> int:
    """The HTTP status that goes with a code."""
    return 503 if code == 90033 else 401 if 7000000 < code < 8000000 else 400


def standard_body(status: int, path: str) -> Any:
    """What Microsoft says beside a status when a fault rule names no body; None where it says nothing."""
    if status < 400:
        return None
    if path.startswith("/microsoft/"):
        return token_body(90033 if status >= 500 or status == 429 else 7000215 if status == 401 else 50173)
    return graph_errors.standard_body(status)
