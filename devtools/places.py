"""Where things of this checkout stand, and the secrets that it makes once for itself."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Places:
    """The folder of all state (`VAR_DIR`, default `./var`) and what stands in it."""

    var: Path

    @classmethod
    def of_this_checkout(cls) -> Places:
        """From VAR_DIR, made if missing."""
        var = Path(os.environ.get("VAR_DIR") or ROOT / "var").expanduser().resolve()
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(var)

    @property
    def venv(self) -> Path:
        """DEV_VENV lets several state folders share one environment, as the tests of `./dev` itself do."""
        return Path(os.environ.get("DEV_VENV") or self.var / "venv").expanduser().resolve()

    @property
    def stamp(self) -> Path:
        """What is installed in the environment."""
        return self.venv / "installed.json"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def run_file(self) -> Path:
        """What the running `./dev run` uses: process id, ports, addresses."""
        return self.var / "run.json"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.var / 'portal.sqlite3'}"


def own_secrets(places: Places) -> dict[str, str]:
    """SECRET_KEY, SEALING_KEYS and AUDIT_KEY of this checkout; made at the first call, readable by the owner only."""
    path = places.var / "secrets.json"
    if not path.exists():
        made = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "SEALING_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "AUDIT_KEY": secrets.token_urlsafe(32),
        }
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
        with suppress(FileExistsError):
            os.link(fresh, path)  # the first of two that start at once wins
        fresh.unlink()
    found: dict[str, str] = json.loads(path.read_text())
    return found


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Whether something else holds this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
