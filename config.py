"""Settings of the portal, read once from the environment.

`Settings.from_environment` is the only place that reads environment variables. Production refuses to start on
weak or missing settings (`problems()`); demo and test run against the stand-in on loopback.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK_PREFIXES = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def _keys(text: str) -> tuple[tuple[str, bytes], ...]:
    """`id:base64,id:base64` to pairs; the first is the key that new values are sealed with."""
    pairs = [item.split(":", 1) for item in text.split(",") if item.strip()]
    return tuple((name.strip(), base64.b64decode(value, validate=True)) for name, value in pairs)


READERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "bool": lambda text: text.lower() in ("1", "true", "yes", "on"),
    "tuple[tuple[str, bytes], ...]": _keys,
}
WEAK_PASSWORDS = {None, "", "postgres", "password", "portal", "admin", "secret", "changeme", "change-me"}
GOOGLE_DOMAINS = (".google.com", ".googleapis.com")
MICROSOFT_PLACES = {
    "ms_login_base": "https://login.microsoftonline.com", "graph_base": "https://graph.microsoft.com",
}  # fmt: skip


def _is_google(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and f".{parts.hostname or ''}".endswith(GOOGLE_DOMAINS)


@dataclass(frozen=True)
class Settings:
    """Every setting with its default for a demo on this machine. Names in the environment are upper case."""

    app_env: str = "demo"  # demo, test or production
    secret_key: str = field(default="", repr=False)  # signs the session cookie and form tokens
    sealing_keys: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)  # (id, 32 bytes); the first seals
    audit_key: str = field(default="", repr=False)  # keys the hash of audit details that must not be readable
    database_url: str = field(default="", repr=False)  # holds a password, as the next may
    redis_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    base_url: str = "http://127.0.0.1:8000"  # the portal's own public address, never taken from the Host header
    var_dir: str = "var"
    attachment_dir: str = ""  # folder of the local attachment store; empty means var_dir/attachments
    flask_debug: bool = False  # Flask's own switch, read here to be refused in production
    clock_offset_seconds: int = 0  # moves the portal's clock; refused in production
    proxy_hops: int = 0  # trusted reverse proxies in front (X-Forwarded-For is read that many hops deep)

    google_client_id: str = "aesthetix-demo.apps.example"
    google_client_secret: str = field(default="demo-secret", repr=False)  # the stand-in's, refused in production
    google_auth_url: str = "https://accounts.google.com/o/oauth2/v2/auth"
    google_token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105
    google_revoke_url: str = "https://oauth2.googleapis.com/revoke"
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    google_issuer: str = "https://accounts.google.com"
    gmail_api_base: str = "https://gmail.googleapis.com"
    google_pubsub_topic: str = ""  # empty: no push, polling only
    google_app_name: str = "Aesthetix Mail Sync"  # the name that Google's consent page shows (G-02)
    pubsub_audience: str = ""
    pubsub_sa_email: str = ""
    pubsub_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"

    ms_client_id: str = "aesthetix-demo-ms"
    ms_client_secret: str = field(default="demo-secret", repr=False)
    ms_login_base: str = "https://login.microsoftonline.com"
    ms_tenant: str = "common"  # work and personal accounts
    graph_base: str = "https://graph.microsoft.com"
    ms_app_name: str = "Aesthetix Mail Sync"  # the name that Microsoft's consent page shows
    ms_push: bool = True  # ask Graph for notices; without, polling only

    gmail_units_per_minute: int = 6000  # per mailbox; Google's quota of projects made since 2026-05-01
    gmail_project_units_per_minute: int = 1_200_000
    poll_seconds: int = 60  # between two polls of a mailbox
    poll_seconds_with_push: int = 600  # while a watch is alive, polling is only the net below
    push_enabled: bool = True
    reply_domain: str = "replies.demo.example"  # of routed addresses; its MX leads to the intake
    intake_host: str = "127.0.0.1"
    intake_port: int = 8003  # 25 in production, or wherever the MX is led to
    intake_name: str = "intake.demo.example"  # what the intake calls itself
    intake_tls_cert: str = ""  # files of a certificate and its key: with them the intake offers STARTTLS
    intake_tls_key: str = ""
    dns_base: str = ""  # DNS over HTTPS in place of the name servers, for demo and test; refused in production
    relay_private_hosts: bool = False  # may an account's mail server stand in a private network? Demo and test only
    demo_relay: str = ""  # "host:port" of the mail server that the demo practice uses

    crash_at: str = ""  # a point of portal/faultpoint.py at which the process dies; for tests, refused in production

    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `environ` (default: the process environment).

        Raises ValueError naming the setting that cannot be read, without its value.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for item in fields(cls):
            text = environ.get(item.name.upper())
            if item.name == "extra" or text is None:
                continue
            try:
                values[item.name] = READERS[str(item.type)](text)
            except ValueError:
                raise ValueError(f"{item.name.upper()} cannot be read") from None
        return cls(**values)

    @property
    def is_production(self) -> bool:
        return self.app_env == "production"

    @property
    def attachment_path(self) -> Path:
        return Path(self.attachment_dir) if self.attachment_dir else Path(self.var_dir) / "attachments"

    def problems(self) -> list[str]:
        """Names of the settings that forbid a start, each with its reason; never their values."""
        found: list[str] = []
        if self.app_env not in ("demo", "test", "production"):
            found.append("APP_ENV must be demo, test or production")
        if len(self.secret_key) < 32:
            found.append("SECRET_KEY is missing or shorter than 32 characters")
        if not self.sealing_keys or any(len(key) != 32 for _, key in self.sealing_keys):
            found.append("SEALING_KEYS is missing or holds a key that is not 32 bytes")
        if not self.database_url:
            found.append("DATABASE_URL is missing")
        return found + (self._production_problems() if self.is_production else [])

    def _production_problems(self) -> list[str]:
        own = {"base_url", "database_url", "redis_url"}
        providers = {item.name for item in fields(self) if item.name.endswith("_url")} - own | {"gmail_api_base"}
        found = [
            f"{name.upper()} must be Google's own address, over https, in production"
            for name in sorted(providers)
            if not _is_google(getattr(self, name))
        ]
        found += [
            f"{name.upper()} must be {place} in production"
            for name, place in MICROSOFT_PLACES.items()
            if getattr(self, name) != place
        ]
        if self.ms_client_secret in ("", "demo-secret"):
            found.append("MS_CLIENT_SECRET is missing or the demo's")
        if not self.base_url.startswith("https://"):
            found.append("BASE_URL must be https in production")
        if self.flask_debug:
            found.append("FLASK_DEBUG shows the inside of the portal; it is refused in production")
        if len(set(self.secret_key)) < 10:
            found.append("SECRET_KEY is not random")
        if any(len(set(key)) < 10 for _, key in self.sealing_keys):
            found.append("SEALING_KEYS holds a key that is not random")
        if len(self.audit_key) < 16:
            found.append("AUDIT_KEY is missing or shorter than 16 characters")
        if self.clock_offset_seconds:
            found.append("CLOCK_OFFSET_SECONDS moves the clock; it is for demo and test only")
        if self.crash_at:
            found.append("CRASH_AT kills the process; it is for tests only")
        if self.relay_private_hosts:
            found.append("RELAY_PRIVATE_HOSTS lets accounts reach into the private network; it is refused in production")
        if self.dns_base:
            found.append("DNS_BASE stands in for the name servers; it is refused in production")
        if self.reply_domain.endswith(".example"):
            found.append("REPLY_DOMAIN must be a domain of your own in production")
        if bool(self.intake_tls_cert) != bool(self.intake_tls_key):
            found.append("INTAKE_TLS_CERT and INTAKE_TLS_KEY belong together")
        if self.google_client_secret in ("", "demo-secret"):
            found.append("GOOGLE_CLIENT_SECRET is missing or the demo's")
        if self.database_url.startswith("sqlite"):
            found.append("DATABASE_URL must be PostgreSQL in production")
        elif urlsplit(self.database_url).password in WEAK_PASSWORDS:
            found.append("DATABASE_URL has no password or a default one")
        if self.google_pubsub_topic and not (self.pubsub_audience and self.pubsub_sa_email):
            found.append("PUBSUB_AUDIENCE and PUBSUB_SA_EMAIL belong to GOOGLE_PUBSUB_TOPIC")
        return found
