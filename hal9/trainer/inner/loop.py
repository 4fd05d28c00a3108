"""The inner loop (L1): a mind reads failures and proposes steps; only measured gains are kept.

Each episode: describe failures, ask, check the answer, step on each parameter's own scale, measure on the
same cases, keep the candidate if it beats the best by more than the noise, else take it back. What was taken
back is evidence too, and told to the mind in the next episode.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hal9.clock import Clock, SystemClock
from hal9.errors.base import LimitError, MindError
from hal9.errors.minds import MindReplyInvalid
from hal9.minds.protocol import Message, Mind, Reply, Request, Usage
from hal9.promptgram import Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.signals import Adjustment
from hal9.trainer.evaluation.evaluator import Evaluation, TrainingEvaluator
from hal9.trainer.evaluation.failures import Failure, find_failures, gradient_of, slopes_of
from hal9.trainer.evaluation.graph_health import graph_health, shapes_graphs
from hal9.trainer.inner.asking import HOPELESS, Stopped, think_unless
from hal9.trainer.inner.candidates import CandidateEvaluator
from hal9.trainer.inner.prompting import Sight, choose_tunable, inner_prompt, promising, solved_example
from hal9.trainer.protocol import inner_schema, protocol
from hal9.trainer.record.changes import NOISE, RunLedger
from hal9.trainer.record.detection import detect_inner
from hal9.trainer.record.episodes import InnerEpisode, Trial, inner_episodes
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.search.space import Change, Space, Ways

__all__ = ["InnerLoop", "InnerResult", "InnerSettings", "Listener", "StopReason"]

StopReason = Literal[
    "episodes",
    "evaluations",
    "budget",
    "minds failing",
    "nothing new proposed",
    "no failures left",
    "cancelled",
    "paused",
]
Listener = Callable[[Mapping[str, Any]], Awaitable[None] | None]
"""Called with each entry as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSettings:
    """How an inner run goes.

    Attributes:
        episodes: questions to the mind.
        max_evaluations: rankings of the whole training split, 0 no limit.
        noise: scales what a gain must exceed to be kept, in standard errors of the paired difference (see
            `verdict`).
        probes: further evaluations per episode: a refused set's steps one by one and in other lengths, a kept
            one again while it helps.
        failures: failing cases shown.
        tunable: how many parameters are shown.
        patience: episodes in a row without a readable answer, or half of those without a new candidate, until
            the run stops.
        brief: short prompts and answers, for minds that read and write slowly.
    """

    episodes: int = 20
    max_evaluations: int = 0
    seed: int = 0
    noise: float = NOISE
    probes: int = 2
    failures: int = 4
    tunable: int = 18
    temperature: float = 0.7
    max_tokens: int = 700
    timeout_seconds: float = 300.0
    repairs: int = 1
    patience: int = 5
    brief: bool = False

    def to_json(self) -> dict[str, Any]:
        """All settings under the names that runs recorded from the first version on."""
        values = asdict(self)
        return values | {"levers": values.pop("tunable")}

    @classmethod
    def for_mind(cls, spec: str, **changes: Any) -> "InnerSettings":
        """Defaults that suit the mind: a local model reads little, and slowly."""
        if spec == "local" or spec.startswith("local:"):
            # Its questions take seconds, an evaluation tenths of one: each step of a set is worth a look.
            small = cls(failures=1, tunable=4, probes=4, max_tokens=320, repairs=0, brief=True)
            return replace(small, **changes)
        return replace(cls(), **changes)


