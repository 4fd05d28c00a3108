"""`scripts/bench agent_runs FILES…`: what a memory of agents' runs prevents, mends and says beforehand.

Runs are taken in the order of their instance number within a repository; repositories are interleaved by
position, so that of every repository only earlier runs, and of the others a like share, are known.
"""

import argparse
import re
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import report
from benchmarks.agent_runs.scoring import Score, score
from hal9.ingest import ReadReport, Run, read_runs

_COLUMNS = (
    ("fired", "guard_fired"),
    ("precision", "guard_precision"),
    ("prevented", "guard_prevented"),
    ("harm", "guard_harm"),
    ("remedies", "remedies_given"),
    ("coverage", "remedy_coverage"),
    ("precision", "remedy_precision"),
    ("advice covers", "advice_coverage"),
    ("advice tokens", "advice_tokens_per_run"),
)


def in_order(runs: list[Run]) -> list[Run]:
    """Instance number within a repository, repositories interleaved."""
    by_repository: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_repository[run.repo].append(run)
    placed = []
    for repo, own in by_repository.items():
        own.sort(key=_number)
        placed += [((index + 0.5) / len(own), repo, index, run) for index, run in enumerate(own)]
    return [run for *_, run in sorted(placed, key=lambda one: one[:3])]


def _number(run: Run) -> tuple[int, str]:
    digits = re.findall(r"\d+", run.id)
    return (int(digits[-1]) if digits else 0, run.id)


def _row(name: str, one: Score) -> list[str]:
    figures = one.figures()
    cells = []
    for _, key in _COLUMNS:
        value = figures[key]
        if value is None:
            cells.append("-")
        elif isinstance(value, int):
            cells.append(str(value))
        else:
            cells.append(f"{value:.0f}" if key.endswith("per_run") else f"{value:.2%}")
    return [name, *cells]


def main() -> None:
    """Score and print; one JSON for all arms."""
    parser = argparse.ArgumentParser(prog="scripts/bench agent_runs", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="runs in any format that `hal9 learn` reads")
    parser.add_argument(
        "--known", nargs="*", type=Path, default=[], help="runs that are learned from first and not scored"
    )
    parser.add_argument("--repo", action="append", help="score only these repositories; all are learned from")
    parser.add_argument("--alone", action="store_true", help="each repository knows nothing of the others")
    given = parser.parse_args()
    read, before = ReadReport(), ReadReport()
    known = in_order(list(read_runs(given.known, report=before)))
    runs = in_order(list(read_runs(given.files, report=read)))
    scored = {id(run) for run in runs if not given.repo or run.repo in given.repo}
    started = time.perf_counter()
    if given.alone:
        arms = _alone(known, runs, scored)
    else:
        arms = score([*known, *runs], counted=lambda run: id(run) in scored)
    seconds = time.perf_counter() - started
    columns = ["", *(name for name, _ in _COLUMNS)]
    rows = [_row(*one) for one in arms.items()]
    report.table(f"{len(scored)} of {read.runs} runs, {read.steps} steps", columns, rows)
    for line in arms["hal9"].wrong:
        print("wrong:", line)
    by_repo = {repo: sum(run.repo == repo for run in runs) for repo in sorted({run.repo for run in runs})}
    report.write(
        "agent-runs",
        {
            "files": [one.name for one in given.files],
            "known": len(known),
            "alone": given.alone,
            "repos": by_repo,
        },
        {
            **{name: one.figures() for name, one in arms.items()},
            "kinds": dict(arms["hal9"].kinds),
            "seconds": round(seconds, 2),
        },
    )


def _alone(known: list[Run], runs: list[Run], scored: set[int]) -> dict[str, Score]:
    together: dict[str, Score] = {}
    for repo in sorted({run.repo for run in runs}):
        own = [run for run in (*known, *runs) if run.repo == repo]
        for name, one in score(own, counted=lambda run: id(run) in scored).items():
            total = together.setdefault(name, Score())
            total.counts.update(one.counts)
            total.kinds.update(one.kinds)
            total.wrong += one.wrong
    return together


if __name__ == "__main__":
    main()
