"""Holds the documents to the tests: what `docs/` calls done must have passed in this very run.

Tests name what they prove by marks (`rule`, `requirement`, `fault`, `provider_fault`, `bad_input`). After a run of the whole
suite the ledger compares the marks of passed tests with the tables of docs/behaviour.md and docs/security.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEHAVIOUR, SECURITY = ROOT / "docs" / "behaviour.md", ROOT / "docs" / "security.md"
KINDS = ("rule", "requirement", "fault", "provider_fault", "bad_input")
ROW = re.compile(r"^\|\s*([A-Z]+-\d+|\d+)\s*\|(.*)\|\s*(done|open)\b([^|]*)\|\s*$")
HEADING = re.compile(r"^#+\s.*\(mark `(\w+)`\)")
TEST = re.compile(r"`(tests/[\w/.]+::\w+)`")


@dataclass(frozen=True)
class Entry:
    """A line of a table: what it is about, whether it is called done, and the tests it names."""

    kind: str
    id: str
    is_done: bool
    tests: tuple[str, ...]


def read_entries(text: str, kind: str = "rule") -> list[Entry]:
    """The rows of a document. A heading such as `## Faults (mark `fault`)` tells the kind of the rows below it."""
    found: list[Entry] = []
    for line in text.splitlines():
        if heading := HEADING.match(line):
            kind = heading[1]
        if row := ROW.match(line):
            found.append(Entry(kind, row[1], row[3] == "done", tuple(TEST.findall(row[4]))))
    return found


def unproven(entries: Iterable[Entry], passed: Mapping[tuple[str, str], set[str]]) -> list[str]:
    """What is called done without proof, one sentence each. `passed`: (kind, id) → tests that passed with that mark."""
    found: list[str] = []
    for entry in entries:
        proofs = passed.get((entry.kind, entry.id), set())
        if entry.is_done and not entry.tests:
            found.append(f"{entry.kind} {entry.id} is called done and names no test")
        if entry.is_done and not proofs:
            found.append(f"{entry.kind} {entry.id} is called done and no test that bears its mark passed")
        found += [f"{entry.kind} {entry.id} names {test}, which did not pass with its mark" for test in entry.tests
                  if test not in proofs]  # fmt: skip
    return found


class Ledger:
    """Collects marks of passed tests, also from xdist's workers (they travel as user properties of the reports)."""

    def __init__(self) -> None:
        self.passed: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.failed: set[str] = set()

    def note(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("[")[0]
        if report.failed:
            self.failed.add(name)
        if report.when == "call" and report.passed:
            for kind, mark in report.user_properties:
                if kind in KINDS:
                    self.passed[(kind, str(mark))].add(name)

    def problems(self) -> list[str]:
        """What the documents claim beyond what has passed here."""
        proofs = {key: names - self.failed for key, names in self.passed.items()}
        entries = read_entries(BEHAVIOUR.read_text())
        if SECURITY.exists():
            entries += read_entries(SECURITY.read_text(), "requirement")
        return unproven(entries, proofs)


LEDGER = Ledger()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test's report carry its marks."""
    for item in items:
        for kind in KINDS:
            item.user_properties += [(kind, str(mark.args[0])) for mark in item.iter_markers(kind)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note each outcome."""
    LEDGER.note(report)


def is_whole_suite(config: pytest.Config) -> bool:
    """Whether nothing was left out by arguments."""
    option: Any = config.option
    return not (option.keyword or option.markexpr or option.deselect or getattr(option, "lf", False)) and [
        str(argument) for argument in config.args
    ] in ([str(ROOT / "tests")], ["tests"])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a whole run whose documents claim more than it has shown."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly or not is_whole_suite(session.config):
        return
    session.config.stash[PROBLEMS] = problems = LEDGER.problems()
    if problems and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


PROBLEMS = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what is claimed without proof."""
    for line in terminalreporter.config.stash.get(PROBLEMS, []):
        terminalreporter.write_line(f"UNPROVEN: {line}", red=True, bold=True)
