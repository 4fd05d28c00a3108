"""HumanEval through the whole cluster, beside the bare model with the same number of tokens.

Usage: scripts/bench humaneval [--problems 30] [--mind local]. The cluster's check is the docstring's own examples;
the score is the hidden test. The bare model gets as many samples as fit into the tokens that the cluster spent on the
same problem: `mean` is its expected pass rate, `selected` picks the first sample that passes the same
public check (the strongest use of equal tokens without a cluster).
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.humaneval.problems import Problem, load
from benchmarks.report import table, write
from hal9.cluster import Cluster, Daemon, connect, init_home
from hal9.errors.neurons import ReplyUnusable
from hal9.minds import Message, Mind, Request, open_mind
from hal9.neurons.messages.replies import parse_implementation


async def through_cluster(cluster: Cluster, problem: Problem, folder: Path) -> dict[str, Any]:
    workspace = folder / problem.id.replace("/", "-")
    workspace.mkdir()
    (workspace / "check.py").write_text(problem.public_check())
    begun = time.monotonic()
    task_id = await cluster.submit(
        problem.objective,
        workspace=workspace,
        check="python check.py",
        targets=("solution.py",),
        timeout_seconds=1800,
    )
    task = await cluster.wait(task_id)
    result = task.result
    assert result is not None
    # A failed task leaves the workspace as it was; what it last tried is in the result.
    written = next((change.content for change in result.changes if change.path == "solution.py"), None)
    return {
        "id": problem.id,
        "public": result.ok,
        "passed": bool(written) and problem.passes(written),
        "calls": result.tally.calls,
        "tokens": result.tally.prompt_tokens + result.tally.completion_tokens,
        "seconds": time.monotonic() - begun,
    }


async def bare(mind: Mind, problem: Problem, tokens: int) -> dict[str, Any]:
    samples: list[tuple[bool, bool]] = []
    spent = 0
    while not samples or spent < tokens:
        reply = await mind.think(
            Request(
                messages=(Message("user", problem.objective),),
                temperature=0.0 if not samples else 0.7,
                seed=len(samples) + 1,
                max_tokens=1024,
            )
        )
        spent += reply.usage.prompt_tokens + reply.usage.completion_tokens
        try:
            files = parse_implementation(reply.text, targets=("solution.py",)).files
            solution = files[0].content
        except ReplyUnusable:
            solution = ""
        samples.append((_public(problem, solution), problem.passes(solution)))
    selected = next((hidden for public, hidden in samples if public), samples[0][1])
    return {
        "greedy": samples[0][1],
        "mean": sum(hidden for _, hidden in samples) / len(samples),
        "selected": selected,
        "samples": len(samples),
        "tokens": spent,
    }


def _public(problem: Problem, solution: str) -> bool:
    probe = Problem(problem.id, problem.prompt, problem.entry_point, "def check(_):\n    import public\n")
    import subprocess
    import sys

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "solution.py").write_text(solution)
        Path(folder, "check.py").write_text(probe.public_check())
        try:
            done = subprocess.run(
                [sys.executable, "check.py"], cwd=folder, capture_output=True, timeout=20, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=30)
    parser.add_argument("--mind", default="local")
    options = parser.parse_args()
    os.environ["HAL9_MODEL"] = options.mind
    problems = load(options.problems)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = init_home(Path(folder) / "home")
        async with Daemon(home), connect(home.root) as cluster, open_mind(options.mind) as mind:
            for problem in problems:
                found = await through_cluster(cluster, problem, Path(folder))
                found["bare"] = await bare(mind, problem, found["tokens"])
                rows.append(found)
                print(
                    f"{found['id']}: cluster {'pass' if found['passed'] else 'fail'} ({found['calls']} calls, "
                    f"{found['tokens']} tokens), bare {found['bare']}",
                    flush=True,
                )
    count = len(rows)
    one = sum(row["bare"]["greedy"] for row in rows)
    table(
        f"HumanEval, first {count}, {options.mind}",
        ("", "pass@1", "tokens"),
        [
            ("through the cluster", f"{sum(row['passed'] for row in rows)}/{count}", sum(row["tokens"] for row in rows)),
            ("bare, one greedy sample", f"{one}/{count}", ""),
            ("bare, equal tokens, mean", f"{sum(row['bare']['mean'] for row in rows):.1f}/{count}",
             sum(row["bare"]["tokens"] for row in rows)),
            ("bare, equal tokens, selected by the same check",
             f"{sum(row['bare']['selected'] for row in rows)}/{count}", sum(row["bare"]["tokens"] for row in rows)),
        ],
    )  # fmt: skip
    write("humaneval", vars(options), rows, "xllamacpp")


if __name__ == "__main__":
    asyncio.run(main())
