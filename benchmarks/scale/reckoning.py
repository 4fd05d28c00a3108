"""What a large cluster needs, reckoned from what one task and one neuron were measured to cost.

Usage: python -m benchmarks.scale.reckoning [--neurons 10000] [--tasks 1000000] reads benchmarks/results/scale.json,
which `scripts/bench scale` writes, and prints the table of docs/scale.md. The assumptions stand in `Wanted`.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.report import RESULTS, table

__all__ = ["Measured", "Wanted", "reckon"]

_DAY = 86_400.0
_GB = 1e9
Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured on one machine.

    Attributes:
        daemon_cpu: seconds of CPU a task takes of the daemons, all together.
        database_cpu: seconds of CPU it takes of PostgreSQL.
        rows_kept: rows it leaves in the journal.
        kept: bytes it leaves there, indexes included.
        logged: bytes it writes to the database's log.
        transactions: commits it needs.
        daemon_mb: memory of an idle daemon with the usual neurons.
        neuron_mb: memory of one more neuron in it.
    """

    daemon_cpu: float
    database_cpu: float
    rows_kept: float
    kept: float
    logged: float
    transactions: float
    daemon_mb: float
    neuron_mb: float

    @classmethod
    def of(cls, speed: Mapping[str, Any], memory: Mapping[str, Any]) -> "Measured":
        """From what `benchmarks.scale` found."""
        return cls(
            daemon_cpu=speed["daemon CPU s a task"],
            database_cpu=speed["database CPU s a task"],
            rows_kept=speed["rows kept a task"],
            kept=speed["bytes kept a task"],
            logged=speed["bytes logged a task"],
            transactions=speed["transactions a task"],
            daemon_mb=memory["daemon MB"],
            neuron_mb=memory["neuron MB"],
        )

    def rows(self) -> Rows:
        """As a table."""
        return [
            ("CPU of daemons a task", f"{1e3 * self.daemon_cpu:.1f} ms"),
            ("CPU of PostgreSQL a task", f"{1e3 * self.database_cpu:.1f} ms"),
            ("rows a task leaves", f"{self.rows_kept:.1f}"),
            ("bytes a task leaves", f"{self.kept / 1e3:.1f} kB"),
            ("bytes of log a task", f"{self.logged / 1e3:.1f} kB"),
            ("transactions a task", f"{self.transactions:.1f}"),
            ("idle daemon", f"{self.daemon_mb:.0f} MB"),
            ("one more neuron", f"{self.neuron_mb:.2f} MB"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be carried, and what is assumed.

    Attributes:
        neurons: in all daemons together.
        tasks_per_day: three-layer tasks with one model call each, as in the measurement.
        peak: the busiest minute over the day's mean.
        busy: share of a core that is planned to be used at the peak.
        host_cores: of one machine.
        spare_hosts: machines that may be away at the peak.
        model_seconds: how long a model call takes.
        retention_days: how long tasks are kept (cluster.retention_days).
    """

    neurons: int = 10_000
    tasks_per_day: int = 1_000_000
    peak: float = 3.0
    busy: float = 0.5
    host_cores: int = 8
    spare_hosts: int = 1
    model_seconds: float = 10.0
    retention_days: int = 30


def reckon(measured: Measured, wanted: Wanted) -> Rows:
    """What is needed, line by line."""
    mean = wanted.tasks_per_day / _DAY
    peak = wanted.peak * mean
    daemon_cores = peak * measured.daemon_cpu / wanted.busy
    database_cores = peak * measured.database_cpu / wanted.busy
    # A daemon is one process with one event loop: it fills one core.
    daemons = max(1, math.ceil(daemon_cores))
    hosts = math.ceil(daemons / wanted.host_cores) + wanted.spare_hosts
    memory = daemons * measured.daemon_mb + wanted.neurons * measured.neuron_mb
    kept = wanted.tasks_per_day * wanted.retention_days * measured.kept
    return [
        ("tasks a second, mean and peak", f"{mean:.1f}, {peak:.1f}"),
        ("model calls at once at the peak", f"{peak * wanted.model_seconds:.0f}"),
        ("cores for daemons at the peak", f"{daemon_cores:.1f}"),
        ("daemons (one core each)", f"{daemons}"),
        (f"machines of {wanted.host_cores} cores, {wanted.spare_hosts} to spare", f"{hosts}"),
        ("memory of all daemons and neurons", f"{memory / 1e3:.1f} GB"),
        ("cores for PostgreSQL at the peak", f"{database_cores:.1f}"),
        ("transactions a second at the peak", f"{peak * measured.transactions:.0f}"),
        ("log of the database a day", f"{wanted.tasks_per_day * measured.logged / _GB:.1f} GB"),
        (f"journal after {wanted.retention_days} days", f"{kept / _GB:.0f} GB"),
        (
            f"rows after {wanted.retention_days} days",
            f"{wanted.tasks_per_day * wanted.retention_days * measured.rows_kept / 1e6:.0f} million",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=Wanted.neurons)
    parser.add_argument("--tasks", type=int, default=Wanted.tasks_per_day)
    options = parser.parse_args()
    figures = json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))["figures"]
    measured = Measured.of(figures["speed"][-1], figures["memory"])
    wanted = Wanted(neurons=options.neurons, tasks_per_day=options.tasks)
    table("measured", ["what", "figure"], measured.rows())
    title = f"{wanted.neurons} neurons, {wanted.tasks_per_day} tasks a day"
    table(title, ["what", "needed"], reckon(measured, wanted))


if __name__ == "__main__":
    main()
