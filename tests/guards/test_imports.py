"""Who may import whom: the contracts hold, and each of them breaks when it should."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.places import ROOT

BROKEN = re.compile(r"^(.+?) (KEPT|BROKEN)", re.MULTILINE)

# contract: (file, what is added to it)
PLANTED = {
    "Services, queries and models import only down the chain": (
        "portal/contacts/planted.py", "from portal.sending import queries\n",
    ),
    "Rules import the harmless part of the standard library only": ("portal/rules/planted.py", "import random\n"),
    "The library knows nothing of the portal": ("portal/lib/planted.py", "import flask\n"),
    "Providers do not know each other": (
        "portal/providers/planted.py", "from portal.providers.google import client\n",
    ),
    "The portal and the outside world's stand-in do not know each other": (
        "portal/sync/planted.py", "from sandbox import state\n",
    ),
    "The product needs neither its tests nor its tools": ("sandbox/planted.py", "from devtools import places\n"),
    "Views do not import other slices' views": (
        "portal/sync/views.py", "from portal.conversations import views\n",
    ),
    "Views and forms speak to services and queries, not to providers or the database": (
        "portal/sync/views.py", "from portal.providers import registry\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the contracts speak of."""
    folder = tmp_path_factory.mktemp("tree")
    for name in ("portal", "sandbox", "devtools"):
        leave = shutil.ignore_patterns("__pycache__", "static", "templates")
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    """What import-linter says of each contract."""
    environ = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=folder, env=environ, capture_output=True, text=True)
    found = dict(BROKEN.findall(done.stdout))
    assert found, done.stdout + done.stderr
    assert (done.returncode == 0) == ("BROKEN" not in found.values())
    return found


def test_the_contracts_hold(tree: Path) -> None:
    found = verdicts(tree)
    assert found == dict.fromkeys(PLANTED, "KEPT")


@pytest.mark.parametrize("contract", PLANTED)
def test_each_contract_can_break(tree: Path, contract: str) -> None:
    name, line = PLANTED[contract]
    path = tree / name
    kept = path.read_text() if path.exists() else None
    path.write_text((kept or '"""Planted."""\n') + line)
    try:
        broken = {contract for contract, verdict in verdicts(tree).items() if verdict == "BROKEN"}
    finally:
        path.write_text(kept) if kept is not None else path.unlink()
    assert broken == {contract}


# Modules at the edge, where a request is known; besides views, forms and webhooks.
EDGE = {
    "portal/access/decorators.py", "portal/auth/sessions.py", "portal/auth/throttle.py", "portal/error_pages.py",
    "portal/navigation.py", "portal/security.py", "portal/sending/late_presses.py", "portal/templating.py",
}  # fmt: skip
REQUEST = {"request", "session"}


def knows_a_request(source: str) -> bool:
    """Whether this module imports flask's request or its cookie session."""
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "flask" and REQUEST & {name.name for name in node.names}
        for node in ast.walk(ast.parse(source))
    )


def test_only_the_edge_knows_the_request() -> None:
    inside = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "portal").rglob("*.py")
        if not path.stem.endswith(("views", "forms")) and path.parent.name != "webhooks"
    ]
    found = [name for name in inside if name not in EDGE and knows_a_request((ROOT / name).read_text())]
    assert found == []


def test_that_check_can_fail() -> None:
    assert knows_a_request("from flask import g, request")
    assert not knows_a_request("from flask import current_app")
