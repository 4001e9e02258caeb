"""Every static check, one after the other; all are run, any that fails fails the whole."""

from __future__ import annotations

import subprocess

from devtools.places import ROOT, Places
from devtools.setup import clean_environment

CHECKS = {
    "ruff": ["ruff", "check", "."],
    "mypy": ["mypy"],
    "import contracts": ["lint-imports"],
    "templates": ["djlint", "portal/templates", "sandbox", "--lint", "--quiet"],
}


def run_all(places: Places) -> int:
    """0 when all pass. Says which did not, at the end."""
    failed = []
    for name, (program, *arguments) in CHECKS.items():
        print(f"--- {name}", flush=True)
        command = [str(places.venv / "bin" / program), *arguments]
        if subprocess.run(command, cwd=ROOT, env=clean_environment(places)).returncode:
            failed.append(name)
    print(f"check: {', '.join(failed)} failed" if failed else "check: all passed", flush=True)
    return 1 if failed else 0
