"""`python -m benchmarks.agent_runs.left_out FILES…`: nothing is chosen on the repository that is scored.

How strong evidence must be (the guards' policy) and how probable a remedy must be are chosen from a grid on
all other repositories, by the bars: the most prevented at 97% precision and 0.05% harm, the most remedies at
80%. What is known before a step is, as in the main benchmark, what came earlier; only the numbers are
chosen elsewhere.
"""

import argparse
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.agent_runs.__main__ import in_order
from benchmarks.agent_runs.scoring import share
from hal9.ingest import ReadReport, Run, read_runs
from hal9.learning.runs.error_lines import failed
from hal9.learning.runs.guard_miner import GuardMiner, GuardPolicy
from hal9.learning.runs.remedies import RemedyMiner, Typed, actions_of
from hal9.learning.runs.run_miner import RunMiner, StepReading

POLICIES = [
    GuardPolicy(precision, least, clean, own)
    for precision, least, clean, own in itertools.product((0.9, 0.95, 0.98), (6, 8, 12), (3, 4, 6), (2, 3, 4))
]
LEAST = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
Counted = dict[str, Counter[str]]


def read_all(runs: Sequence[Run]) -> list[tuple[Run, list[StepReading]]]:
    """Every run with its steps' features and failures, which hang on no number."""
    miner = RunMiner()
    return [(run, miner.learn(run)) for run in runs]


def guards(policy: GuardPolicy, read: Sequence[tuple[Run, list[StepReading]]]) -> Counted:
    """What guards with this policy do, per repository."""
    miner, found = GuardMiner(policy), defaultdict[str, Counter[str]](Counter)
    for run, readings in read:
        miner.begin(run.repo)
        counts = found[run.repo]
        for one in readings:
            if not one.step.executed or one.step.exit_code is None:
                continue
            fired = miner.judge(one.features) is not None
            miner.learn(one.features, error=one.failure.line if one.failure else "")
            counts["errors"] += int(one.failure is not None)
            counts["good"] += int(one.step.exit_code == 0)
            counts["fired"] += int(fired)
            counts["right"] += int(fired and one.failure is not None)
            counts["harm"] += int(fired and not failed(one.step))
    return found


def remedies(read: Sequence[tuple[Run, list[StepReading]]]) -> dict[float, Counted]:
    """What remedies do from each probability on, per repository."""
    miner, guard = RemedyMiner(least_probability=min(LEAST)), RunMiner()
    guard.remedies = miner
    found = {least: defaultdict[str, Counter[str]](Counter) for least in LEAST}
    seen = defaultdict[str, set[str]](set)
    for run, readings in read:
        after = _later(run)
        cases = []
        for one in readings:
            case = guard.case(run.repo, one)
            if one.failure is None:
                continue
            recurring = one.failure.signature in seen[run.repo]
            remedy = miner.suggest(case) if case else None
            if case is not None:
                cases.append((one.index, case))
            for least in LEAST:
                counts = found[least][run.repo]
                counts["recurring"] += int(recurring)
                if remedy is not None and remedy.probability >= least:
                    counts["given"] += 1
                    counts["given_recurring"] += int(recurring)
                    counts["helped"] += int(remedy.action in set().union(*after[one.index + 1 :]))
        succeeded = [
            (at, actions_of(step.command))
            for at, step in enumerate(run.steps)
            if step.command and step.executed and step.exit_code == 0
        ]
        for at, case in cases:
            miner.learn(case, [actions for later, actions in succeeded if later > at and actions])
        seen[run.repo] |= {one.failure.signature for one in readings if one.failure}
    return {least: dict(counted) for least, counted in found.items()}


def _later(run: Run) -> list[set[Typed]]:
    return [
        set(actions_of(step.command, all_programs=True)) if step.executed and step.exit_code == 0 else set()
        for step in run.steps
    ]


def left_out(measured: Mapping[Hashable, Counted], kind: str) -> tuple[Counter[str], dict[str, str]]:
    """Counts over all repositories, each with what was best on the others; and what that was."""
    total, chosen = Counter[str](), dict[str, str]()
    for repo in sorted({repo for counted in measured.values() for repo in counted}):
        others = {
            key: sum((one for name, one in counted.items() if name != repo), Counter[str]())
            for key, counted in measured.items()
        }
        best = max(measured, key=lambda key: _worth(others[key], kind))
        chosen[repo] = str(best)
        total += measured[best].get(repo, Counter())
    return total, chosen


def _worth(one: Counter[str], kind: str) -> tuple[bool, float]:
    if kind == "guard":
        fit = one["right"] >= 0.97 * max(one["fired"], 1) and one["harm"] <= 0.0005 * max(one["good"], 1)
        return fit, one["right"] / max(one["errors"], 1) if fit else one["right"] / max(one["fired"], 1)
    fit = one["helped"] >= 0.8 * max(one["given"], 1)
    return fit, one["given_recurring"] / max(one["recurring"], 1) if fit else one["helped"] / max(
        one["given"], 1
    )


def main() -> None:
    """Measure, choose elsewhere, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="runs in any format that `hal9 learn` reads")
    files = parser.parse_args().files
    started = time.perf_counter()
    read = read_all(in_order(list(read_runs(files, report=ReadReport()))))
    by_policy: dict[Hashable, Counted] = {policy: guards(policy, read) for policy in POLICIES}
    guard, policies = left_out(by_policy, "guard")
    by_least: dict[Hashable, Counted] = {**remedies(read)}
    remedy, least = left_out(by_least, "remedy")
    rows = [
        ("guard precision", share(guard["right"], guard["fired"]), f"{guard['right']}/{guard['fired']}"),
        ("prevented", share(guard["right"], guard["errors"]), f"{guard['right']}/{guard['errors']}"),
        ("harm", share(guard["harm"], guard["good"]), f"{guard['harm']}/{guard['good']}"),
        ("remedy coverage", share(remedy["given_recurring"], remedy["recurring"]),
         f"{remedy['given_recurring']}/{remedy['recurring']}"),
        ("remedy precision", share(remedy["helped"], remedy["given"]), f"{remedy['helped']}/{remedy['given']}"),
    ]  # fmt: skip
    report.table(
        "each repository with what was best on the others", ("", "share", "count"),
        [(name, "-" if value is None else f"{value:.2%}", count) for name, value, count in rows],
    )  # fmt: skip
    for repo, policy in policies.items():
        print(f"{repo}: {policy}, remedies from {least.get(repo, '-')}")
    report.write(
        "agent-runs-left-out",
        {"policies": len(POLICIES), "remedies from": list(LEAST)},
        {"guard": dict(guard), "remedy": dict(remedy), "chosen": policies, "least": least,
         "seconds": round(time.perf_counter() - started, 1)},
    )  # fmt: skip


if __name__ == "__main__":
    main()
