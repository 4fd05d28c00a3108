"""`hal9 causes` on simulated homes: false causes where tasks fail at random, and planted causes that are found.

python -m benchmarks.holograph failures [--homes 20] [--draws 10]
"""

import argparse
import asyncio
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from benchmarks import report
from hal9.holograph.causes import causes

PLANTED = {
    "tool": "tool=sh",
    "prompt_version": "prompt_version=3",
    "words": "words",
    "implementer": "implementer=careless",
    "hour": "hour=",
}


def home(tasks, seed, planted=None):
    """Rows as `failure_rows` gives them; tasks fail at random, or more often with one factor."""
    rng = np.random.default_rng([seed, 5])
    rate = rng.uniform(0.15, 0.5)
    rows = []
    for _ in range(tasks):
        tool = str(rng.choice(["python3", "sh", "none"], p=[0.45, 0.3, 0.25]))
        row = {
            "failed": False,
            "words": int(rng.gamma(2.0, 12.0)) + 3,
            "check": tool != "none",
            "workspace": bool(rng.random() < 0.7),
            "task_class": str(rng.choice(["python", "text", "shell"])),
            "implementer": str(rng.choice(["careless", "careful", "third"])),
            "prompt_version": str(rng.choice(["1", "2", "3"])),
            "recalled": bool(rng.random() < 0.3),
            "layers_thinking": int(rng.integers(1, 4)),
            "mind": str(rng.choice(["local", "hosted"])),
            "tool": tool,
            "hour": int(rng.integers(24)),
        }
        hit = {
            "tool": tool == "sh",
            "prompt_version": row["prompt_version"] == "3",
            "words": row["words"] > 30,
            "implementer": row["implementer"] == "careless",
            "hour": row["hour"] >= 22 or row["hour"] < 4,
        }
        chance = rate if planted is None else (0.75 if hit[planted] else 0.12)
        row["failed"] = bool(rng.random() < chance)
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--homes", type=int, default=20)
    parser.add_argument("--draws", type=int, default=10)
    args = parser.parse_args()
    start, figures = time.process_time(), {}
    for tasks in (40, 150):
        sure = [
            max((e.probability for e in found.of("failed")), default=0.0)
            for seed in range(args.homes)
            for found in [asyncio.run(causes(home(tasks, seed), outcomes=("failed",)))]
        ]
        figures[f"{tasks} tasks, at random: homes with a cause at .8"] = sum(p >= 0.8 for p in sure)
        figures[f"{tasks} tasks, at random: surest cause per home"] = [round(p, 2) for p in sorted(sure)]
        for planted, name in PLANTED.items():
            named, first, certain, false = 0, 0, 0, 0
            for seed in range(args.draws):
                found = asyncio.run(causes(home(tasks, 1000 + seed, planted), outcomes=("failed",)))
                direct = found.of("failed")
                mine = [e for e in direct if e.cause.startswith(name) and e.effect_size > 0]
                named += bool(mine)
                first += bool(direct and direct[0].cause.startswith(name))
                certain += any(e.probability >= 0.8 for e in mine)
                key = name.partition("=")[0]
                false += any(e.probability >= 0.8 and not e.cause.startswith(key) for e in direct)
            figures[f"{tasks} tasks, {planted}: named/first/at .8/false at .8 of {args.draws}"] = [
                named, first, certain, false,
            ]  # fmt: skip
    figures["cpu seconds"] = round(time.process_time() - start, 1)
    for key, value in figures.items():
        print(f"{key}: {value}", flush=True)
    print("written to", report.write("holograph-failures", vars(args), figures, "numpy", "scipy"))


if __name__ == "__main__":
    main()
