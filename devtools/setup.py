"""The virtual environment: made once, filled from hash-pinned requirements, made anew when those change."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from devtools.places import ROOT, Places

LOCKS = {"run": "requirements.txt", "dev": "requirements-dev.txt"}
UV_LOCK = "requirements-uv.txt"
UV_SETTINGS = {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
APT = "apt-get update && apt-get install -y --no-install-recommends python3-venv"


def clean_environment(places: Places, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The caller's environment without what would lead Python astray.

    Compiled modules are kept, in VAR_DIR: each of our processes would else spend seconds on compiling its imports anew.
    """
    astray = {"PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "FLASK_APP", "FLASK_DEBUG"}
    kept = {key: value for key, value in environ.items() if key not in astray}
    return {"PYTHONPYCACHEPREFIX": str(places.var / "pycache")} | kept


def ensure(places: Places, kind: str) -> None:
    """Have everything of LOCKS[kind] installed ("dev" includes "run"). Raises SystemExit with what to type."""
    if _is_current(places, kind):
        return
    with _one_at_a_time(places):
        if _is_current(places, kind):
            return
        print(f"dev: installing {LOCKS[kind]} into {places.venv} ...", flush=True)
        if not places.python.exists() or _version_in(places) != _version_here():
            _make(places)
        _install(places, kind)
        kinds = LOCKS if kind == "dev" else {"run": ""}
        places.stamp.write_text(json.dumps({each: _wanted(each) for each in kinds}))


def lock(places: Places) -> int:
    """Resolve each .in file to its lock, for every platform and Python from 3.11 on."""
    uv = _uv(places)
    if uv is None:
        raise SystemExit("dev: uv cannot be installed here, and only uv writes these files")
    plain = [uv, "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    for name, extra in (("requirements", []), ("requirements-dev", ["-c", "requirements.txt"]), ("requirements-uv", [])):
        command = [*plain, "--quiet", *extra, "-o", f"{name}.txt", f"{name}.in"]
        done = subprocess.run(command, cwd=ROOT, env=clean_environment(places) | UV_SETTINGS)
        if done.returncode:
            return done.returncode
        print(f"dev: wrote {name}.txt")
    return 0


def _version_here() -> str:
    return "{}.{}".format(*sys.version_info[:2])


def _version_in(places: Places) -> str:
    asked = subprocess.run(
        [places.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
    )
    return asked.stdout.strip()


def _wanted(kind: str) -> str:
    content = (ROOT / LOCKS[kind]).read_bytes() + _version_here().encode()
    return hashlib.sha256(content).hexdigest()


def _is_current(places: Places, kind: str) -> bool:
    try:
        stamped: dict[str, str] = json.loads(places.stamp.read_text())
    except (OSError, ValueError):
        return False
    return stamped.get(kind) == _wanted(kind) and places.python.exists()


@contextmanager
def _one_at_a_time(places: Places) -> Iterator[None]:
    places.venv.parent.mkdir(parents=True, exist_ok=True)
    with (places.venv.parent / "setup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("dev: another ./dev is setting up; waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _runs(*command: object) -> bool:
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


def _make(places: Places) -> None:
    """An empty environment. Debian's Python has no `venv` without a package of its own, hence the other ways."""
    if places.venv.exists() and not (places.venv / "pyvenv.cfg").exists():
        raise SystemExit(f"dev: {places.venv} is there and is no virtual environment; it is left alone")
    shutil.rmtree(places.venv, ignore_errors=True)
    if _runs(sys.executable, "-m", "venv", places.venv):
        return
    for program, *options in (["uv", "venv", "--python", sys.executable], ["virtualenv", "-p", sys.executable]):
        shutil.rmtree(places.venv, ignore_errors=True)
        if shutil.which(program) and _runs(program, *options, places.venv):
            return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("dev: this Python cannot make virtual environments; installing python3-venv ...", flush=True)
        shutil.rmtree(places.venv, ignore_errors=True)
        if _runs("sh", "-c", APT) and _runs(sys.executable, "-m", "venv", places.venv):
            return
    raise SystemExit(f"dev: this Python cannot make virtual environments. Type: sudo sh -c '{APT}'")


def _pip(places: Places, *arguments: str) -> str:
    """Empty when pip has installed, else its words."""
    command = [str(places.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(places), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else (done.stderr or done.stdout or "pip failed")[-3000:]


def _uv(places: Places) -> str | None:
    """A uv on PATH or in the environment, installed there if need be; None where it cannot be had."""
    own = places.venv / "bin" / "uv"
    if found := shutil.which("uv"):
        return found
    if own.exists() or not _pip(places, "--require-hashes", "-r", UV_LOCK):
        return str(own)
    return None


def _install(places: Places, kind: str) -> None:
    """By uv, which is quick; by pip where uv fails (it knows nothing of pip's own settings)."""
    uv, lock_file = _uv(places), LOCKS[kind]
    if uv is not None:
        command = [uv, "pip", "install", "--quiet", "--python", str(places.python), "--require-hashes", "-r", lock_file]
        done = subprocess.run(
            command, cwd=ROOT, env=clean_environment(places) | UV_SETTINGS, stdin=subprocess.DEVNULL, capture_output=True
        )
        if done.returncode == 0:
            return
        print("dev: uv could not install; trying pip ...", flush=True)
    if words := _pip(places, "--require-hashes", "-r", lock_file):
        raise SystemExit(f"{words}\ndev: the packages of {lock_file} cannot be installed")
