"""Settings of the stand-in: command line first, then environment, then defaults for a demo on this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.routes import parse_routes

DEFAULT_PORTAL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Settings:
    """What the stand-in is started with. Everything else is changed at run time through the control plane."""

    host: str = "127.0.0.1"
    port: int = 8001
    smtp_port: int = 8002  # 0 switches the SMTP sink off
    data_dir: Path | None = None  # None keeps everything in memory only
    push_url: str = f"{DEFAULT_PORTAL}/webhooks/google/gmail"
    push_audience: str = ""  # empty: the push URL, as Pub/Sub does by default
    push_email: str = "gmail-push@demo.example"
    redirect_uris: tuple[str, ...] = (
        f"{DEFAULT_PORTAL}/connections/google/callback",
        "http://localhost:8000/connections/google/callback",
        f"{DEFAULT_PORTAL}/connections/microsoft/callback",
        "http://localhost:8000/connections/microsoft/callback",
    )
    client_id: str = "aesthetix-demo.apps.example"
    client_secret: str = "demo-secret"  # noqa: S105  a stand-in's secret protects nothing
    ms_client_id: str = "aesthetix-demo-ms"
    ms_client_secret: str = "demo-secret"  # noqa: S105
    app_name: str = "Aesthetix Mail Sync"
    threads: int = 256
    routes: dict[str, tuple[str, int]] = field(default_factory=dict)  # domain: where its mail is handed over by SMTP
    smtp_user: str = ""  # with a name the mail server wants a sign-in
    smtp_password: str = ""
    smtp_cert: str = ""  # files of a certificate and its key: with them the mail server offers STARTTLS
    smtp_key: str = ""

    @property
    def base_url(self) -> str:
        """Where the stand-in itself is reached."""
        return f"http://{self.host}:{self.port}"


def read_settings(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `arguments` and `environ` (default: the process environment). Exits on a bad argument."""
    env = os.environ if environ is None else environ
    plain = Settings()
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default=env.get("SANDBOX_HOST", plain.host))
    parser.add_argument("--port", type=int, default=int(env.get("SANDBOX_PORT", plain.port)))
    parser.add_argument("--smtp-port", type=int, default=int(env.get("SANDBOX_SMTP_PORT", plain.smtp_port)))
    parser.add_argument("--data-dir", type=Path, default=env.get("SANDBOX_DATA_DIR") or None)
    parser.add_argument("--push-url", default=env.get("SANDBOX_PUSH_URL", plain.push_url))
    parser.add_argument("--push-audience", default=env.get("SANDBOX_PUSH_AUDIENCE", ""))
    parser.add_argument("--push-email", default=env.get("SANDBOX_PUSH_EMAIL", plain.push_email))
    parser.add_argument("--redirect-uri", action="append", default=None, dest="redirect_uris")
    parser.add_argument("--client-id", default=env.get("SANDBOX_CLIENT_ID", plain.client_id))
    parser.add_argument("--client-secret", default=env.get("SANDBOX_CLIENT_SECRET", plain.client_secret))
    parser.add_argument("--ms-client-id", default=env.get("SANDBOX_MS_CLIENT_ID", plain.ms_client_id))
    parser.add_argument("--ms-client-secret", default=env.get("SANDBOX_MS_CLIENT_SECRET", plain.ms_client_secret))
    parser.add_argument("--route", action="append", default=None, dest="routes", metavar="DOMAIN=HOST:PORT")
    for name in ("user", "password", "cert", "key"):
        parser.add_argument(f"--smtp-{name}", default=env.get(f"SANDBOX_SMTP_{name.upper()}", ""))
    parser.add_argument("--threads", type=int, default=plain.threads)
    given = vars(parser.parse_args(list(arguments)))
    listed = [uri.strip() for uri in env.get("SANDBOX_REDIRECT_URIS", "").split(",") if uri.strip()]
    given["redirect_uris"] = tuple(given["redirect_uris"] or listed or plain.redirect_uris)
    given["routes"] = parse_routes(",".join(given["routes"] or [env.get("SANDBOX_ROUTES", "")]))
    return Settings(**given)
