"""What a run says: lines with their ratios, a table for people, a file for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
PARTS = ("rq", "SQLAlchemy", "psycopg", "httpx2", "orjson", "cryptography", "gunicorn", "Flask")


@dataclass(frozen=True)
class Line:
    """One figure beside its floor. `ratio` is value / floor; `target` says in words what it should be."""

    metric: int
    what: str
    value: float
    unit: str
    against: str
    floor: float
    target: str = ""
    at_most: float | None = None  # of the ratio
    at_least: float | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.value / self.floor if self.floor else float("nan")

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None for a figure without one."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.ratio <= self.at_most) and (
            self.at_least is None or self.ratio >= self.at_least
        )

    @property
    def verdict(self) -> str:
        """met, or by which factor it is missed."""
        if self.is_met is None:
            return ""
        if self.is_met:
            return "met"
        factor = self.ratio / self.at_most if self.at_most is not None else (self.at_least or 0) / self.ratio
        return f"missed by {factor:.2f}x"


def shown(number: float) -> str:
    """Three significant digits."""
    if number != number:
        return "-"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def times(ratio: float) -> str:
    """A ratio as people say it: 31x, or 1/12."""
    return f"1/{shown(1 / ratio)}" if 0 < ratio < 0.2 else f"{shown(ratio)}x"


HEAD = ("#", "what", "measured", "floor, in the same run", "ratio", "target", "")


def table(lines: Iterable[Line], failures: dict[int, str]) -> str:
    """The figures in columns, notes below, and what could not run."""
    found = list(lines)
    rows: list[tuple[str, ...]] = [HEAD]
    for line in found:
        mark = f" [{len(rows)}]" if line.note else ""
        rows.append((
            str(line.metric), line.what, f"{shown(line.value)} {line.unit}", f"{shown(line.floor)} {line.against}",
            times(line.ratio), line.target, line.verdict + mark,
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    text.insert(1, "-" * min(180, sum(widths) + 2 * len(widths)))
    notes = [f"[{number}] {line.note}" for number, line in enumerate(found, 1) if line.note]
    broken = [f"METRIC {number} COULD NOT RUN: {why}" for number, why in failures.items()]
    return "\n".join([*text, "", *notes, *broken])


def write(
    lines: Sequence[Line], failures: dict[int, str], *, quick: bool, load: tuple[float, float], sizes: dict[str, Any],
    path: Path = RESULTS,
) -> None:  # fmt: skip
    """The same as JSON, with machine, versions, date and sizes."""
    known = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine() | {"load_before": round(load[0], 2), "load_after": round(load[1], 2)},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PARTS},
        "sizes": sizes,
        "metrics": [_as_json(line) for line in lines],
        "could_not_run": failures,
    }
    path.write_text(json.dumps(known, indent=2) + "\n")


def _as_json(line: Line) -> dict[str, Any]:
    values = asdict(line) | {"ratio": line.ratio, "is_met": line.is_met, "verdict": line.verdict}
    return {key: rounded(value) for key, value in values.items() if value not in (None, "", {})}


def rounded(value: Any) -> Any:
    """Floats to five significant digits, also inside dicts and lists."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if value == value else None
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model, "cores": os.cpu_count(), "memory_gb": round(pages / 1e9, 1), "system": platform.platform(),
    }  # fmt: skip
