"""Ties learning together: judges finished tasks, starts gradients, lets each neuron learn from those that reach it.

Everything a gradient changes is written in one transaction of the memory file, under the gradient's id; the same
id a second time changes nothing and sends the same signals on. So a crash between any two steps is repaired by
doing the step again.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hal9.errors import FeedbackTooEarly, GradientRefused, LimitError, MindError
from hal9.journal.tasks import TERMINAL, TaskRow
from hal9.learning.critic import Critic
from hal9.learning.detect import Detection, detect, detect_feedback, magnitude
from hal9.learning.feedback import Feedback
from hal9.learning.ledger import Ledger
from hal9.learning.lessons import Lesson, Lessons
from hal9.learning.outcomes import (
    TaskOutcome,
    outcome_of,
    remember_task,
    save_outcome,
    scope_of_task,
)
from hal9.learning.path import TaskPath
from hal9.learning.prompts import PromptBook
from hal9.learning.propagate import check_origin, gradient_path, make_signal, onward
from hal9.learning.quality import Score, Scorer
from hal9.learning.switches import Switches
from hal9.memory import (
    MemoryStore,
    NewMemory,
    Observation,
    Occurrence,
    PatternBook,
    PatternPolicy,
    Scope,
    scope_for_memory,
)
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
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engine works with; all of it over one memory file."""

    store: MemoryStore
    prompts: PromptBook
    lessons: Lessons
    critic: Critic
    scorer: Scorer
    entry: str
    settings: Callable[[], Settings]
    alert: Callable[[str], None] = field(default=lambda text: _log.warning("%s", text))


