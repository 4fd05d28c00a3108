"""Interleaved timing of named contestants in one process, CPU time of one thread."""

import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

if os.environ.get("OMP_NUM_THREADS") != "1":
    raise SystemExit("Thread counts are read when libraries load: start the benchmarks with ./run.")


def paired(
    contestants: dict[str, Callable[[], Any]], *, rounds: int, warm: int = 1
) -> dict[str, dict[str, float]]:
    """Run every contestant once per round, in turn; medians of CPU ms and of the ratio to the first.

    CPU time covers all threads of the process, so a contestant that runs several pays for them.
    """
    for _ in range(warm):
        for run in contestants.values():
            run()
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    wall: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            began, began_wall = time.process_time(), time.perf_counter()
            run()
            spent[name].append((time.process_time() - began) * 1e3)
            wall[name].append((time.perf_counter() - began_wall) * 1e3)
    first = next(iter(contestants))
    out = {}
    for name in contestants:
        ratios = sorted(b / a for a, b in zip(spent[first], spent[name], strict=True))
        out[name] = {
            "cpu_ms": sorted(spent[name])[rounds // 2],
            "wall_ms": sorted(wall[name])[rounds // 2],
            "times_hal9": ratios[rounds // 2],
        }
    return out


def versions(*names: str) -> dict[str, str]:
    """Installed versions."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", *names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def report(
    name: str, tables: dict[str, dict[str, dict[str, float]]], notes: dict[str, Any], *packages: str
) -> None:
    """Print the tables and write them with machine, versions and settings."""
    for title, rows in tables.items():
        print(f"\n{title}")
        print(f"  {'':32}{'CPU ms':>10}{'wall ms':>10}{'x hal9':>9}")
        for who, row in rows.items():
            print(f"  {who:32}{row['cpu_ms']:10.2f}{row['wall_ms']:10.2f}{row['times_hal9']:9.2f}")
    for key, value in notes.items():
        print(f"  {key}: {value}")
    folder = Path(__file__).resolve().parents[1] / "results"
    folder.mkdir(exist_ok=True)
    record = {
        "benchmark": name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()},
        "versions": versions(*packages),
        "threads": 1,
        "tables": tables,
        "notes": notes,
    }
    (folder / f"passing-{name}.json").write_text(json.dumps(record, indent=1, default=str))
