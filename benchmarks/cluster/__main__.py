"""Three-layer passes per second with an instant mind, everything durable, beside LangGraph and DBOS on SQLite.

Usage: scripts/bench cluster [--passes 500] [--rounds 3]. Every side runs in a process of its own, in turn.
HAL9 runs twice: as it comes, signals between neurons of one process moving in the journal, and with
`broker.everything`, where each of them takes the broker as between machines.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import median, peer_python, run_peer, table, write

HERE = Path(__file__).parent
LANGGRAPH = ("langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2", "aiosqlite==0.22.1")
DBOS = ("dbos==3.4.0",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    ours_python, ours_script = Path(sys.executable), HERE / "hal9_passes.py"
    sides: dict[str, tuple[Path, Path, tuple[str, ...]]] = {
        "hal9": (ours_python, ours_script, ()),
        "LangGraph, AsyncSqliteSaver": (
            peer_python("langgraph", *LANGGRAPH),
            HERE / "langgraph_passes.py",
            (),
        ),
        "DBOS, SQLite": (peer_python("dbos", *DBOS), HERE / "dbos_passes.py", ()),
        "hal9, all over the broker": (ours_python, ours_script, ("everything",)),
    }
    figures: dict[str, Any] = {}
    for concurrency in options.concurrency:
        rates: dict[str, list[float]] = {name: [] for name in sides}
        latencies: dict[str, list[float]] = {name: [] for name in sides}
        versions: dict[str, dict[str, str]] = {}
        for _ in range(options.rounds):
            for name, (python, script, extra) in sides.items():
                passes = options.passes if concurrency > 1 else max(options.passes // 5, 50)
                found = run_peer(
                    python, script, str(passes), str(concurrency), *extra, PYTHONPATH=str(HERE.parents[1])
                )
                rates[name].append(found["rate"])
                latencies[name] += found["latencies"]
                versions[name] = found.get("versions", {})
        ours = median(rates["hal9"])
        rows = []
        for name in sides:
            ordered = sorted(latencies[name])
            rate = median(rates[name])
            p50, p99 = ordered[len(ordered) // 2] * 1000, ordered[int(len(ordered) * 0.99)] * 1000
            rows.append((name, f"{rate:.0f}", f"{ours / rate:.2f}x", f"{p50:.1f}", f"{p99:.1f}"))
            figures[f"{name} @{concurrency}"] = {
                "rates": rates[name], "p50_ms": p50, "p99_ms": p99, "versions": versions[name],
            }  # fmt: skip
        table(f"{concurrency} at a time", ("system", "passes/s", "hal9 is", "p50 ms", "p99 ms"), rows)
    write("cluster", vars(options), figures)


if __name__ == "__main__":
    main()
