"""Who repairs what, with a perfect model or with a local one, for how many tokens and calls.

    python -m benchmarks.repair oracle --sources DIR --tests PYTHON [--mini PROGRAM] [--aider PROGRAM]
    python -m benchmarks.repair faults --sources DIR --tests PYTHON … [--budget TOKENS]
    python -m benchmarks.repair quixbugs --mirror GIT --tests PYTHON … [--budget TOKENS]

`oracle`: the seeded faults and the perfect model. `faults`, `quixbugs`: the seeded faults, or the programs of
jkoppel/QuixBugs (a clone or bare copy of it), and a local model; every arm has the same tokens. What was measured
is kept case by case and arm by arm, and a later run goes on from there; `--go-on SECONDS` begins no case after that.
"""

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.repair.agents import ARMS, Bench, run_arm
from benchmarks.repair.cases import Case, of_fault, of_quixbugs, quixbugs_programs
from benchmarks.repair.faults import FAULTS
from benchmarks.repair.meter import Meter, local_model
from benchmarks.repair.oracle import Oracle, Usage
from benchmarks.repair.seed import checkout, fetch, line_of
from benchmarks.repair.serving import serve

RESULTS = Path(__file__).parents[1] / "results"


def cases_of(options: argparse.Namespace) -> list[Case]:
    """The cases that were asked for, in a seeded order."""
    if options.set == "quixbugs":
        names = quixbugs_programs(options.mirror)
        random.Random(options.seed).shuffle(names)
        cases = [of_quixbugs(name, options.mirror, options.tests) for name in names]
    else:
        fetch(options.sources)
        faults = list(FAULTS)
        if options.set == "faults":
            random.Random(options.seed).shuffle(faults)
        cases = [of_fault(fault, options.sources, options.tests) for fault in faults]
    return [case for case in cases if not options.only or case.name in options.only][: options.most]


def measure(arm: str, case: Case, bench: Bench) -> dict[str, Any]:
    """Let one agent try one case; whether it is repaired, and what the agent said when it gave up."""
    scratch = Path(tempfile.mkdtemp(prefix="hal9-repair-"))
    folder = scratch / "work"
    try:
        case.prepare(folder)
        began = time.monotonic()
        said = run_arm(arm, case, folder, bench)
        seconds = time.monotonic() - began
        return {"solved": case.repaired(folder), "said": said[-600:], "seconds": round(seconds, 1)}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def lines_of(options: argparse.Namespace) -> dict[str, int]:
    """Where each wrong line stands."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="hal9-repair-") as scratch:
        for fault in FAULTS:
            if not options.only or fault.name in options.only:
                checkout(fault, options.sources, Path(scratch) / fault.name)
                found[fault.name] = line_of(fault, Path(scratch) / fault.name)
    return found


def shown(kept: dict[str, Any], arms: Iterable[str]) -> None:
    """One line per arm."""
    for arm in arms:
        rows = kept.get(arm, {})
        total = {
            key: sum(row[key] for row in rows.values())
            for key in ("solved", "calls", "prompt_tokens", "completion_tokens")
        }
        print(f"{arm}: {total['solved']} of {len(rows)}; {total}", flush=True)
        print("  not:", [name for name, row in rows.items() if not row["solved"]], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=["oracle", "faults", "quixbugs"])
    parser.add_argument("--sources", type=Path, help="where the packages' source releases are, or go")
    parser.add_argument("--mirror", type=Path, help="a git directory of jkoppel/QuixBugs")
    parser.add_argument(
        "--tests", type=Path, required=True, help="Python with pytest, freezegun, humanize's metadata"
    )
    parser.add_argument("--mini", type=Path)
    parser.add_argument("--aider", type=Path)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--most", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="of the order of cases")
    parser.add_argument("--model", default="qwen2.5-coder-1.5b")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=int, default=8_000, help="tokens for one case, prompts and replies")
    parser.add_argument(
        "--seconds", type=float, default=300, help="most for one case; not counted when reached"
    )
    parser.add_argument("--go-on", type=float, default=1e9)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    keep: Path = options.keep or RESULTS / f"repair-{options.set}.json"
    kept: dict[str, Any] = json.loads(keep.read_text()) if keep.exists() else {}
    programs = {"mini-swe-agent": options.mini, "aider": options.aider, "aider-whole": options.aider}
    if options.set == "oracle":  # the perfect model writes no whole files
        options.arms = [arm for arm in options.arms if arm != "aider-whole"]
    arms = [arm for arm in options.arms if arm.startswith("hal9") or programs[arm]]
    began = time.monotonic()
    with ExitStack() as stack:
        cases = cases_of(options)
        meter: Meter | None = None
        if options.set == "oracle":
            oracle = Oracle(lines_of(options))
            url, model = stack.enter_context(serve(oracle.reply, "oracle")), "oracle"
        else:
            meter = stack.enter_context(
                local_model(options.model, budget=options.budget, threads=options.threads)
            )
            url, model = meter.url, options.model
        peers = {"mini-swe-agent": options.mini, "aider": options.aider}
        bench = Bench(
            url=url,
            model=model,
            python=options.tests,
            programs=peers,
            seconds=options.seconds,
            tell_check=meter is not None,
        )
        for case in cases:
            for arm in arms:
                if case.name in kept.get(arm, {}) or time.monotonic() - began > options.go_on:
                    continue
                if meter is not None:
                    meter.begin()
                else:
                    oracle.usage.pop(case.name, None)
                try:
                    row = measure(arm, case, bench)
                except TimeoutError as error:
                    print(arm, case.name, "not counted:", error, flush=True)
                    continue
                usage = meter.usage if meter is not None else oracle.usage.get(case.name, Usage())
                row |= asdict(usage) | ({"budget_used_up": meter.spent_up} if meter is not None else {})
                kept.setdefault(arm, {})[case.name] = row
                print(arm, case.name, json.dumps(row), flush=True)
                keep.parent.mkdir(exist_ok=True)
                keep.write_text(json.dumps(kept, indent=1) + "\n")
    shown(kept, arms)


main()
