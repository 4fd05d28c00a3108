"""Strategies and minds at equal evaluations of one training corpus, judged on repositories none of them saw.

    python -m benchmarks.trainer run --seconds 280            # goes on where it was; repeat until "complete"
    python -m benchmarks.trainer run --minds local --seeds 1  # L1 with a local model
    python -m benchmarks.trainer run --start shaken           # from six parameters put anywhere in their ranges
    python -m benchmarks.trainer table                        # scores validation, prints and writes JSON
    python -m benchmarks.trainer conditional                  # steps that switch on features of query or repository
    python -m benchmarks.trainer left-out --fresh ../flask    # candidates chosen without the repository they are judged on

Every run is resumable, so the measurement may be taken in slices. 50 and 100 evaluations are the first of 300.
"""

import argparse
import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.trainer import conditional, left_out
from hal9.minds import open_mind
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.corpus import localization_corpus
from hal9.trainer.inner.baseline import BaselineSettings, run_baseline
from hal9.trainer.inner.loop import InnerLoop, InnerSettings
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import EvaluationData, compare_on

RUNS = Path(__file__).parents[1] / "results" / "trainer-runs"
STRATEGIES = ("random", "lhs", "tpe", "cmaes", "steps")
POINTS = (50, 100, 300)
_SHAKEN = 6
_SURE = 0.05


def opened(name: str, kind: str, settings: dict[str, Any]) -> RunLog:
    path = RUNS / name / "scratchpad.json"
    return RunLog.load(path) if path.is_file() else RunLog.create(path, kind, settings)


def start_of(args: argparse.Namespace, ground: EvaluationData, seed: int) -> Parameters:
    """Where the runs of a seed begin: the defaults, or the defaults with some parameters put anywhere."""
    if args.start == "defaults":
        return Parameters()
    rng = np.random.default_rng([seed, 53])
    names = [str(name) for name in rng.choice(ground.space.names, _SHAKEN, replace=False)]
    return Parameters({name: PARAMETERS[name].from_unit(float(rng.random())) for name in names})


def prefix(args: argparse.Namespace) -> str:
    return str(args.space) if args.start == "defaults" else f"{args.start}_{args.space}"


def named(args: argparse.Namespace, what: str, seed: int) -> str:
    """A run's folder."""
    plain = what.removeprefix("scripted:benchmarks.trainer.scripts:").replace(":", "_").replace("/", "_")
    return f"{prefix(args)}-{plain}-{seed}"


def evaluations(entries: list[dict[str, Any]]) -> int:
    return 1 + sum(len(entry["trials"]) for entry in entries)


def run(args: argparse.Namespace) -> None:
    ends = time.monotonic() + args.seconds
    ground = EvaluationData(localization_corpus(), args.space)

    def over() -> bool:
        return bool(time.monotonic() > ends)

    complete = True
    for seed in range(args.seeds):
        for spec in args.minds:
            complete &= asyncio.run(mind_run(ground, spec, seed, args, over))
        for strategy in args.strategies:
            name = named(args, strategy, seed)
            pad = opened(name, "strategy", {"strategy": strategy, "seed": seed, "space": args.space})
            if len(pad.entries) < args.budget and not over():
                began = time.monotonic()
                start = start_of(args, ground, seed)
                settings = BaselineSettings(strategy=strategy, budget=args.budget, seed=seed, start=start)
                done = run_baseline(settings, ground.train, ground.space, pad, stop=over)
                print(
                    f"{name}: {done.evaluations} evaluations, {done.score:.4f}, {time.monotonic() - began:.0f} s"
                )
            complete &= len(pad.entries) >= args.budget
            ground.train._known.clear()  # a whole run's evaluations need not stay in memory
    print("complete" if complete else "more slices are needed")


async def mind_run(ground: EvaluationData, spec: str, seed: int, args: argparse.Namespace, over: Any) -> bool:
    name = named(args, spec, seed)
    pad = opened(name, "inner", {"mind": spec, "seed": seed, "space": args.space})
    if evaluations(pad.entries) >= args.budget:
        return True
    if over():
        return False
    # Scripts stand in for small models, so they are asked as these are.
    settings = InnerSettings.for_mind("local" if spec.startswith("scripted:") else spec)
    settings = replace(settings, seed=seed, episodes=10_000, max_evaluations=args.budget, patience=12)
    async with open_mind(spec) as mind:
        gram = shipped_promptgram("l1-ranker-tuner")
        start = start_of(args, ground, seed)
        loop = InnerLoop(mind, gram, ground.train, ground.space, pad, settings, start=start, stop=over)
        done = await loop.run()
    print(
        f"{name}: {done.evaluations} evaluations, {done.score:.4f}, {done.episodes} episodes, {done.reason}"
    )
    return done.evaluations >= int(args.budget)


def until(pad: RunLog, point: int) -> list[dict[str, Any]] | None:
    """The entries of the first `point` evaluations; None while the run is shorter."""
    if pad.kind == "strategy":
        return pad.entries[:point] if len(pad.entries) >= point else None
    for number in range(len(pad.entries)):
        if evaluations(pad.entries[: number + 1]) > point:
            return pad.entries[:number]
    return pad.entries if evaluations(pad.entries) >= point else None