class LearningEngine:
    """Learning of one cluster. Methods are called from one event loop; the store does its own locking."""

    def __init__(self, parts: Parts) -> None:
        self.store = parts.store
        self.prompts = parts.prompts
        self.lessons = parts.lessons
        self.ledger = Ledger(parts.store)
        self.switches = Switches(parts.store)
        self.on_outcome: list[Callable[[TaskOutcome], None]] = []
        self.on_pattern: list[Callable[[ErrorGradient, Observation], None]] = []
        self._parts = parts

    @property
    def settings(self) -> Settings:
        """Settings in force now."""
        return self._parts.settings()

    @property
    def learning(self) -> bool:
        """Whether anything may be learned now."""
        return (
            self.settings.backward_propagation.enabled
            and not self.settings.safety.paused
            and not self.switches.paused
        )

    # --- tasks ----------------------------------------------------------------------------------

    async def examine(self, task: TaskRow, steps: Sequence[StepRecord]) -> list[Signal]:
        """Judge a finished task: credit what it was given, and start gradients when it went wrong."""
        score = await self._score(task)
        detection = detect(task, quality=self.settings.quality, score=score.value if score else None)
        outcome = outcome_of(task, steps, score=score, detection=detection)
        path = TaskPath.recorded(steps)
        await asyncio.to_thread(self._keep, task, outcome, path)
        if not self.learning:
            return []
        if detection is None:
            lesson = await self.lessons.from_retry(task, steps, cause=task.id)
            if lesson is not None:
                _log.info(
                    "task %s: retry taught mitigation %s (%s)", task.id, lesson.mitigation_id, lesson.reason
                )
            return []
        if detection.error.type == "incorrect_output":
            await self.lessons.try_candidates(task, cause=task.id)
        return await self._start(task, path, detection, cause=task.id, steps=steps, extra={})

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
        if not self.learning:
            return FeedbackReport(said=("recorded; learning is paused, nothing was learned",))
        lesson = None
        if feedback.words or feedback.expected is not None:
            lesson = await self.lessons.from_feedback(feedback, task, steps, cause=cause)
            if lesson.mitigation_id is None:
                said.append(f"no rule: {lesson.reason}")
            else:
                said.append(f"mitigation {lesson.mitigation_id} {lesson.state}: {lesson.reason}")
        if detection is None:
            return FeedbackReport(said=tuple(said), lesson=lesson)
        extra = {"expected": (feedback.expected or "")[:_TEXT]}
        path = TaskPath.recorded(steps)
        signals = await self._start(task, path, detection, cause=cause, steps=steps, extra=extra)
        if signals:
            names = ", ".join(signal.target for signal in signals)
            said.append(f"error gradient {signals[0].payload.magnitude:.2f} sent to {names}")  # type: ignore[union-attr]
        return FeedbackReport(signals=tuple(signals), said=tuple(said), lesson=lesson)

    async def _score(self, task: TaskRow) -> Score | None:
        try:
            return await self._parts.scorer.score(task)
        except (MindError, LimitError) as error:
            self._parts.alert(f"task {task.id} was not judged: {error}")
            return None

    def _keep(self, task: TaskRow, outcome: TaskOutcome, path: TaskPath) -> None:
        with self.store.writing():
            fresh = save_outcome(self.store, outcome)
            leaf = path.leaves[-1] if path.leaves else ""
            remember_task(self.store, task, outcome, neuron=leaf)
        if fresh:
            for listener in self.on_outcome:
                listener(outcome)

    def _keep_verdict(
        self, feedback: Feedback, task: TaskRow, steps: Sequence[StepRecord], detection: Detection | None
    ) -> None:
        score = None if feedback.score is None else Score(feedback.score, "user")
        outcome = outcome_of(task, steps, score=score, detection=detection)
        passed: bool | None = detection is None
        if feedback.verdict is None and feedback.score is None and feedback.expected is None:
            return  # a note alone judges nothing
        if feedback.verdict is None and feedback.expected is not None and task.result is not None:
            passed = feedback.expected.strip() == task.result.answer.strip()
        revised = replace(outcome, passed=passed, judged_by="user", revises=True)
        if save_outcome(self.store, revised):
            for listener in self.on_outcome:
                listener(revised)

    # --- starting gradients -----------------------------------------------------------------------

    async def _start(
        self,
        task: TaskRow,
        path: TaskPath,
        detection: Detection,
        *,
        cause: str,
        steps: Sequence[StepRecord],
        extra: Mapping[str, Any],
    ) -> list[Signal]:
        settings = self.settings.backward_propagation
        strength = magnitude(detection.error, detection.severity, settings.error_weights)
        scope = scope_of_task(task.payload)
        context = ErrorContext(
            original_task=task.payload.objective[:_TASK_TEXT],
            attempted_solution=_attempt(task, steps)[-_TEXT:],
            failure_point=detection.failure_point[:200],
            environmental_factors={
                "path": path.as_json(),
                "scope": [scope.workspace, scope.module, scope.task_family],
                "evidence": detection.evidence[-_TEXT:],
                "check": task.payload.check or "",
                "root": cause,
                **extra,
            },
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
                "suggested_adjustments": [_suggestion(gradient, critique.citation)],
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
        known = await asyncio.to_thread(self._known, signal.id)
        if known is not None:
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
            await asyncio.to_thread(self._settle, signal, gradient, "refused", error.reason, [])
            return []
        path = gradient_path(gradient)
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
        await asyncio.to_thread(self._apply, signal, gradient, signals)
        return signals

    def _known(self, signal_id: str) -> dict[str, Any] | None:
        with self.store.reading() as connection:
            row = connection.execute("SELECT body FROM gradients WHERE id = ?", (signal_id,)).fetchone()
        return None if row is None else json.loads(row["body"])

    def _apply(self, signal: Signal, gradient: ErrorGradient, signals: Sequence[Signal]) -> None:
        """Everything this gradient changes, in one transaction; a second time nothing."""
        state, reason = self._admission(signal, gradient)
        with self.store.writing() as tables:
            if tables.conn.execute("SELECT 1 FROM gradients WHERE id = ?", (signal.id,)).fetchone():
                return
            observation = self._remember(signal, gradient) if state != "skipped" else None
            self._settle(signal, gradient, state, reason, signals)
            if observation is not None and observation.pattern is not None:
                self._recognised(signal, gradient, observation)
        self.prompts.reload()

    def _admission(self, signal: Signal, gradient: ErrorGradient) -> tuple[str, str]:
        """May the target learn from this: applied, stale (the prompt has changed since), or skipped."""
        if not self.learning:
            return "skipped", "learning is paused"
        if signal.target in self.switches.frozen or signal.target in self.settings.safety.frozen_neurons:
            return "frozen", f"{signal.target} is frozen"
        if self.prompts.knows(signal.target):
            prompt = self.prompts.prompt_for(signal.target, task_id=signal.task_id)
            if prompt.content_hash != gradient.promptgram_hash:
                return "stale", f"the prompt is {prompt.content_hash[:12]} by now"
        return "applied", ""

    def _settle(
        self, signal: Signal, gradient: ErrorGradient, state: str, reason: str, signals: Sequence[Signal]
    ) -> None:
        now = self.store.clock.now()
        body = {
            "gradient": gradient.model_dump(mode="json"),
            "onward": [one.model_dump(mode="json") for one in signals],
        }
        with self.store.writing() as tables:
            tables.table("gradients").insert(
                {
                    "id": signal.id,
                    "task_id": signal.task_id,
                    "source": signal.source,
                    "target": signal.target,
                    "layer": signal.layer_to,
                    "error_type": gradient.error_type.type,
                    "magnitude": gradient.magnitude,
                    "prompt_version": gradient.promptgram_hash,
                    "body": json.dumps(body),
                    "state": state,
                    "reason": reason,
                    "received": now,
                    "settled": now,
                },
                ignore=True,
            )

    def _remember(self, signal: Signal, gradient: ErrorGradient) -> Observation | None:
        """The error as a memory of this neuron; where it entered, it also counts towards a pattern."""
        facts = gradient.context.environmental_factors
        scope = Scope(*[str(part) for part in facts.get("scope", ["", "", ""])])
        if gradient.depth == 0 and not self._counted(signal.task_id, gradient.error_type.type):
            policy = PatternPolicy(pattern_threshold=self.settings.backward_propagation.pattern_threshold)
            return PatternBook(self.store, policy).observe(
                Occurrence(
                    error_type=gradient.error_type.type,
                    text=str(facts.get("evidence", "")) or gradient.critique,
                    neuron=signal.target,
                    layer=signal.layer_to,
                    scope=scope,
                    task_id=signal.task_id,
                    magnitude=gradient.magnitude,
                )
            )
        self.store.remember(
            NewMemory(
                kind="error",
                content=gradient.critique,
                neuron=signal.target,
                layer=signal.layer_to,
                scope=scope_for_memory(scope),
                importance=gradient.magnitude,
                task_id=signal.task_id,
                source="gradient",
                meta={"error_type": gradient.error_type.type, "gradient": signal.id},
            )
        )
        return None

    def _counted(self, task_id: str, error_type: str) -> bool:
        """Whether this task's error of this type counts already: one task is one occurrence."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT 1 FROM occurrences WHERE task_id = ? AND error_type = ?", (task_id, error_type)
            ).fetchone()
        return row is not None

    def _recognised(self, signal: Signal, gradient: ErrorGradient, seen: Observation) -> None:
        """A pattern is there: its user's rules are admitted, and whoever listens may react."""
        pattern = seen.pattern
        if pattern is None:
            return
        if seen.formed:
            self.ledger.record(
                "pattern",
                str(pattern.id),
                change=("", pattern.title),
                cause=signal.id,
                actor="learning",
                details={
                    "evidence": {"signature": pattern.signature, "scope": pattern.scope.label()},
                    "figures": {"occurrences": pattern.occurrences, "confidence": pattern.confidence},
                },
            )
        admitted = self.lessons.admit_pattern(pattern.id, pattern.scope, cause=signal.id)
        if admitted:
            PatternBook(self.store).set_prevention(pattern.id, self.lessons.book.get(admitted[-1]).rule)
        for listener in self.on_pattern:
            listener(gradient, seen)


def _attempt(task: TaskRow, steps: Sequence[StepRecord]) -> str:
    """What was tried: the diffs, else the last reply, else the answer."""
    result = task.result
    diffs = "\n".join(change.diff for change in result.changes if change.diff) if result else ""
    reply = next((step.reply for step in reversed(steps) if step.reply), "")
    return diffs or reply or (result.answer if result else "")


def _suggestion(gradient: ErrorGradient, citation: str) -> Adjustment:
    """What the error suggests in the terms of the design: a parameter, its value now, the proposed one."""
    return Adjustment(
        parameter="Heuristics",
        current_value=gradient.promptgram_hash,
        suggested_value=citation,
        confidence=min(1.0, gradient.magnitude),
        rationale=f"{gradient.error_type.type} at {gradient.context.failure_point}"[:300],
    )
