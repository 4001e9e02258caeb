"""The environment that every process of a portal on this machine gets: built here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools.places import ROOT

CALLBACK = "/connections/google/callback"
MS_CALLBACK = "/connections/microsoft/callback"
PUSH = "/webhooks/google/gmail"
PUSH_SENDER = "gmail-push@demo.example"
REPLY_DOMAIN = "replies.demo.example"


@dataclass(frozen=True)
class Addresses:
    """Where the parts of one running portal are reached."""

    port: int
    sandbox_port: int
    smtp_port: int
    intake_port: int
    redis_url: str
    database_url: str

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"


def portal_environment(
    addresses: Addresses, *, var_dir: Path, secrets: Mapping[str, str], app_env: str = "demo"
) -> dict[str, str]:
    """Settings of the portal and of the stand-in as environment variables, with every provider on the stand-in."""
    sandbox = addresses.sandbox_url
    return {
        **secrets,
        "APP_ENV": app_env,
        "FLASK_APP": "wsgi",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "VAR_DIR": str(var_dir),
        "ATTACHMENT_DIR": str(var_dir / "attachments"),
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "BASE_URL": addresses.base_url,
        "PORT": str(addresses.port),
        "GOOGLE_CLIENT_ID": "aesthetix-demo.apps.example",
        "GOOGLE_CLIENT_SECRET": "demo-secret",
        "GOOGLE_AUTH_URL": f"{sandbox}/google/o/oauth2/v2/auth",
        "GOOGLE_TOKEN_URL": f"{sandbox}/google/token",
        "GOOGLE_REVOKE_URL": f"{sandbox}/google/revoke",
        "GOOGLE_JWKS_URL": f"{sandbox}/google/certs",
        "GOOGLE_ISSUER": "https://accounts.google.com",
        "GMAIL_API_BASE": sandbox,
        "GOOGLE_PUBSUB_TOPIC": "projects/demo/topics/gmail",
        "PUBSUB_AUDIENCE": addresses.base_url + PUSH,
        "PUBSUB_SA_EMAIL": PUSH_SENDER,
        "PUBSUB_JWKS_URL": f"{sandbox}/google/certs",
        "MS_CLIENT_ID": "aesthetix-demo-ms",
        "MS_CLIENT_SECRET": "demo-secret",
        "MS_LOGIN_BASE": f"{sandbox}/microsoft",
        "MS_TENANT": "common",
        "GRAPH_BASE": f"{sandbox}/graph",
        "REPLY_DOMAIN": REPLY_DOMAIN,
        "DNS_BASE": f"{sandbox}/__ctl/dns",
        "INTAKE_PORT": str(addresses.intake_port),
        "RELAY_PRIVATE_HOSTS": "true",
        "DEMO_RELAY": f"127.0.0.1:{addresses.smtp_port}",
        "SANDBOX_ROUTES": f"{REPLY_DOMAIN}=127.0.0.1:{addresses.intake_port}",
        "SANDBOX_PORT": str(addresses.sandbox_port),
        "SANDBOX_SMTP_PORT": str(addresses.smtp_port),
        "SANDBOX_PUSH_URL": addresses.base_url + PUSH,
        "SANDBOX_PUSH_EMAIL": PUSH_SENDER,
        "SANDBOX_REDIRECT_URIS": ",".join(
            f"{base}{path}"
            for base in (addresses.base_url, f"http://localhost:{addresses.port}")
            for path in (CALLBACK, MS_CALLBACK)
        ),
    }


def with_own_google(built: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """`built` without the stand-in's Google, where the caller's environment names a Google project of its own.

    GOOGLE_CLIENT_ID says so; then Google's real addresses are used, and GOOGLE_CLIENT_SECRET and, for push,
    GOOGLE_PUBSUB_TOPIC, PUBSUB_AUDIENCE and PUBSUB_SA_EMAIL come from the caller too.
    """
    if not given.get("GOOGLE_CLIENT_ID"):
        return dict(built)
    return {key: value for key, value in built.items() if not key.startswith(("GOOGLE_", "GMAIL_", "PUBSUB_", "DNS_"))}
