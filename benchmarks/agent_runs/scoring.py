"""Scores guards, remedies and advice on runs in order; before each step only what came earlier is known.

The definitions, once:

- A step *failed* when it was run and its exit code is not 0; failures *with an error line* are those whose
output
  names an error (`hal9.learning.runs.error_lines`). A *good* step ended with exit code 0.
- *Guard*: fires before a step or not. Precision: share of firings whose step failed with an error line.
Prevented:
  share of failures with an error line on which it fired. Harm: share of good steps on which it fired.
- A failure is *recurring* when its error signature stood in an earlier run of the same repository.
- *Remedy*: right when a later step of the same run holds the same program with the same main argument and
exit
  code 0. Coverage: share of recurring failures for which one is given; precision over all that are given.
- *Advice*: at most three causes before the first step. Worth: share of recurring failures of which they
speak.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.agent_runs.baselines import (
    AllRules,
    ExactText,
    GuardBaseline,
    PlainGuard,
    RemedyBaseline,
    SimilarRules,
)
from hal9.ingest import Run
from hal9.learning.runs.error_lines import failed
from hal9.learning.runs.remedies import Typed, actions_of
from hal9.learning.runs.run_miner import RunMiner, StepReading

__all__ = ["Score", "score", "share"]


@dataclass(slots=True)
class Score:
    """Counts of one arm; shares are computed from them."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float | int | None]:
        """Shares; None where there is nothing to divide by."""
        one = self.counts
        return {
            "steps": one["steps"],
            "failing": one["failing"],
            "failing_with_error_line": one["errors"],
            "guard_fired": one["fired"],
            "guard_right": one["right"],
            "guard_precision": share(one["right"], one["fired"]),
            "guard_precision_exit_code": share(one["right"] + one["failed_otherwise"], one["fired"]),
            "guard_prevented": share(one["right"], one["errors"]),
            "guard_harm": share(one["harm"], one["good"]),
            "recurring": one["recurring"],
            "remedies_given": one["given"],
            "remedy_coverage": share(one["given_recurring"], one["recurring"]),
            "remedy_precision": share(one["helped"], one["given"]),
            "advice_coverage": share(one["advised"], one["recurring"]),
            "advice_tokens_per_run": share(one["advice_chars"] // 4, one["runs"]),
        }


def share(part: int, whole: int) -> float | None:
    """A share rounded to five places; None of nothing."""
    return round(part / whole, 5) if whole else None


def score(runs: Sequence[Run], *, counted: Callable[[Run], bool] = lambda run: True) -> dict[str, Score]:
    """Every arm over the same runs, in the order given.

    Args:
        runs: in order; earlier ones are known when a later one is scored.
        counted: which runs' steps count; all are learned from.
    """
    arms = {
        name: Score()
        for name in ("nothing", "plain guard", "all rules", "top-3 similar", "exact text", "hal9")
    }
    guards: dict[str, GuardBaseline] = {"plain guard": PlainGuard()}
    remedies: dict[str, RemedyBaseline] = {
        "all rules": AllRules(),
        "top-3 similar": SimilarRules(limit=3),
        "exact text": ExactText(),
    }
    miner, seen = RunMiner(), defaultdict[str, set[str]](set)
    for run in runs:
        use = counted(run)
        advised = {one.cause: one.text for one in miner.advice.advise(run.repo)}
        readings = []
        later = _successes(run)
        for reading in miner.read(run):
            readings.append(reading)
            if use:
                for name, arm in arms.items():
                    _count(arm, reading, recurring=_recurs(reading, seen[run.repo]))
                    if name in guards:
                        _fired(arm, run, reading, guards[name].fires(run.repo, reading))
                _fired(arms["hal9"], run, reading, reading.expected is not None)
                _remedies(arms, remedies, miner, run, reading, seen[run.repo], later)
                _advice(arms["hal9"], reading, seen[run.repo], advised)
        if use:
            for arm in arms.values():
                arm.counts["runs"] += 1
            arms["hal9"].counts["advice_chars"] += sum(map(len, advised.values()))
            for name in ("all rules", "top-3 similar"):
                known = remedies[name].advice(run)
                arms[name].counts["advice_chars"] += sum(map(len, known))
                for reading in readings:
                    if _recurs(reading, seen[run.repo]) and reading.failure is not None:
                        arms[name].counts["advised"] += int(reading.failure.signature in known)
        for guard in guards.values():
            guard.learn(run, readings)
        for remedy in remedies.values():
            remedy.learn(run, readings)
        seen[run.repo] |= {one.failure.signature for one in readings if one.failure}
    return arms


def _recurs(reading: StepReading, seen: set[str]) -> bool:
    return reading.failure is not None and reading.failure.signature in seen


def _successes(run: Run) -> list[set[Typed]]:
    return [
        set(actions_of(step.command, all_programs=True)) if step.executed and step.exit_code == 0 else set()
        for step in run.steps
    ]


def _count(arm: Score, reading: StepReading, *, recurring: bool) -> None:
    arm.counts["steps"] += 1
    arm.counts["failing"] += int(failed(reading.step))
    arm.counts["errors"] += int(reading.failure is not None)
    arm.counts["good"] += int(reading.step.executed and reading.step.exit_code == 0)
    arm.counts["recurring"] += int(recurring)


def _fired(arm: Score, run: Run, reading: StepReading, fired: bool) -> None:
    if not fired:
        return
    arm.counts["fired"] += 1
    arm.counts["right"] += int(reading.failure is not None)
    arm.counts["failed_otherwise"] += int(reading.failure is None and failed(reading.step))
    arm.counts["harm"] += int(not failed(reading.step))
    kind = reading.expected.feature.kind if reading.expected else "program"
    arm.kinds[kind] += 1
    if reading.failure is None:
        arm.wrong.append(f"{run.id} step {reading.index}: {kind}: {reading.step.command[:80]!r}")


def _remedies(
    arms: dict[str, Score],
    baselines: dict[str, RemedyBaseline],
    miner: RunMiner,
    run: Run,
    reading: StepReading,
    seen: set[str],
    later: Sequence[set[Typed]],
) -> None:
    if reading.failure is None:
        return
    recurring = reading.failure.signature in seen
    after: set[Typed] = set().union(*later[reading.index + 1 :])
    case = miner.case(run.repo, reading)
    suggested = miner.remedies.suggest(case) if case else None
    given: dict[str, Iterable[Typed]] = {name: one.remedies(run, reading) for name, one in baselines.items()}
    given["hal9"] = [suggested.action] if suggested else []
    for name, actions in given.items():
        told = list(actions)
        arms[name].counts["given"] += len(told)
        arms[name].counts["helped"] += sum(action in after for action in told)
        arms[name].counts["given_recurring"] += int(bool(told) and recurring)


def _advice(arm: Score, reading: StepReading, seen: set[str], advised: dict[tuple[str, ...], str]) -> None:
    if reading.failure is None or reading.failure.signature not in seen:
        return
    told = reading.failure.cause in advised or ("error", reading.failure.signature) in advised
    arm.counts["advised"] += int(told)
