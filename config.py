"""Settings of the portal, read once from the environment.

`Settings.from_environment` is the only place that reads environment variables. Production refuses to start on
weak or missing settings (`problems()`); demo and test run against the stand-in on loopback.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

LOOPBACK_PREFIXES = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def _keys(text: str) -> tuple[tuple[str, bytes], ...]:
    """`id:base64,id:base64` to pairs; the first is the key that new values are sealed with."""
    pairs = [item.split(":", 1) for item in text.split(",") if item.strip()]
    return tuple((name.strip(), base64.b64decode(value)) for name, value in pairs)


@dataclass(frozen=True)
class Settings:
    """Every setting with its default for a demo on this machine. Names in the environment are upper case."""

    app_env: str = "demo"  # demo, test or production
    secret_key: str = ""  # signs the session cookie and form tokens
    sealing_keys: tuple[tuple[str, bytes], ...] = ()  # (id, 32 bytes); the first seals, the others only open
    audit_key: str = ""  # keys the hash of audit details that must not be readable
    database_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    base_url: str = "http://127.0.0.1:8000"  # the portal's own public address, never taken from the Host header
    var_dir: str = "var"
    attachment_dir: str = ""  # folder of the local attachment store; empty means var_dir/attachments
    clock_offset_seconds: int = 0  # moves the portal's clock; refused in production
    proxy_hops: int = 0  # trusted reverse proxies in front (X-Forwarded-For is read that many hops deep)

    google_client_id: str = "aesthetix-demo.apps.example"
    google_client_secret: str = "demo-secret"  # noqa: S105  the stand-in's, refused in production
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

    gmail_units_per_minute: int = 6000  # per mailbox; Google's quota of projects made since 2026-05-01
    gmail_project_units_per_minute: int = 1_200_000
    poll_seconds: int = 60  # between two polls of a mailbox
    poll_seconds_with_push: int = 600  # while a watch is alive, polling is only the net below
    push_enabled: bool = True

    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from `environ` (default: the process environment). Raises ValueError on a bad value."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for item in fields(cls):
            text = environ.get(item.name.upper())
            if item.name == "extra" or text is None:
                continue
            if item.name == "sealing_keys":
                values[item.name] = _keys(text)
            elif item.type == "int":
                values[item.name] = int(text)
            elif item.type == "bool":
                values[item.name] = text.lower() in ("1", "true", "yes", "on")
            else:
                values[item.name] = text
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
        found = [
            f"{name.upper()} must be https in production"
            for name in ("base_url", *(f.name for f in fields(self) if f.name.startswith("google_") and "_url" in f.name))
            if not str(getattr(self, name)).startswith("https://")
        ]
        if not self.gmail_api_base.startswith("https://"):
            found.append("GMAIL_API_BASE must be https in production")
        if self.clock_offset_seconds:
            found.append("CLOCK_OFFSET_SECONDS moves the clock; it is for demo and test only")
        if self.google_client_secret in ("", "demo-secret"):
            found.append("GOOGLE_CLIENT_SECRET is missing or the demo's")
        if self.database_url.startswith("sqlite"):
            found.append("DATABASE_URL must be PostgreSQL in production")
        if self.google_pubsub_topic and not (self.pubsub_audience and self.pubsub_sa_email):
            found.append("PUBSUB_AUDIENCE and PUBSUB_SA_EMAIL belong to GOOGLE_PUBSUB_TOPIC")
        return found
