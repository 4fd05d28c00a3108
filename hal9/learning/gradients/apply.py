"""What one arriving gradient changes in the memory file: all of it in one transaction, and only once."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from hal9.learning.gradients.facts import GradientFacts
from hal9.learning.rules.rules import RuleLearner
from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Ledger
from hal9.learning.state.prompts import PromptStore
from hal9.memory import (
    MemoryStore,
    NewMemory,
    Observation,
    Occurrence,
    PatternPolicy,
    PatternStore,
    scope_for_memory,
)
from hal9.settings import Settings
from hal9.signals import ErrorGradient, Signal

__all__ = ["GradientStore"]


class GradientStore:
    """Writes gradients, errors and patterns. Synchronous; safe to call from any thread, like the store.

    Args:
        store: the memory file.
        prompts: the promptgrams in force.
        rules: rules.
        settings: in force now.
    """

    def __init__(
        self,
        store: MemoryStore,
        prompts: PromptStore,
        rule_learner: RuleLearner,
        settings: Callable[[], Settings],
    ) -> None:
        self.store = store
        self.prompts = prompts
        self.rule_learner = rule_learner
        self.ledger = Ledger(store)
        self.key_values = KeyValueStore(store)
        self._settings = settings

    @property
    def settings(self) -> Settings:
        """Settings in force now."""
        return self._settings()

    @property
    def learning(self) -> bool:
        """Whether anything may be learned now."""
        return (
            self.settings.backward_propagation.enabled
            and not self.settings.safety.paused
            and not self.key_values.paused
        )

    def frozen(self, neuron: str) -> bool:
        """Whether a person has frozen this neuron."""
        return neuron in self.key_values.frozen or neuron in self.settings.safety.frozen_neurons

    def known(self, signal_id: str) -> dict[str, Any] | None:
        """What was recorded of a gradient that was here before, with its state; None for a new one."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT body, state FROM gradients WHERE id = ?", (signal_id,)
            ).fetchone()
        return None if row is None else {**json.loads(row["body"]), "state": row["state"]}

    def recurs(self, task_id: str, error_type: str) -> bool:
        """Whether this task's error belongs to a pattern."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT 1 FROM occurrences WHERE task_id = ? AND error_type = ? AND pattern_id IS NOT NULL",
                (task_id, error_type),
            ).fetchone()
        return row is not None

    def apply(self, signal: Signal, gradient: ErrorGradient, signals: Sequence[Signal]) -> str:
        """Everything this gradient changes, in one transaction; a second time nothing.

        Returns:
            applied, stale (the prompt has changed since), frozen, or skipped (learning is paused).
        """
        state, reason = self.admission(signal, gradient)
        with self.store.writing() as tables:
            known = tables.conn.execute("SELECT state FROM gradients WHERE id = ?", (signal.id,)).fetchone()
            if known is not None:
                return str(known["state"])
            observation = self._remember(signal, gradient) if state != "skipped" else None
            self.settle(signal, gradient, state, reason, signals)
            if observation is not None and observation.pattern is not None:
                self._recognised(signal, observation)
        return state

    def admission(self, signal: Signal, gradient: ErrorGradient) -> tuple[str, str]:
        """Whether the target may learn from this, and why not."""
        if not self.learning:
            return "skipped", "learning is paused"
        if self.frozen(signal.target):
            return "frozen", f"{signal.target} is frozen"
        if self.prompts.knows(signal.target):
            # Not what this task would get now: a canary may have begun after it was done.
            prompt, canary = self.prompts.current(signal.target), self.prompts.canary(signal.target)
            known = {prompt.content_hash} | ({canary.promptgram.content_hash} if canary else set())
            if gradient.promptgram_hash not in known:
                return "stale", f"the prompt is {prompt.content_hash[:12]} by now"
        return "applied", ""

    def settle(
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
        facts = GradientFacts.of(gradient)
        scope = facts.scope
        if gradient.depth == 0 and not self._counted(signal.task_id, gradient.error_type.type):
            policy = PatternPolicy(pattern_threshold=self.settings.backward_propagation.pattern_threshold)
            return PatternStore(self.store, policy).observe(
                Occurrence(
                    error_type=gradient.error_type.type,
                    text=facts.evidence or gradient.critique,
                    neuron=signal.target,
                    layer=signal.layer_to,
                    scope=scope,
                    task_id=signal.task_id,
                    magnitude=gradient.magnitude,
                )
            )
        if self._touched(signal.target, gradient.critique):
            return None
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

    def _touched(self, neuron: str, text: str) -> bool:
        """Whether this neuron was told the very same before: then that memory is refreshed, not copied."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT id FROM memories WHERE kind = 'error' AND neuron = ? AND content = ?", (neuron, text)
            ).fetchone()
        if row is not None:
            self.store.touch([int(row["id"])])
        return row is not None

    def _counted(self, task_id: str, error_type: str) -> bool:
        """Whether this task's error of this type counts already: one task is one occurrence."""
        with self.store.reading() as connection:
            row = connection.execute(
                "SELECT 1 FROM occurrences WHERE task_id = ? AND error_type = ?", (task_id, error_type)
            ).fetchone()
        return row is not None

    def _recognised(self, signal: Signal, seen: Observation) -> None:
        """A pattern is there: the user's rules of its scope are admitted."""
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
        admitted = self.rule_learner.admit_pattern(pattern.id, pattern.scope, cause=signal.id)
        if admitted:
            PatternStore(self.store).set_prevention(pattern.id, self.rule_learner.book.get(admitted[-1]).rule)
