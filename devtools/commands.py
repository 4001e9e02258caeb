"""The commands of `./dev`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from devtools import browser, checks, run, setup
from devtools.places import ROOT, Places

USAGE = """usage: ./dev COMMAND [arguments]

  run      the portal with everything it needs, at http://127.0.0.1:8000
           (PORT, SANDBOX_PORT, SANDBOX_SMTP_PORT and VAR_DIR move it;
           DATABASE_URL and REDIS_URL give it your own PostgreSQL and Redis)
  test     every test, on SQLite and PostgreSQL, in a real browser; arguments go to pytest
  check    ruff, mypy, import contracts, template lint
  bench    the measures, as a table and in bench/results.json
  flask    a command of the portal, in the settings of `./dev run`: ./dev flask demo people
  python   Python in the same settings
  reset    forget all state of this checkout: accounts, mail, queues (not while it runs)
  lock     write the hash-pinned requirement files anew
"""


def main(arguments: list[str]) -> int:
    """Carry out one command; its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    command = COMMANDS.get(arguments[0])
    if command is None:
        print(f"dev: no command {arguments[0]!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    try:
        return command(Places.of_this_checkout(), arguments[1:])
    except KeyboardInterrupt:
        return 130


def test(places: Places, arguments: list[str]) -> int:
    """Replace this process by pytest, with a browser at hand."""
    setup.ensure(places, "dev")
    browser.ensure(places)
    two_at_once = [] if any(item.startswith(("-n", "-p", "--pdb")) for item in arguments) else ["-n", "2"]
    os.chdir(ROOT)
    os.execve(
        places.python,
        [str(places.python), "-m", "pytest", *two_at_once, *arguments],
        setup.clean_environment(places) | browser.environment(places),
    )


def bench(places: Places, arguments: list[str]) -> int:
    """Replace this process by the bench."""
    setup.ensure(places, "dev")
    os.chdir(ROOT)
    os.execve(places.python, [str(places.python), "-m", "bench", *arguments], setup.clean_environment(places))


def reset(places: Places, _arguments: list[str]) -> int:
    """Delete all state, but neither the virtual environment nor the browser."""
    with run.not_running(places):
        for path in sorted(places.var.iterdir()):
            if path.name in KEPT:
                continue
            _delete(path)
    print(f"dev: all state in {places.var} is gone; ./dev run begins anew")
    return 0


KEPT = {"venv", "browser", "pycache", "setup.lock", "run.lock", "mypy-cache", "pytest-cache", "ruff-cache"}


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def flask(places: Places, arguments: list[str]) -> int:
    """Replace this process by the portal's own command line."""
    return run.replace_by(places, ["-m", "flask", *arguments])


def python(places: Places, arguments: list[str]) -> int:
    """Replace this process by Python in the portal's settings."""
    return run.replace_by(places, arguments)


def lock(places: Places, _arguments: list[str]) -> int:
    """Resolve the requirement files."""
    setup.ensure(places, "run")
    return setup.lock(places)


def check(places: Places, _arguments: list[str]) -> int:
    """Every static check."""
    setup.ensure(places, "dev")
    return checks.run_all(places)


COMMANDS: dict[str, Callable[[Places, list[str]], int]] = {
    "run": run.run,
    "test": test,
    "check": check,
    "bench": bench,
    "flask": flask,
    "python": python,
    "reset": reset,
    "lock": lock,
}