@dataclass(frozen=True, slots=True)
class InnerResult:
    """How an inner run ended: the best parameters, their score, what it took, and what a limit said."""

    best: Parameters
    score: float
    start_score: float
    evaluations: int
    episodes: int
    usage: Usage
    reason: StopReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a question is about: parameters, slopes of signals, and the steps left open (empty: all)."""

    tunable: tuple[str, ...]
    slopes: Mapping[str, float]
    steps: Mapping[str, Ways]


@dataclass(slots=True)
class InnerLoop:
    """One run of L1; `run` may be called again after a crash with the same scratchpad.

    Attributes:
        mind: opened by the caller.
        start: parameters of the first episode.
        stop: asked before every episode; True ends the run cleanly.
        insights: what earlier runs found out, shown to the mind.
        ledger: where steps are written as changes of the ranker; what is taken back there is out of force.
    """

    mind: Mind
    promptgram: Promptgram
    evaluator: TrainingEvaluator
    space: Space
    scratchpad: RunLog
    settings: InnerSettings = field(default_factory=InnerSettings)
    start: Parameters = field(default_factory=Parameters)
    listener: Listener | None = None
    clock: Clock = field(default_factory=SystemClock)
    stop: Callable[[], bool] = lambda: False
    task_id: str = "ripmap-train"
    insights: Sequence[str] = ()
    ledger: RunLedger | None = None
    _usage: Usage = field(default_factory=lambda: Usage(calls=0))
    _trier: CandidateEvaluator = field(init=False)
    _slopes: tuple[Parameters, dict[str, float]] | None = None

    def __post_init__(self) -> None:
        chosen = self.settings
        self._trier = CandidateEvaluator(
            self.evaluator, self.space, chosen.noise, chosen.probes, chosen.max_evaluations
        )

    async def run(self) -> InnerResult:
        """Go on until episodes, evaluations, budget or patience are used up.

        Raises:
            EvaluationFailed: a worker process is gone; the record is whole, and a new call goes on.
            MindError, PriceUnknown: no question can be asked (one of `HOPELESS`).
        """
        start = await self._trier.begin(self.start, self._entries)
        self._usage = sum((Usage(**entry["usage"]) for entry in self._entries), Usage(calls=0))
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.episodes, self._entries)
        reason: StopReason = "episodes"
        detail = ""
        while len(self._entries) < self.settings.episodes:
            stopped = self._why_stop()
            if stopped is not None:
                reason = stopped
                detail = self._entries[-1]["error"] if stopped == "minds failing" else ""
                break
            try:
                await self._heed()
                await self._episode(len(self._entries))
            except HOPELESS:
                raise
            except LimitError as error:
                reason, detail = "budget", str(error)
                break
            except _NothingFails:
                reason = "no failures left"
                break
            except Stopped:
                reason = "cancelled"
                break
        best, spent = self._trier.best, self._trier.spent
        return InnerResult(
            best.parameters, best.score, start.score, spent, len(self._entries), self._usage, reason, detail
        )

    @property
    def _entries(self) -> list[InnerEpisode]:
        return inner_episodes(self.scratchpad.entries)

    async def _heed(self) -> None:
        """A step that a person took back meanwhile is out of force."""
        if self.ledger is not None and self._entries:
            await self._trier.stand_on(await asyncio.to_thread(lambda ledger: ledger.parameters, self.ledger))

    def _why_stop(self) -> StopReason | None:
        # What is over stays over: a run that ended by itself is not called cancelled afterwards.
        if self._trier.exhausted:
            return "evaluations"
        patience = self.settings.patience
        last, longer = self._entries[-patience:], self._entries[-2 * patience :]
        if len(last) == patience and all(entry["error"] for entry in last):
            return "minds failing"
        if len(longer) == 2 * patience and not any(entry["trials"] for entry in longer):
            return "nothing new proposed"
        if self.ledger is not None and self.ledger.stopped:
            return "paused"
        return "cancelled" if self.stop() else None

    async def _episode(self, number: int) -> None:
        began, before = self.clock.monotonic(), self._trier.best
        seed = self.settings.seed * 1009 + number
        failures, failing = find_failures(self.evaluator, before, count=self.settings.failures, seed=seed)
        if not failing:
            raise _NothingFails
        offer = await asyncio.to_thread(self._offer, failures, seed)
        reply, error, invalid = await self._ask(number, failures, failing, offer)
        proposal = reply.parsed if reply is not None else {}
        changes = [
            Change(n, step[0], step[1], step[2]) for n, step in proposal.get("proposed_changes", {}).items()
        ]
        problems = (
            [note for note in reply.notes if "dropped the property" in note] if reply is not None else []
        )
        tried = await self._trier.attempt(await self._free(changes, problems), problems)
        if reply is not None and not changes:
            problems.append("proposed_changes was empty; name at least one parameter")
        usage = reply.usage if reply is not None else Usage(calls=0)
        self._usage += usage
        entry: InnerEpisode = {
            "episode": number,
            "timestamp": self.clock.now(),
            "duration_secs": round(self.clock.monotonic() - began, 3),
            "mind": self.mind.name,
            "promptgram": self.promptgram.content_hash,
            "failing": failing,
            "failures": [failure.to_json() for failure in failures],
            "levers": list(offer.tunable),
            "ndcg_before": before.score,
            "best_ndcg": self._trier.best.score,
            "kept": tried.kept,
            "params": self._trier.best.parameters.changes(),
            "trials": tried.trials,
            "repeated": tried.repeated,
            "problems": problems,
            "reasoning": reply.text if reply is not None else "",
            "strategy_capsule": proposal.get("strategy_capsule", ""),
            "diagnosis": proposal.get("diagnosis", ""),
            "proposed_changes": {change.name: change.to_json() for change in changes},
            "param_interactions": proposal.get("param_interactions", []),
            "structural_insights": proposal.get("structural_insights", []),
            "confidence": proposal.get("confidence"),
            "usage": asdict(usage),
            "error": error,
            "invalid_reply": invalid,
        }
        entry["gradients"] = [
            gradient_of(
                failure, timestamp=entry["timestamp"], adjustments=_adjustments(before, changes, entry)
            ).model_dump(mode="json")
            for failure in failures
        ]
        entry["graph"] = await asyncio.to_thread(self._graphs, tried.trials)
        entry["detections"] = detect_inner([*self._entries, entry])
        written = self.scratchpad.append(entry)
        if self.ledger is not None:
            await asyncio.to_thread(self.ledger.episodes, [written])
        await self._tell(written)

    def _graphs(self, trials: Sequence[Trial]) -> dict[str, dict[str, float]]:
        """What references link at the start and under the last candidate that decides about them."""
        shaping = [trial for trial in trials if shapes_graphs(trial["moved"])]
        if not shaping:
            return {}
        both = {"start": self.start, "candidate": Parameters(shaping[-1]["params"])}
        return {name: graph_health(self.evaluator, at).to_json() for name, at in both.items()}

    async def _free(self, changes: Sequence[Change], problems: list[str]) -> Sequence[Change]:
        """The steps on parameters that the ledger does not hold still."""
        if self.ledger is None:
            return changes
        held = await asyncio.to_thread(self.ledger.still, [change.name for change in changes])
        problems += [f"{name}: is held still because it oscillated" for name in sorted(held)]
        return [change for change in changes if change.name not in held]

    async def _tell(self, written: Mapping[str, Any]) -> None:
        told = self.listener(written) if self.listener is not None else None
        if told is not None:
            await told

    def _offer(self, failures: Sequence[Failure], seed: int) -> "_Offer":
        """The parameters of a question. A small mind is offered no step that was measured already.

        Told so in words, the smallest local model proposes it again: half of its answers were such.
        """
        touched = Counter(name for entry in self._entries for name in entry["proposed_changes"])
        slopes = self._slopes_at(self._trier.best)
        space, steps = self.space, self._trier.open_steps() if self.settings.brief else {}
        if steps:
            space = replace(space, names=promising(steps, slopes))
        tunable = choose_tunable(space, failures, self.settings.tunable, seed, touched)
        return _Offer(tunable, slopes, steps)

    def _slopes_at(self, standing: Evaluation) -> dict[str, float]:
        if self._slopes is None or self._slopes[0] != standing.parameters:
            self._slopes = (standing.parameters, slopes_of(self.evaluator, standing))
        return self._slopes[1]

    async def _ask(
        self, number: int, failures: Sequence[Failure], failing: int, offer: "_Offer"
    ) -> tuple[Reply | None, str, bool]:
        """The reply, or None with what went wrong and whether it was the reply's shape."""
        best = self._trier.best
        sight = Sight(
            parameters=best.parameters,
            figures=best.figures(),
            tunable=offer.tunable,
            failures=failures,
            failing=failing,
            cases=len(best.ndcg),
            slopes=offer.slopes,
            history=self._entries,
            insights=[*self.insights, *_insights(self._entries)],
        )
        text = inner_prompt(sight, brief=self.settings.brief)
        request = Request(
            (
                Message("system", self.promptgram.render(protocol=protocol("inner"))),
                *(solved_example() if self.settings.brief else ()),
                Message("user", text),
            ),
            schema=inner_schema(offer.tunable, brief=self.settings.brief, steps=offer.steps),
            temperature=self.settings.temperature,
            max_tokens=self.settings.max_tokens,
            seed=self.settings.seed * 1009 + number,
            timeout_seconds=self.settings.timeout_seconds,
            repairs=self.settings.repairs,
            metadata={"task_id": self.task_id},
        )
        try:
            return await think_unless(self.mind, request, self.stop), "", False
        except HOPELESS:
            raise
        except MindReplyInvalid as error:
            return None, f"the reply was not valid: {error.reason}", True
        except MindError as error:
            return None, str(error), False


def _adjustments(before: Evaluation, changes: Sequence[Change], entry: Mapping[str, Any]) -> list[Adjustment]:
    """The proposal as adjustments of named parameters, the same that every neuron's learning takes."""
    moved = {name: pair for trial in entry["trials"] for name, pair in trial["moved"].items()}
    return [
        Adjustment(
            parameter=change.name,
            current_value=before.parameters[change.name],
            suggested_value=moved[change.name][1],
            confidence=entry["confidence"] or 0.0,
            rationale=change.rationale,
        )
        for change in changes
        if change.name in moved
    ]


class _NothingFails(Exception):
    """Every training case ranks well."""


def _insights(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [str(text) for entry in entries for text in entry.get("structural_insights") or ()]
    return list(dict.fromkeys(found))
