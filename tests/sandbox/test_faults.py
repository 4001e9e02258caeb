"""Faults: rules over calls, presets, quota, and that nothing else is touched by them."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest

from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.google_app import Gmail, GoogleApp, base64url, mail
from tests.services.programs import Sandbox

PROFILE = "/gmail/v1/users/*/profile"
SEND = "/gmail/v1/users/*/messages/send"


def post_mail(gmail: Gmail, **kwargs: Any) -> httpx2.Response:
    return gmail.call("POST", "messages/send", json={"raw": base64url(mail(AMY, PAT))}, **kwargs)


def batch(gmail: Gmail, paths: list[str]) -> httpx2.Response:
    parts = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <item-{n}>\r\n\r\nGET /gmail/v1/users/me/{path}\r\n\r\n"
        for n, path in enumerate(paths)
    )
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    return gmail.call("POST", "/batch/gmail/v1", content=(parts + "--b--\r\n").encode(), headers=kind)


# rules -------------------------------------------------------------------------------------------------------------


def test_a_rule_bites_as_often_as_told_and_only_its_mailbox(sandbox: Sandbox, google: GoogleApp, gmail: Gmail) -> None:
    other = Gmail(google, sandbox.grant(PAT)["access_token"])
    sandbox.fault(path=PROFILE, mailbox=AMY, status=503, times=2, skip=1)

    assert other.call("GET", "profile").status_code == 200
    assert [gmail.call("GET", "profile").status_code for _ in range(4)] == [200, 503, 503, 200]


@pytest.mark.parametrize(
    "status, reason",
    [(401, "authError"), (404, "notFound"), (429, "rateLimitExceeded"), (500, "backendError"), (503, "backendError")],
)
def test_a_bare_status_is_worded_as_google_does(sandbox: Sandbox, gmail: Gmail, status: int, reason: str) -> None:
    sandbox.fault(path=PROFILE, status=status, times=1)
    answer = gmail.call("GET", "profile")

    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status
    assert answer.json()["error"]["errors"][0]["reason"] == reason


@pytest.mark.provider_fault(7)
@pytest.mark.provider_fault(8)
def test_refreshes_can_fail(sandbox: Sandbox, google: GoogleApp) -> None:
    token = sandbox.grant(AMY)["refresh_token"]
    sandbox.fault(method="POST", path="/google/token", mailbox=AMY, status=500, body="<html>Oops</html>", times=1)
    page = google.refresh(token)
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=UTF-8")

    for preset, error in (("reauth", "invalid_grant"), ("client_secret", "invalid_client")):
        sandbox.preset(preset, times=1)
        assert google.refresh(token).json()["error"] == error
    assert google.refresh(token).status_code == 200


def test_headers_and_redirects_are_sent_as_given(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.fault(path=PROFILE, status=302, headers={"Location": "http://169.254.169.254/"}, times=1)
    answer = gmail.call("GET", "profile")

    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.169.254/")


@pytest.mark.provider_fault(18)
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_dropped_connection_with_and_without_effect(sandbox: Sandbox, gmail: Gmail, after_effect: bool) -> None:
    sandbox.fault(path=SEND, drop=True, after_effect=after_effect, times=1)
    with pytest.raises(httpx2.TransportError):
        post_mail(gmail)

    assert len(sandbox.messages(PAT)) == int(after_effect)
    assert post_mail(gmail).status_code == 200


@pytest.mark.provider_fault(18)
def test_an_error_and_a_late_answer_after_the_effect(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.fault(path=SEND, status=500, after_effect=True, times=1)
    assert post_mail(gmail).status_code == 500
    assert len(sandbox.messages(PAT)) == 1

    sandbox.fault(path=SEND, delay_ms=300, after_effect=True, times=1)
    with pytest.raises(httpx2.ReadTimeout):
        post_mail(gmail, timeout=0.15)
    assert len(sandbox.messages(PAT)) == 2


@pytest.mark.provider_fault(39)
def test_answers_can_be_cut_slowed_and_packed(sandbox: Sandbox, gmail: Gmail) -> None:
    whole = gmail.call("GET", "profile").content
    sandbox.fault(path=PROFILE, truncate=10, times=1)
    assert gmail.call("GET", "profile").content == whole[:10]
    sandbox.fault(path=PROFILE, truncate_connection=10, times=1)
    with pytest.raises(httpx2.RemoteProtocolError):
        gmail.call("GET", "profile")
    sandbox.fault(path=PROFILE, gzip=True, times=1)
    packed = gmail.call("GET", "profile")
    assert (packed.content, packed.headers["content-encoding"]) == (whole, "gzip")
    sandbox.fault(path=PROFILE, drip=len(whole) * 4, times=1)
    begun = time.monotonic()
    assert gmail.call("GET", "profile").content == whole
    assert time.monotonic() - begun > 0.15


def test_the_console_and_the_control_plane_are_never_hit(sandbox: Sandbox, google: GoogleApp) -> None:
    sandbox.fault(path="*", status=500)

    assert sandbox.call("GET", "/faults")["faults"][0]["status"] == 500
    assert google.http.get("/").status_code == 200
    sandbox.clear_faults()
    assert google.http.get("/google/certs").status_code == 200


# presets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "preset, status",
    [("revoke", 401), ("change_password", 401), ("expire_access", 401), ("throttle", 429), ("server_errors", 503),
     ("admin_policy", 403), ("html", 200), ("truncated", 200)],
)  # fmt: skip
def test_presets_change_what_gmail_answers(sandbox: Sandbox, gmail: Gmail, preset: str, status: int) -> None:
    sandbox.preset(preset, AMY)
    answer = gmail.call("GET", "profile")

    assert answer.status_code == status
    assert b'"emailAddress":"amy@practice.example"' not in answer.content


def test_presets_about_sending(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.preset("send_cap", AMY)
    assert post_mail(gmail).status_code == 429
    sandbox.preset("send_cap_bounce", AMY)
    assert post_mail(gmail).status_code == 200
    assert sandbox.messages(PAT) == []
    sandbox.preset("send_cap_off", AMY)
    sandbox.preset("drop_after_send", AMY, times=1)
    with pytest.raises(httpx2.TransportError):
        post_mail(gmail)
    assert len(sandbox.messages(PAT)) == 1


@pytest.mark.parametrize(
    "preset", [{"name": "revoke"}, {"name": "nothing"}, {"name": "revoke", "mailbox": "no@one.example"}]
)
def test_a_wrong_preset_is_refused(sandbox: Sandbox, preset: dict[str, str]) -> None:
    with pytest.raises(httpx2.HTTPStatusError):
        sandbox.call("POST", "/presets", json=preset)


# quota -------------------------------------------------------------------------------------------------------------


@pytest.mark.provider_fault(17)
@pytest.mark.parametrize("form, status", [("429", 429), ("429-retry-after", 429), ("403", 403)])
def test_units_are_spent_and_come_back(sandbox: Sandbox, gmail: Gmail, form: str, status: int) -> None:
    sandbox.call("POST", "/quota", json={"per_user_per_minute": 3, "form": form})
    assert [gmail.call("GET", "profile").status_code for _ in range(3)] == [200, 200, 200]
    refused = gmail.call("GET", "profile")

    assert refused.status_code == status
    error = refused.json()["error"]
    assert error["errors"][0]["reason"] == "rateLimitExceeded"
    assert ("Retry after" in error["message"]) is (status == 429)
    assert ("retry-after" in refused.headers) is (form == "429-retry-after")
    sandbox.call("POST", "/clock", json={"offset_seconds": 21})
    assert gmail.call("GET", "profile").status_code == 200


@pytest.mark.provider_fault(17)
def test_parts_of_a_batch_above_the_cap_of_calls_in_flight_are_refused(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.call("POST", "/quota", json={"max_concurrent_per_user": 3})
    answer = batch(gmail, ["profile"] * 5).text

    assert answer.count("HTTP/1.1 200 OK") == 3
    assert answer.count("Too many concurrent requests for user") == 4  # message and entry, twice


def test_a_batch_counts_as_its_parts_and_comes_in_any_order(sandbox: Sandbox, gmail: Gmail) -> None:
    answer = batch(gmail, ["profile", "labels", "messages/zz"])
    assert answer.status_code == 200
    assert [answer.text.find(f"response-item-{n}>") > 0 for n in range(3)] == [True] * 3
    assert answer.text.count("HTTP/1.1 400") == 1
    assert sandbox.call("GET", "/quota")["spent"][AMY] == 22
    sandbox.quirk("batch_reverse", times=1)
    turned = batch(gmail, ["profile", "labels"]).text
    assert turned.index("response-item-1") < turned.index("response-item-0")
    sandbox.quirk("batch_lost_part", times=1)
    assert "response-item-1" not in batch(gmail, ["profile", "labels"]).text
    assert batch(gmail, ["profile"] * 101).status_code == 400
    assert batch(gmail, []).status_code == 400


def test_a_fault_can_hit_one_part_of_a_batch(sandbox: Sandbox, gmail: Gmail) -> None:
    sandbox.fault(path=PROFILE, status=503, times=1)
    answer = batch(gmail, ["profile", "profile"]).text

    assert (answer.count("HTTP/1.1 503"), answer.count("HTTP/1.1 200")) == (1, 1)
