"""Learns guards, remedies and advice from agents' runs, all over the same reading of each step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hal9.ingest import Run, RunStep
from hal9.learning.runs.advice import AdviceMiner, Cause
from hal9.learning.runs.error_lines import error_line, error_signature
from hal9.learning.runs.features import Feature, command_features
from hal9.learning.runs.guard_miner import ExpectedFailure, GuardMiner
from hal9.learning.runs.remedies import Case, RemedyMiner, actions_of
from hal9.learning.runs.run_state import RunState

__all__ = ["Failure", "RunMiner", "StepReading", "cause_of"]

_CONTEXT = frozenset({"word", "test-target", "flag"})
"""Kinds that an error names by the way: they explain a failure only where nothing else does."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed step whose output names an error."""

    line: str
    signature: str
    blamed: tuple[Feature, ...]
    cause: Cause


@dataclass(frozen=True, slots=True)
class StepReading:
    """One step as the miner saw it, before and after it was done.

    Attributes:
        index: its place in the run, from 0.
        step: the step.
        features: what could be said of it before.
        expected: the failure that was foretold, from earlier steps and runs only.
        failure: what went wrong.
    """

    index: int
    step: RunStep
    features: tuple[Feature, ...]
    expected: ExpectedFailure | None
    failure: Failure | None


def cause_of(signature: str, blamed: Iterable[Feature]) -> Cause:
    """The name under which failures are counted: the feature that is to blame, else the error's signature."""
    for one in blamed:
        if one.kind not in _CONTEXT:
            return one.kind, one.value
    return "error", signature


@dataclass(slots=True)
class RunMiner:
    """The three miners, in the right order: a step is judged before its outcome is learned."""

    guards: GuardMiner = field(default_factory=GuardMiner)
    remedies: RemedyMiner = field(default_factory=RemedyMiner)
    advice: AdviceMiner = field(default_factory=AdviceMiner)

    def read(self, run: Run) -> Iterator[StepReading]:
        """Go through a run; what it teaches about remedies and advice is learned when it is exhausted."""
        self.guards.begin(run.repo)
        state = RunState(root=run.root)
        cases: list[tuple[int, Case]] = []
        failures: list[Failure] = []
        for index, step in enumerate(run.steps):
            if index not in run.known_steps:
                features = command_features(step.command, state) if step.command else ()
                reading = self._read(index, step, features)
                yield reading
                if reading.failure is not None:
                    failures.append(reading.failure)
                    case = self.case(run.repo, reading)
                    if case is not None:
                        cases.append((index, case))
            if step.command:
                state.after(step.command, executed=step.executed, exit_code=step.exit_code)
            elif step.path and step.executed:
                state.wrote(step.path, step.text or None)
        self._finish(run, cases, failures)

    def learn(self, run: Run) -> list[StepReading]:
        """Go through a whole run."""
        return list(self.read(run))

    def case(self, repo: str, reading: StepReading) -> Case | None:
        """A failed step as the remedies know it."""
        if reading.failure is None:
            return None
        named = sorted(reading.failure.blamed, key=lambda one: one.kind in _CONTEXT)
        return self.remedies.case(repo, reading.step.command, reading.failure.signature, named)

    def _read(self, index: int, step: RunStep, features: tuple[Feature, ...]) -> StepReading:
        if not step.executed or step.exit_code is None:
            return StepReading(index, step, features, None, None)
        expected = self.guards.judge(features)
        line = error_line(step)
        failure = None
        if line:
            blamed = tuple(
                one for one in features if one.subjects and one.kind != "repeated" and one.blamed_by(line)
            )
            signature = error_signature(line)
            failure = Failure(line, signature, blamed, cause_of(signature, blamed))
        self.guards.learn(features, error=line)
        return StepReading(index, step, features, expected, failure)

    def _finish(self, run: Run, cases: list[tuple[int, Case]], failures: list[Failure]) -> None:
        succeeded = [
            (index, actions_of(step.command))
            for index, step in enumerate(run.steps)
            if step.command and step.executed and step.exit_code == 0
        ]
        helped: dict[Cause, str] = {}
        for index, case in cases:
            self.remedies.learn(case, [actions for after, actions in succeeded if after > index and actions])
        for one in failures:
            helped.setdefault(one.cause, "")
        self.advice.learn(run.repo, [(one.cause, one.line, helped[one.cause]) for one in failures])
