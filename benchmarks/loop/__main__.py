"""Steps per second of durable tool loops with an instant mind and `true` as the command, side by side.

    python -m benchmarks.loop [--steps N] [--rounds N]

Each round runs every loop once, in turn, so that all meet the same load. Then HAL9's loop is killed with SIGKILL
half way and started again: how long until its next step.
"""

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.report import median, peer_python, table, write

HERE = Path(__file__).parent
REQUIRED = ("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2", "langchain-core==1.8.3", "dbos==2.6.0")
LOOPS = ("bare", "hal9", "langgraph", "dbos")


def steps_of(loop: str, python: Path, steps: int) -> list[float]:
    """Seconds of each step of one loop in a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="hal9-loop-") as folder:
        if loop == "hal9":
            argv = [sys.executable, "-m", "benchmarks.loop.ours", folder, str(steps)]
        else:
            argv = [str(python), str(HERE / "peers.py"), loop, folder, str(steps)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        found: Any = json.loads(done.stdout.strip().splitlines()[-1])
    return list(found["steps"] if loop == "hal9" else found)


def replies(journal: Path) -> int:
    """How many replies are recorded."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT count(*) FROM turn_entries WHERE kind = 'reply'").fetchone()
    except sqlite3.OperationalError:
        return 0  # not made yet
    return int(found[0])


def resumed(steps: int) -> dict[str, float]:
    """Kill the loop half way and start it again: seconds until its next step, all in and without the start."""
    with tempfile.TemporaryDirectory(prefix="hal9-loop-") as folder:
        argv = [sys.executable, "-m", "benchmarks.loop.ours", folder, str(steps)]
        first = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while first.poll() is None and replies(Path(folder) / "journal.db") < steps // 2:
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.wait()
        began = time.perf_counter()
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        whole = time.perf_counter() - began
        found = json.loads(done.stdout.strip().splitlines()[-1])
    left = len(found["steps"])
    if not 0 < left < steps:
        raise SystemExit(f"the kill came too early or too late: {left} of {steps} steps were left")
    return {
        "to_next_step": found["first"],
        "start": whole - found["first"] - sum(found["steps"]),
        "left": left,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    python = peer_python("loop", *REQUIRED)
    taken: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    rates: dict[str, list[float]] = {loop: [] for loop in LOOPS}
    for _ in range(options.rounds):
        for loop in LOOPS:
            steps = steps_of(loop, python, options.steps)
            taken[loop] += steps
            rates[loop].append(len(steps) / sum(steps))
    rate = {loop: median(found) for loop, found in rates.items()}
    p50 = {loop: median(found) * 1000 for loop, found in taken.items()}
    best = max(rate[loop] for loop in ("langgraph", "dbos"))
    resume = [resumed(options.steps) for _ in range(options.rounds)]
    rows = [
        (loop, f"{rate[loop]:.1f}", f"{p50[loop]:.2f}", f"{p50[loop] - p50['bare']:.2f}") for loop in LOOPS
    ]
    table("Durable tool loops", ("loop", "steps/s", "ms per step, p50", "above bare"), rows)
    print(f"HAL9 / better peer: {rate['hal9'] / best:.2f}")
    print(
        f"resumed after SIGKILL: next step {median([one['to_next_step'] for one in resume]):.2f} s after imports"
    )
    figures = {"steps_per_second": rate, "p50_ms": p50, "ratio": rate["hal9"] / best, "resume": resume}
    write("loop", {"steps": options.steps, "rounds": options.rounds, "peers": REQUIRED}, figures)


main()
