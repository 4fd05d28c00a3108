"""What both topologies share: how a promptgram is measured, and how L2 is asked for a better one.

Promptgrams are compared from the same start parameters, seed by seed. The score of one seed is the final
NDCG@10 on the training split after an inner run of K episodes under the promptgram.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hal9.clock import Clock, SystemClock
from hal9.errors.base import LimitError, MindError
from hal9.errors.promptgram import EditError
from hal9.errors.trainer import ScratchpadInvalid
from hal9.minds.protocol import Message, Mind, Request, Usage
from hal9.promptgram import MUTABLE_SECTIONS, Edit, Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.trainer.inner.asking import HOPELESS, Stopped, think_unless
from hal9.trainer.inner.loop import InnerLoop, InnerResult, InnerSettings, Listener
from hal9.trainer.outer.promptgrams import PromptRegistry, Shelved
from hal9.trainer.outer.prompting import Measured, OuterSight, outer_prompt, solved_edit
from hal9.trainer.protocol import outer_schema, protocol, shipped_promptgram
from hal9.trainer.record.changes import RunLedger
from hal9.trainer.record.run_log import RunLog, write_json
from hal9.trainer.record.runs import EvaluationData

__all__ = ["BudgetSpent", "Measured", "OuterContext", "Proposal"]


class BudgetSpent(Exception):
    """A budget, or the user, ended the run inside an inner run."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Proposal:
    """L2's answer: the child it makes, or why there is none."""

    answer: dict[str, Any]
    child: Promptgram | None
    problem: str
    usage: Usage


@dataclass(slots=True)
class OuterContext:
    """Measures promptgrams and asks L2; every step can be repeated after a crash and finds its own traces.

    Attributes:
        inner_mind, outer_mind: opened by the caller.
        folder: the outer run's folder.
        repeats: inner runs (seeds) per promptgram.
        asking: how L2 is asked (temperature, tokens, time); None is as L1 is.
        ledger: where edits, and the best parameters met, are written as changes.
    """

    ground: EvaluationData
    inner_mind: Mind
    outer_mind: Mind
    folder: Path
    shelf: PromptRegistry
    settings: InnerSettings
    repeats: int = 2
    listener: Listener | None = None
    clock: Clock = field(default_factory=SystemClock)
    stop: Callable[[], bool] = lambda: False
    task_id: str = "ripmap-train-outer"
    outer_promptgram: Promptgram | None = None
    asking: InnerSettings | None = None
    ledger: RunLedger | None = None
    usage: Usage = field(default_factory=lambda: Usage(calls=0))

    @property
    def seeds(self) -> tuple[str, ...]:
        """The items on which promptgrams are compared."""
        return tuple(f"seed-{number}" for number in range(self.repeats))

    async def measure(
        self, prompt: Shelved, start: Parameters, seeds: Sequence[str] | None = None
    ) -> Measured:
        """Run, or finish, the inner runs of a promptgram from a start.

        Raises:
            BudgetSpent: a budget ended before the runs did; what is done stays done.
        """
        step = self._step_folder(prompt, start)
        results: dict[str, tuple[InnerResult, RunLog]] = {}
        for seed in seeds or self.seeds:
            pad_path = step / seed / "scratchpad.json"
            settings = replace(self.settings, seed=self.settings.seed + int(seed.rpartition("-")[2]))
            pad = (
                RunLog.load(pad_path)
                if pad_path.is_file()
                else RunLog.create(
                    pad_path,
                    "inner",
                    {"mind": self.inner_mind.name, "prompt": prompt.name, **settings.to_json()},
                )
            )
            before = sum((Usage(**entry["usage"]) for entry in pad.entries), Usage(calls=0))
            loop = InnerLoop(
                self.inner_mind, prompt.promptgram, self.ground.train, self.ground.space, pad, settings,
                start=start, listener=self.listener, clock=self.clock, stop=self.stop, task_id=self.task_id,
            )  # fmt: skip
            done = await loop.run()
            if done.reason in ("budget", "cancelled"):
                raise BudgetSpent(done.reason, done.detail)
            self.usage += replace(
                done.usage,
                prompt_tokens=done.usage.prompt_tokens - before.prompt_tokens,
                completion_tokens=done.usage.completion_tokens - before.completion_tokens,
                seconds=done.usage.seconds - before.seconds,
                calls=done.usage.calls - before.calls,
            )
            results[seed] = (done, pad)
        return _measured(step.name, prompt.name, results)

    def _step_folder(self, prompt: Shelved, start: Parameters) -> Path:
        """The folder of this promptgram from this start; a new number when there is none."""
        runs = self.folder / "inner_runs"
        facts = {"prompt": prompt.name, "hash": prompt.hash, "start": start.changes()}
        known = sorted(runs.glob("step_*/step.json")) if runs.is_dir() else []
        for path in known:
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ScratchpadInvalid(path=str(path), detail=str(error)) from error
            if found == facts:
                return path.parent
        folder = runs / f"step_{len(known) + 1:03d}"
        write_json(folder / "step.json", facts)
        return folder

    async def propose(
        self,
        parent: Shelved,
        measured: Measured,
        history: Sequence[Mapping[str, Any]],
        *,
        seed: int,
        mode: str = "exploit",
        need: Mapping[str, float] | None = None,
    ) -> Proposal:
        """Ask L2 for edits of a promptgram; an edit that does not apply makes the proposal an error.

        The answer is written down under `seed`; after a crash it is read instead of asked for again, so that
        the inner runs made under it are found.

        Raises:
            BudgetSpent: the budget refused the call.
        """
        path = self.folder / "inner_runs" / f"proposal_{seed:03d}.json"
        kept = _written_proposal(path, parent)
        if kept is not None:
            return kept
        seen = OuterSight(
            parent=parent,
            measured=measured,
            names=self.ground.space.names,
            history=history,
            mode=mode,
            need=need or {},
        )
        made = await self._ask(seen, seed)
        facts = {"parent": parent.hash, "answer": made.answer, "problem": made.problem}
        write_json(path, {**facts, "usage": asdict(made.usage)})
        return made

    async def _ask(self, seen: OuterSight, seed: int) -> Proposal:
        parent = seen.parent
        asking = self.asking or self.settings
        spent, refused = Usage(calls=0), ""
        answer: dict[str, Any] = {}
        for attempt in range(1 + asking.repairs):
            text = outer_prompt(replace(seen, refused=refused), brief=asking.brief)
            try:
                request = self._request(parent, text, seed * 101 + attempt)
                reply = await think_unless(self.outer_mind, request, self.stop)
            except Stopped as error:
                raise BudgetSpent("cancelled") from error
            except HOPELESS:
                raise
            except LimitError as error:
                raise BudgetSpent("budget", str(error)) from error
            except MindError as error:
                return Proposal(answer, None, refused or str(error), spent)
            spent += reply.usage
            self.usage += reply.usage
            answer = dict(reply.parsed)
            try:
                return Proposal(answer, apply_edits(parent.promptgram, answer["edits"]), "", spent)
            except EditError as error:
                refused = f"an edit does not apply: {error}"
        return Proposal(answer, None, refused, spent)

    def _request(self, parent: Shelved, text: str, seed: int) -> Request:
        asking = self.asking or self.settings
        gram = self.outer_promptgram or shipped_promptgram("l2-prompt-evolver")
        schema = outer_schema()
        if asking.brief:
            items = {name: parent.promptgram.items(name) for name in MUTABLE_SECTIONS}
            schema = outer_schema(items, brief=True)
        return Request(
            (
                Message("system", gram.render(protocol=protocol("outer"))),
                *(solved_edit() if asking.brief else ()),
                Message("user", text),
            ),
            schema=schema,
            temperature=asking.temperature,
            max_tokens=asking.max_tokens,
            seed=self.settings.seed * 7919 + seed,
            timeout_seconds=asking.timeout_seconds,
            repairs=asking.repairs,
            metadata={"task_id": self.task_id},
        )