def table(args: argparse.Namespace) -> None:
    ground = EvaluationData(localization_corpus(), args.space)
    figures: dict[str, Any] = {"space": args.space, "size": len(ground.space.names)}
    grouped: dict[str, list[RunLog]] = {}
    for path in sorted(RUNS.glob(f"{prefix(args)}-*/scratchpad.json")):
        grouped.setdefault(path.parent.name.removeprefix(f"{prefix(args)}-").rpartition("-")[0], []).append(
            RunLog.load(path)
        )
    default = {name: ground.split(name).evaluate().score for name in ("train", "validation", "late")}
    figures["default"] = default
    for point in POINTS:
        cells = [f"{default[name]:.4f}" for name in default]
        rows = [["defaults", "", "", *cells, "", "", "", ""]]
        for name, pads in grouped.items():
            row = _row(args, ground, pads, point)
            if row is not None:
                figures.setdefault(str(point), {})[name] = row
                rows.append(_cells(name, row))
        if len(rows) > 1:
            _show(f"{point} evaluations, {prefix(args)}: median NDCG@10", rows)
    path = report.write(
        f"trainer-{prefix(args)}", {"points": POINTS}, figures, "numpy", "scipy", "optuna", "cma"
    )
    print(f"written to {path}")


COLUMNS = (
    *("strategy", "seeds", "start", "train", "validation", "late"),
    *("gain on validation [min, max]", "p < 0.05: better, worse", "s", "tokens"),
)


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    low, high = row["validation_range"]
    sure = [gain for gain, p in zip(row["gains"], row["p"], strict=True) if p < _SURE]
    return [
        name,
        str(row["seeds"]),
        *(f"{row[key]:.4f}" for key in ("start", "train", "validation", "late")),
        f"{row['gain']:+.4f} [{low:+.4f}, {high:+.4f}]",
        f"{sum(gain > 0 for gain in sure)}, {sum(gain < 0 for gain in sure)}",
        f"{row['seconds']:.0f}",
        str(row["tokens"] or ""),
    ]


def _show(title: str, rows: list[list[str]]) -> None:
    """A table as the README has it: a terminal is too narrow for ten columns with frames."""
    print(f"\n{title}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _row(
    args: argparse.Namespace, ground: EvaluationData, pads: list[RunLog], point: int
) -> dict[str, Any] | None:
    long = [(pad, entries) for pad in pads if (entries := until(pad, point)) is not None]
    if not long:
        return None
    used = [entries for _, entries in long]
    starts = [start_of(args, ground, int(pad.settings["seed"])) for pad, _ in long]
    found = [
        Parameters(entries[-1]["params"]) if entries else start
        for entries, start in zip(used, starts, strict=True)
    ]
    cells = [
        compare_on(ground.split("validation"), best, start) for best, start in zip(found, starts, strict=True)
    ]
    medians = {
        split: float(np.median([ground.split(split).evaluate(best).score for best in found]))
        for split in ("train", "validation", "late")
    }
    gains = [cell["gain"] for cell in cells]
    tokens = [
        sum(e["usage"]["prompt_tokens"] + e["usage"]["completion_tokens"] for e in u if "usage" in e)
        for u in used
    ]
    return {
        **medians,
        "start": float(np.median([ground.train.evaluate(start).score for start in starts])),
        "seeds": len(found),
        "gain": float(np.median(gains)),
        "gains": gains,
        "validation_range": [min(gains), max(gains)],
        "intervals": [cell["interval"] for cell in cells],
        "p": [cell["p"] for cell in cells],
        "seconds": float(np.median([sum(e["duration_secs"] for e in u) for u in used])),
        "tokens": int(np.median(tokens)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--seconds", type=float, default=280.0)
    one.add_argument("--seeds", type=int, default=5)
    one.add_argument("--budget", type=int, default=300)
    one.add_argument("--space", default="weights")
    one.add_argument("--strategies", nargs="*", default=[])
    one.add_argument("--minds", nargs="*", default=[])
    one.set_defaults(do=run)
    two = commands.add_parser("table")
    two.add_argument("--space", default="weights")
    two.set_defaults(do=table)
    for command in (one, two):
        command.add_argument("--start", choices=("defaults", "shaken"), default="defaults")
    three = commands.add_parser("conditional")
    three.set_defaults(do=lambda _: conditional.main())
    four = commands.add_parser("left-out")
    four.add_argument("--candidates", type=int, default=100)
    four.add_argument("--fresh", type=Path, nargs="*", default=[])
    four.add_argument("--limit", type=int, default=100)
    four.set_defaults(do=lambda given: left_out.run(given.candidates, given.fresh, given.limit))
    args = parser.parse_args()
    if args.do is run and not args.strategies and not args.minds:
        args.strategies = list(STRATEGIES)
    args.do(args)


if __name__ == "__main__":
    main()
