"""The bench runs and writes what it says; how fast anything is, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report import Line, table
from devtools.places import ROOT


def test_bench_writes_its_results(tmp_path: Path) -> None:
    """A quick run of two metrics: real servers, a table, a file with machine, versions, sizes and ratios."""
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--quick", "--only", "5", "7", "--results", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "COPY of the same rows" in done.stdout
    assert "smtplib alone" in done.stdout
    found = json.loads(results.read_text())
    assert found["quick"] is True
    assert found["machine"]["cores"] >= 1
    assert found["could_not_run"] == {}
    assert [line["metric"] for line in found["metrics"]] == [5, 5, 7, 7, 7, 7]
    for line in found["metrics"]:
        assert line["value"] > 0
        assert line["ratio"] == pytest.approx(line["value"] / line["floor"], rel=0.01)


def test_verdicts_follow_from_the_ratio() -> None:
    """A target is met or missed by a factor; without one nothing is claimed."""
    met = Line(1, "a", 1.0, "ms", "ms", 20.0, "<= 1/10", at_most=0.1)
    missed = Line(2, "b", 10.0, "msgs/s", "msgs/s", 1.0, ">= 30x", at_least=30)
    assert (met.verdict, missed.verdict) == ("met", "missed by 3.00x")
    assert Line(3, "c", 1.0, "ms", "ms", 2.0).is_met is None
    assert "METRIC 4 COULD NOT RUN: no disk" in table([met], {4: "no disk"})