def _written_proposal(path: Path, parent: Shelved) -> Proposal | None:
    """A proposal that was made before a crash for the same promptgram."""
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["parent"] != parent.hash:
        return None
    child = None if found["problem"] else apply_edits(parent.promptgram, found["answer"]["edits"])
    return Proposal(found["answer"], child, found["problem"], Usage(**found["usage"]))


def apply_edits(promptgram: Promptgram, edits: Sequence[Mapping[str, Any]]) -> Promptgram:
    """All edits in order, or none.

    Raises:
        EditError: one of them does not apply; says why.
    """
    for edit in edits:
        promptgram = promptgram.apply(Edit.from_dict(edit))
    return promptgram


def _measured(step: str, prompt: str, results: Mapping[str, tuple[InnerResult, RunLog]]) -> Measured:
    entries = [entry for _, pad in results.values() for entry in pad.entries]
    touched = Counter(name for entry in entries for name in entry["proposed_changes"])
    detections = Counter(name for entry in entries for name in entry["detections"])
    needs = dict.fromkeys(text for entry in entries for text in entry["structural_insights"])
    sure = [entry["confidence"] for entry in entries if entry["confidence"] is not None]
    return Measured(
        step,
        prompt,
        {seed: done.score for seed, (done, _) in results.items()},
        {seed: done.start_score for seed, (done, _) in results.items()},
        {seed: done.best.changes() for seed, (done, _) in results.items()},
        dict(touched),
        dict(detections),
        tuple(needs)[:5],
        {seed: pad.entries[-1]["failing"] if pad.entries else 0 for seed, (_, pad) in results.items()},
        float(np.mean(sure)) if sure else None,
        sum(entry["kept"] for entry in entries),
        len(entries),
    )
