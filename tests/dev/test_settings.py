"""Production refuses to start on weak settings: it names the setting, never its value."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest

from config import Settings
from devtools.places import ROOT
from devtools.settings import Addresses, portal_environment, with_own_google

KEY = base64.b64encode(bytes(range(32))).decode()
GOOD = {
    "APP_ENV": "production",
    "SECRET_KEY": "9f3kQ-27vbRmZx_81LpdWcYtHsEaGuJo45iN",
    "SEALING_KEYS": f"k1:{KEY}",
    "AUDIT_KEY": "Qm7-xT4vLzR9bKw2yH",
    "DATABASE_URL": "postgresql://portal:h7Gd-29skQ@db.internal/portal",
    "REDIS_URL": "redis://:k3jd8s@redis.internal/0",
    "BASE_URL": "https://portal.lumen.example",
    "GOOGLE_CLIENT_ID": "1234.apps.googleusercontent.com",
    "GOOGLE_CLIENT_SECRET": "GOCSPX-k2j3h4",
    "MS_CLIENT_ID": "0b7c9e52-5f1e-4a35-9d0f-3c8f1f0c2a11",
    "MS_CLIENT_SECRET": "q8Q~k2j3h4",
    "REPLY_DOMAIN": "replies.lumen.health",
}
FAULTS = [
    ("APP_ENV", "staging"),
    ("SECRET_KEY", ""),
    ("SECRET_KEY", "short-but-secret"),
    ("SECRET_KEY", "change-me" * 5),
    ("SEALING_KEYS", ""),
    ("SEALING_KEYS", "k1:" + base64.b64encode(b"sixteen bytes...").decode()),
    ("SEALING_KEYS", "k1:" + base64.b64encode(b"x" * 32).decode()),
    ("AUDIT_KEY", ""),
    ("DATABASE_URL", ""),
    ("DATABASE_URL", "sqlite:////tmp/portal.sqlite3"),
    ("DATABASE_URL", "postgresql://portal@db.internal/portal"),
    ("DATABASE_URL", "postgresql://portal:postgres@db.internal/portal"),
    ("BASE_URL", "http://portal.lumen.example"),
    ("FLASK_DEBUG", "1"),
    ("CLOCK_OFFSET_SECONDS", "3600"),
    ("CRASH_AT", "before_commit"),
    ("RELAY_PRIVATE_HOSTS", "yes"),
    ("REPLY_DOMAIN", "replies.demo.example"),
    ("DNS_BASE", "http://127.0.0.1:8001/__ctl/dns"),
    ("INTAKE_TLS_CERT", "/etc/intake.crt"),
    ("GOOGLE_CLIENT_SECRET", "demo-secret"),
    ("GOOGLE_CLIENT_SECRET", ""),
    ("GOOGLE_AUTH_URL", "http://127.0.0.1:8001/google/o/oauth2/v2/auth"),
    ("GOOGLE_TOKEN_URL", "https://google.com.evil.example/token"),
    ("GOOGLE_REVOKE_URL", "https://evil.example/revoke"),
    ("GOOGLE_JWKS_URL", "http://www.googleapis.com/oauth2/v3/certs"),
    ("GMAIL_API_BASE", "http://127.0.0.1:8001"),
    ("PUBSUB_JWKS_URL", "http://127.0.0.1:8001/google/certs"),
    ("MS_CLIENT_SECRET", "demo-secret"),
    ("MS_LOGIN_BASE", "https://login.microsoftonline.com.evil.example"),
    ("GRAPH_BASE", "http://127.0.0.1:8001/graph"),
    ("GOOGLE_PUBSUB_TOPIC", "projects/lumen/topics/gmail"),
]


def test_a_complete_production_starts() -> None:
    assert Settings.from_environment(GOOD).problems() == []


@pytest.mark.requirement("CFG-1")
@pytest.mark.parametrize(("name", "value"), FAULTS)
def test_each_fault_is_named_without_its_value(name: str, value: str) -> None:
    problems = Settings.from_environment(GOOD | {name: value}).problems()
    named = {"PUBSUB_AUDIENCE"} if name == "GOOGLE_PUBSUB_TOPIC" else {name}
    assert {problem.split()[0] for problem in problems} == named
    assert not any(value and value in problem for problem in problems)


@pytest.mark.requirement("CFG-1")
@pytest.mark.parametrize(
    ("name", "value"), [("SEALING_KEYS", "k1:not base64 at all"), ("SEALING_KEYS", "canary"), ("PROXY_HOPS", "canary")]
)
def test_what_cannot_be_read_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} cannot be read$"):
        Settings.from_environment(GOOD | {name: value})


@pytest.mark.requirement("CFG-1")
def test_the_program_itself_does_not_start() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | GOOD | {"SECRET_KEY": "canary"}
    done = subprocess.run([sys.executable, "-c", "import wsgi"], env=environ, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr
    assert "canary" not in done.stderr + done.stdout


def test_the_demo_does_not_need_what_production_needs() -> None:
    addresses = Addresses(1, 2, 3, 4, redis_url="redis://127.0.0.1:1/0", database_url="sqlite://")
    secrets = {name: GOOD[name] for name in ("SECRET_KEY", "SEALING_KEYS", "AUDIT_KEY")}
    environ = portal_environment(addresses, var_dir=ROOT, secrets=secrets)
    assert Settings.from_environment(environ).problems() == []
    assert Settings.from_environment(environ | {"APP_ENV": "production"}).problems() != []


def test_a_google_project_of_ones_own_takes_the_place_of_the_stand_in() -> None:
    addresses = Addresses(1, 2, 3, 4, redis_url="redis://127.0.0.1:1/0", database_url="sqlite://")
    built = portal_environment(addresses, var_dir=ROOT, secrets={})
    assert with_own_google(built, {}) == built
    own = with_own_google(built, {"GOOGLE_CLIENT_ID": "mine"})
    assert Settings.from_environment(own).gmail_api_base == "https://gmail.googleapis.com"
    assert own["DATABASE_URL"] == built["DATABASE_URL"]
