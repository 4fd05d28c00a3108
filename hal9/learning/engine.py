"""Ties learning together: judges finished tasks, starts gradients, lets neurons learn from them.

Everything a gradient changes is written in one transaction of the memory file, under the gradient's id; the
same id a second time changes nothing and sends the same signals on. So a crash between any two steps is
repaired by doing the step again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hal9.errors.base import LimitError, MindError
from hal9.errors.learning import FeedbackTooEarly, GradientRefused
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.learning.detection.detect import Detection, detect, detect_feedback, magnitude
from hal9.learning.detection.feedback import Feedback
from hal9.learning.detection.outcomes import (
    TaskOutcome,
    outcome_of,
    remember_task,
    save_outcome,
    scope_of_task,
)
from hal9.learning.detection.quality import Score, Scorer
from hal9.learning.gate.adjust import Adjuster, suggestions
from hal9.learning.gate.gate import Gate, Perform
from hal9.learning.gate.rollback import Rollback
from hal9.learning.gradients.apply import GradientStore
from hal9.learning.gradients.critic import Critic, Critique
from hal9.learning.gradients.facts import GradientFacts
from hal9.learning.gradients.propagate import check_origin, make_signal, onward
from hal9.learning.rules.layer_lessons import learn_from_layers
from hal9.learning.rules.rules import RuleLearner, RuleOutcome
from hal9.learning.rules.telling import ask_about, told_of
from hal9.learning.state.prompts import PromptStore
from hal9.learning.task_path import TaskPath
from hal9.memory import MemoryStore
from hal9.settings import Settings
from hal9.signals import Adjustment, ErrorContext, ErrorGradient, Signal, StepRecord

__all__ = ["FeedbackReport", "LearningEngine"]

_log = logging.getLogger("hal9.learning")
_TEXT = 4_000
_TASK_TEXT = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackReport:
    """What came of feedback: signals to send, and sentences for the user."""

    signals: tuple[Signal, ...] = ()
    said: tuple[str, ...] = ()
    learned: RuleOutcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDependencies:
    """What the engine works with; all of it over one memory file."""

    store: MemoryStore
    prompts: PromptStore
    rule_learner: RuleLearner
    critic: Critic
    scorer: Scorer
    entry: str
    settings: Callable[[], Settings]
    perform: Perform | None = None
    alert: Callable[[str], None] = field(default=lambda text: _log.warning("%s", text))


@dataclass(frozen=True, slots=True)
class _Looked:
    """A finished task and what a first look at it says."""

    task: TaskRow
    steps: Sequence[StepRecord]
    detection: Detection | None
    outcome: TaskOutcome
    path: TaskPath


class LearningEngine:
    """Learning of one cluster. Methods are called from one event loop; the store does its own locking."""

    def __init__(self, parts: EngineDependencies) -> None:
        self.store = parts.store
        self.prompts = parts.prompts
        self.rule_learner = parts.rule_learner
        self.applier = GradientStore(parts.store, parts.prompts, parts.rule_learner, parts.settings)
        self.adjuster = Adjuster(parts.store, parts.prompts, parts.settings)
        self.gate = Gate(
            parts.store,
            parts.prompts,
            self.adjuster,
            settings=parts.settings,
            perform=parts.perform,
            alert=parts.alert,
        )
        self.rollback = Rollback(
            parts.store, parts.prompts, self.gate, routing=lambda: parts.settings().routing
        )
        self.on_outcome: list[Callable[[TaskOutcome], None]] = []
        self._parts = parts

    @property
    def settings(self) -> Settings:
        """Settings in force now."""
        return self._parts.settings()

    @property
    def learning(self) -> bool:
        """Whether anything may be learned now."""
        return self.applier.learning

    async def _may_learn(self) -> bool:
        # Another thread may hold the store for a while (sleep, re-embedding); the loop must not wait for it.
        return await asyncio.to_thread(lambda: self.learning)

    # --- tasks ----------------------------------------------------------------------------------

    async def examine(self, task: TaskRow, steps: Sequence[StepRecord]) -> list[Signal]:
        """Judge a finished task: credit what it was given, and start gradients when it went wrong."""
        return await self.examine_all([(task, steps)])

    async def examine_all(self, finished: Sequence[tuple[TaskRow, Sequence[StepRecord]]]) -> list[Signal]:
        """`examine` for several tasks; what is to be recorded of all of them is one write."""
        looked = []
        for task, steps in finished:
            score = await self._score(task)
            detection = detect(task, quality=self.settings.quality, score=score.value if score else None)
            outcome = outcome_of(task, steps, score=score, detection=detection)
            looked.append(_Looked(task, steps, detection, outcome, TaskPath.recorded(steps)))
        if not await asyncio.to_thread(self._keep, looked):
            return []
        signals: list[Signal] = []
        for one in looked:
            signals += await self._follow_up(one)
        return signals

    async def _follow_up(self, looked: "_Looked") -> list[Signal]:
        task, steps, detection = looked.task, looked.steps, looked.detection
        if detection is None:
            learned = await self.rule_learner.from_retry(task, steps, cause=task.id)
            if learned is not None:
                _log.info("task %s: retry taught rule %s (%s)", task.id, learned.rule_id, learned.reason)
            await learn_from_layers(self.rule_learner, task, steps, cause=task.id)
            return []
        if detection.error.type == "incorrect_output":
            await self.rule_learner.try_candidates(task, cause=task.id)
            await learn_from_layers(self.rule_learner, task, steps, cause=task.id)
        return await self._start(task, looked.path, detection, cause=task.id, steps=steps)

    async def take_feedback(
        self, feedback: Feedback, task: TaskRow, steps: Sequence[StepRecord], *, cause: str
    ) -> FeedbackReport:
        """Learn from what a user says about a finished task.

        Args:
            feedback: it.
            task: the task.
            steps: what was done for it.
            cause: an id of this very feedback; the same id again changes nothing twice.

        Raises:
            FeedbackTooEarly: the task has no result yet.
        """
        if task.state not in TERMINAL or task.result is None:
            raise FeedbackTooEarly(task_id=task.id, state=task.state)
        detection = detect_feedback(feedback, task, quality=self.settings.quality)
        await asyncio.to_thread(self._keep_verdict, feedback, task, steps, detection)
        said = ["recorded"]
        if not await self._may_learn():
            return FeedbackReport(said=("recorded; learning is paused, nothing was learned",))
        learned = None
        if feedback.words or (feedback.expected is not None and detection is not None):
            learned = await self.rule_learner.from_feedback(feedback, task, steps, cause=cause)
            said += told_of(learned, self.rule_learner.book)
        if detection is None:
            return FeedbackReport(said=tuple(said), learned=learned)
        expected = (feedback.expected or "")[:_TEXT]
        path = TaskPath.recorded(steps)
        signals = await self._start(task, path, detection, cause=cause, steps=steps, expected=expected)
        if signals:
            names = ", ".join(signal.target for signal in signals)
            strength = sum(one.payload.magnitude for one in signals if isinstance(one.payload, ErrorGradient))
            said.append(f"error gradient {strength:.2f} sent to {names}")
        return FeedbackReport(signals=tuple(signals), said=tuple(said), learned=learned)

    async def _score(self, task: TaskRow) -> Score | None:
        try:
            return await self._parts.scorer.score(task)
        except (MindError, LimitError) as error:
            self._parts.alert(f"task {task.id} was not judged: {error}")
            return None

    def _keep(self, looked: Sequence["_Looked"]) -> bool:
        """Record outcomes; returns whether anything may be learned from them."""
        fresh = []
        with self.store.writing():
            for one in looked:
                if save_outcome(self.store, one.outcome):
                    fresh.append(one.outcome)
                leaf = one.path.leaves[-1] if one.path.leaves else ""
                remember_task(self.store, one.task, one.outcome, neuron=leaf)
        for outcome in fresh:
            ask_about(self.rule_learner.book, outcome, alert=self._parts.alert)
            for listener in self.on_outcome:
                listener(outcome)
        return self.learning

    def _keep_verdict(
        self, feedback: Feedback, task: TaskRow, steps: Sequence[StepRecord], detection: Detection | None
    ) -> None:
        score = None if feedback.score is None else Score(feedback.score, "user")
        outcome = outcome_of(task, steps, score=score, detection=detection)
        passed: bool | None = detection is None
        if feedback.verdict is None and feedback.score is None and feedback.expected is None:
            return  # a note alone judges nothing
        charged = None
        if detection is not None and feedback.words:
            charged = tuple(self.rule_learner.life.concerned(outcome.recalled, feedback.words))
        revised = replace(outcome, passed=passed, judged_by="user", revises=True, charged=charged)
        if save_outcome(self.store, revised):
            ask_about(self.rule_learner.book, revised, alert=self._parts.alert)
            for listener in self.on_outcome:
                listener(revised)

    def judged(self) -> int:
        """How many tasks have been looked at."""
        with self.store.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM outcomes").fetchone()[0])

    # --- starting gradients -----------------------------------------------------------------------

    async def _start(
        self,
        task: TaskRow,
        path: TaskPath,
        detection: Detection,
        *,
        cause: str,
        steps: Sequence[StepRecord],
        expected: str | None = None,
    ) -> list[Signal]:
        settings = self.settings.backward_propagation
        strength = magnitude(detection.error, detection.severity, settings.error_weights)
        context = ErrorContext(
            original_task=task.payload.objective[:_TASK_TEXT],
            attempted_solution=_attempt(task, steps)[-_TEXT:],
            failure_point=detection.failure_point[:200],
            environmental_factors=GradientFacts(
                recorded_path=path.as_json(),
                scope=scope_of_task(task.payload),
                evidence=detection.evidence[-_TEXT:],
                check=task.payload.check or "",
                root=cause,
                expected=expected,
            ).as_factors(),
        )
        signals = []
        for neuron, share in path.origins(detection.neuron).items():
            hop = path.hops[neuron]
            if strength * share < settings.min_magnitude:
                continue
            gradient = ErrorGradient(
                error_type=detection.error,
                magnitude=strength * share,
                source_neuron=self._parts.entry,
                target_neuron=neuron,
                timestamp=self.store.clock.now(),
                context=context,
                promptgram_version=hop.version,
                promptgram_hash=hop.content_hash,
            )
            signals.append(await self._told(gradient, hop.layer, task.id, cause, (0, hop.layer), hops=0))
        return signals

    async def _told(
        self,
        gradient: ErrorGradient,
        layer: int,
        task_id: str,
        cause: str,
        layers: tuple[int, int],
        *,
        hops: int,
    ) -> Signal:
        """Put the critique for its layer into a gradient, and the gradient into a signal."""
        critique = await self._parts.critic.critique(gradient, layer=layer, purpose=f"critic-{task_id}")
        for why in critique.rejected:
            _log.info("critique for %s rejected: %s", gradient.target_neuron, why)
        told = gradient.model_copy(
            update={
                "critique": critique.text,
                "suggested_adjustments": self._suggested(gradient, layer, critique),
            }
        )
        return make_signal(
            told,
            task_id=task_id,
            cause=cause,
            now=self.store.clock.now(),
            layers=layers,
            lifetime={"ttl": self.settings.cluster.signal_ttl_seconds, "hops": hops},
        )

    # --- gradients that arrive ----------------------------------------------------------------------

    async def on_gradient(
        self, signal: Signal, gradient: ErrorGradient, *, recorded: TaskPath | None
    ) -> list[Signal]:
        """Let the signal's target learn; returns the signals for the next layer.

        Args:
            signal: a backward signal.
            gradient: its payload.
            recorded: the task's path in this node's journal, None when it ran elsewhere.
        """
        settings = self.settings.backward_propagation
        known = await asyncio.to_thread(self.applier.known, signal.id)
        if known is not None:
            await self._adjust(signal, gradient, known["state"])
            return [Signal.model_validate(one) for one in known["onward"]]
        try:
            check_origin(
                signal,
                gradient,
                recorded=recorded,
                entry=self._parts.entry,
                max_depth=settings.max_gradient_depth,
            )
        except GradientRefused as error:
            self._parts.alert(f"{signal.target}: {error}")
            await asyncio.to_thread(self.applier.settle, signal, gradient, "refused", error.reason, [])
            return []
        path = GradientFacts.of(gradient).path
        signals = []
        for hop in onward(gradient, path, settings):
            target = path.hops[hop.target]
            passed_on = gradient.model_copy(
                update={
                    "magnitude": hop.magnitude,
                    "source_neuron": gradient.target_neuron,
                    "target_neuron": hop.target,
                    "timestamp": self.store.clock.now(),
                    "depth": gradient.depth + 1,
                    "promptgram_version": target.version,
                    "promptgram_hash": target.content_hash,
                }
            )
            layers = (path.hops[gradient.target_neuron].layer, hop.layer)
            signals.append(
                await self._told(
                    passed_on, hop.layer, signal.task_id, signal.id, layers, hops=signal.hops + 1
                )
            )
        state = await asyncio.to_thread(self.applier.apply, signal, gradient, signals)
        await self._adjust(signal, gradient, state)
        return signals

    async def _adjust(self, signal: Signal, gradient: ErrorGradient, state: str) -> None:
        """An error that recurs may change the neuron; a single one, or one about an old prompt, never."""
        if state == "applied" and await asyncio.to_thread(
            self.applier.recurs, signal.task_id, gradient.error_type.type
        ):
            await asyncio.to_thread(self.gate.propose, signal.target, gradient, cause=signal.id)
            if gradient.depth == 0:
                await self.rule_learner.from_mind(signal.task_id, gradient, cause=signal.id)

    def _suggested(self, gradient: ErrorGradient, layer: int, critique: Critique) -> list[Adjustment]:
        """The critic's edit first (it has seen the evidence), then what the error's type suggests."""
        known = self.prompts.knows(gradient.target_neuron)
        found = suggestions(gradient, layer, self.prompts.current(gradient.target_neuron) if known else None)
        if critique.edit is not None:
            edited = Adjustment(
                parameter=critique.edit["section"],
                suggested_value=critique.edit,
                confidence=min(1.0, gradient.magnitude),
                rationale=critique.citation[:300],
            )
            return [edited, *found]
        return found


def _attempt(task: TaskRow, steps: Sequence[StepRecord]) -> str:
    """What was tried: the diffs, else the last reply, else the answer."""
    result = task.result
    diffs = "\n".join(change.diff for change in result.changes if change.diff) if result else ""
    reply = next((step.reply for step in reversed(steps) if step.reply), "")
    return diffs or reply or (result.answer if result else "")
