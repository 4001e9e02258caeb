"""CPU time of processes as the kernel counts it (/proc, Linux), children that have ended included."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; empty when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _fields(int(folder.name))):
            found.setdefault(int(fields[1]), []).append(int(folder.name))
    return found


def cpu_seconds(pids: Iterable[int], without: Collection[int] = ()) -> float:
    """User and system time of these processes and all below them, so far. `without` are processes left out."""
    children, waiting, ticks = _children(), list(pids), 0
    while waiting:
        pid = waiting.pop()
        fields = _fields(pid)
        if not fields or pid in without:
            continue
        ticks += sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
        waiting += children.get(pid, [])
    return ticks / TICKS


def resident_mb(pid: int) -> float:
    """Memory of a process now, in MB."""
    fields = _fields(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0
