"""`python -m bench [--only N] [--quick]`: measure, print a table, write bench/results.json."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench import (
    campaign,
    catch_up,
    cpu_per_message,
    decide,
    idle_poll,
    intake_rate,
    notice_to_visible,
    outlook_rate,
    report,
    store_rate,
)
from bench.report import Line
from bench.stage import Stage, parts


class Metric(NamedTuple):
    """How a metric is measured, and its sizes: whole and quick."""

    measure: Callable[[Stage, dict[str, Any]], list[Line]]
    full: dict[str, Any]
    quick: dict[str, Any]


METRICS = {
    number: Metric(module.measure, module.FULL, module.QUICK)
    for number, module in enumerate(
        (
            cpu_per_message, catch_up, idle_poll, notice_to_visible, store_rate, decide, campaign, outlook_rate, intake_rate,
        ),
        start=1,
    )
}


def main(arguments: list[str]) -> int:
    """Measure what was asked for. 1 when a metric could not run; a missed target is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", choices=sorted(METRICS), help="these metrics; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run, not how fast")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where to write the figures")
    given = parser.parse_args(arguments)
    wanted = sorted(set(given.only or METRICS))
    sizes = {number: METRICS[number].quick if given.quick else METRICS[number].full for number in wanted}
    load = os.getloadavg()[0]
    lines, failures = run(wanted, sizes)
    report.write(
        lines, failures, quick=given.quick, load=(load, os.getloadavg()[0]), sizes={str(n): s for n, s in sizes.items()},
        path=given.results,
    )  # fmt: skip
    print(report.table(lines, failures))
    print(f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after; written to {given.results}")
    return 1 if failures else 0


def run(wanted: list[int], sizes: dict[int, dict[str, Any]]) -> tuple[list[Line], dict[int, str]]:
    """The lines of every metric that could run, and why the others could not."""
    lines: list[Line] = []
    failures: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder, parts(Path(folder)) as stage:
        for number in wanted:
            print(f"metric {number} …", file=sys.stderr, flush=True)
            try:
                lines += METRICS[number].measure(stage, sizes[number])
            except Exception as error:
                traceback.print_exc()
                failures[number] = f"{type(error).__name__}: {error}"[:300]
    return lines, failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
