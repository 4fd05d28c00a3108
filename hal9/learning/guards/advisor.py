"""What to say to an action before it is done: people's guards, and failures that earlier runs foretell."""

import threading
from dataclasses import dataclass, field
from typing import Literal

from hal9.ingest import RunStep
from hal9.learning.guards.advised import Advised, Effect
from hal9.learning.guards.guard_store import GuardStore, StoredGuard
from hal9.learning.guards.predicate import rewritten
from hal9.learning.runs.error_lines import error_line, error_signature
from hal9.learning.runs.features import Feature, command_features
from hal9.learning.runs.guard_miner import ExpectedFailure, RunMemory
from hal9.learning.runs.run_miner import RunMiner
from hal9.learning.runs.run_state import RunState
from hal9.learning.runs.run_store import RunStore
from hal9.memory import MemoryStore
from hal9.tools.action import Action

__all__ = ["ActionAdvisor", "Advised", "RunWatch"]

_STRENGTH: dict[Effect, int] = {"allow": 0, "remind": 1, "rewrite": 2, "refuse": 3}


@dataclass(slots=True)
class RunWatch:
    """One run that is going on: its files, and what was refused in it already.

    Attributes:
        repo: the repository's identity.
        state: its files.
        memory: what it has shown so far.
        warned: sources and features that were held up once; doing the same again goes through.
    """

    repo: str
    state: RunState
    warned: set[str]
    memory: RunMemory = field(default_factory=RunMemory)

    @classmethod
    def begin(cls, repo: str, state: RunState) -> "RunWatch":
        """A run begins."""
        return cls(repo, state, set())


class ActionAdvisor:
    """Judges actions and learns how they ended. Safe for threads: one at a time."""

    def __init__(
        self, store: MemoryStore, *, effect: Literal["off", "remind", "require-once"] = "require-once"
    ) -> None:
        self.guards = GuardStore(store)
        self.runs = RunStore(store)
        self.effect = effect
        self._lock = threading.Lock()

    def before(self, action: Action, watch: RunWatch) -> Advised:
        """What to do about an action; counts the firing of a guard."""
        with self._lock:
            self.runs.refresh()
            features = command_features(action.text, watch.state) if action.kind == "command" else ()
            best = Advised(features=features)
            for one in self.guards.firing([watch.repo], action):
                found = self._of_guard(one, action, watch, features)
                if _STRENGTH[found.effect] > _STRENGTH[best.effect]:
                    best = found
            if best.effect != "refuse" and self.effect != "off":
                self._miner().guards.begin(watch.repo, watch.memory)
                expected = self._miner().guards.judge(features)
                if expected is not None:
                    found = self._of_runs(expected, action, watch, features)
                    if _STRENGTH[found.effect] > _STRENGTH[best.effect]:
                        best = found
            return best

    def after(
        self, action: Action, watch: RunWatch, advised: Advised, *, exit_code: int | None, output: str
    ) -> None:
        """An action was carried out: learn from it, and count what became of the guard that fired."""
        with self._lock:
            if action.kind != "command":
                for path in action.paths if action.kind in ("write", "edit") else ():
                    watch.state.wrote(path, action.text if action.kind == "write" else None)
                return
            line = error_line(RunStep(command=action.text, exit_code=exit_code, output=output))
            miner = self._miner().guards
            miner.begin(watch.repo, watch.memory)
            with self.runs.store.writing():  # read, counted and written at once: other processes learn too
                self.runs.refresh()
                miner.learn(advised.features, error=line)
                self.runs.save()
            watch.state.after(action.text, executed=True, exit_code=exit_code)
            if advised.source.startswith("guard:"):
                number = int(advised.source.split(":")[1])
                wrong = advised.effect == "allow" and exit_code == 0
                self.guards.count(number, overridden=1, wrong=int(wrong))

    def features(self, action: Action, watch: RunWatch) -> tuple[Feature, ...]:
        """What can be said about an action."""
        return command_features(action.text, watch.state) if action.kind == "command" else ()

    def advice(self, repo: str, *, limit: int = 3) -> list[str]:
        """What to know before the first step."""
        with self._lock:
            self.runs.refresh()
            return [one.text for one in self._miner().advice.advise(repo, limit=limit, least_runs=2)]

    def remedy(self, repo: str, command: str, *, exit_code: int | None, output: str) -> str:
        """What helped after an error like this one; "" when nothing is known to."""
        with self._lock:
            self.runs.refresh()
            line = error_line(RunStep(command=command, exit_code=exit_code, output=output))
            if not line:
                return ""
            case = self._miner().remedies.case(repo, command, error_signature(line), ())
            found = self._miner().remedies.suggest(case) if case else None
            return "" if found is None else f"{found.text} (helped in {found.probability:.0%} of such cases)"

    def _miner(self) -> RunMiner:
        return self.runs.miner

    def _of_guard(
        self, one: StoredGuard, action: Action, watch: RunWatch, features: tuple[Feature, ...]
    ) -> Advised:
        source = f"guard:{one.id}"
        effect: Effect = "remind"
        changed = None
        if one.state == "holds":
            changed = rewritten(one.guard, action)
            known = {
                "require": "refuse",
                "require-once": "refuse",
                "rewrite": "rewrite" if changed else "allow",
            }
            effect = known.get(one.guard.effect, "remind")  # type: ignore[assignment] # words of Effect
        again = source in watch.warned
        if one.guard.effect == "require-once" and again and effect == "refuse":
            return Advised(effect="allow", source=source, features=features)
        watch.warned.add(source)
        self.guards.count(one.id, fired=1, heeded=int(effect in ("refuse", "rewrite")))
        return Advised(effect=effect, reason=one.guard.say, source=source, action=changed, features=features)

    def _of_runs(
        self, expected: ExpectedFailure, action: Action, watch: RunWatch, features: tuple[Feature, ...]
    ) -> Advised:
        one = expected.feature
        source = f"runs:{one.kind}"
        mark = f"{source}:{one.value}"
        if mark in watch.warned:
            return Advised(effect="allow", source=source, features=features)
        watch.warned.add(mark)
        effect: Effect = "refuse" if self.effect == "require-once" else "remind"
        return Advised(
            effect=effect, reason=self._told(expected, action, watch), source=source, features=features
        )

    def _told(self, expected: ExpectedFailure, action: Action, watch: RunWatch) -> str:
        one, evidence = expected.feature, expected.evidence
        subjects = ", ".join(subject for subject in one.subjects[:3] if subject)
        seen = (
            f"{evidence.blamed} earlier runs failed on it here"
            if evidence.blamed
            else (f"such steps failed in {expected.precision:.0%} of {expected.cases} cases")
        )
        said = (
            f"This is expected to fail ({one.kind}: {one.value}{f': {subjects}' if subjects else ''}): {seen}"
        )
        if evidence.lines:
            said += f", with: {evidence.lines[-1][:200]}"
        line = evidence.lines[-1] if evidence.lines else ""
        case = (
            self._miner().remedies.case(watch.repo, action.text, error_signature(line), [one])
            if line
            else None
        )
        remedy = self._miner().remedies.suggest(case) if case else None
        if remedy is not None and case is not None and remedy.action != case.action:
            said += f". What helped: {remedy.text}"
        return said + ". Nothing was run; do it again to insist."
