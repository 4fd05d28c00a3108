"""What this machine has to spare for computing."""

import os
import time
from pathlib import Path

from hal9.text import first_line, split_lines

__all__ = ["available_memory", "free_cores", "usable_cores"]

_SAMPLE_SECONDS = 0.2


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_cores(sample_seconds: float = _SAMPLE_SECONDS) -> int:
    """Cores that were idle during a short sample, at least 1; all usable ones where nothing is measured."""
    cores = usable_cores()
    before = _busy_seconds()
    if before is None:
        return cores
    began = time.monotonic()
    time.sleep(sample_seconds)
    after = _busy_seconds()
    if after is None:
        return cores
    busy = (after - before) / (time.monotonic() - began)
    return max(1, min(cores, round(cores - busy)))


def _busy_seconds(path: Path = Path("/proc/stat")) -> float | None:
    """Core-seconds all processes have computed since the start of the machine."""
    try:
        fields = first_line(path.read_text(encoding="ascii")).split()[1:]
    except (OSError, IndexError):
        return None
    user, nice, system, _idle, _iowait, irq, softirq, *_ = (int(field) for field in fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be taken without swapping; None where the system does not say."""
    try:
        lines = split_lines((proc / "meminfo").read_text(encoding="ascii"))
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    try:
        most = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = split_lines((cgroup / "memory.stat").read_text(encoding="ascii"))
    except OSError:
        return min(found, default=None)
    if most != "max":
        # File pages that nobody uses are given back when memory is asked for.
        cached = sum(int(line.split()[1]) for line in stat if line.startswith("inactive_file "))
        found.append(max(0, int(most) - used + cached))
    return min(found, default=None)
