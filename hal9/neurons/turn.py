"""One neuron's turn: what it is about, what it may use, and the record of what it did."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hal9.clock import Clock
from hal9.errors.base import LimitError, MindError
from hal9.errors.neurons import TurnFailed
from hal9.journal import Journal
from hal9.memory import Recall
from hal9.minds.protocol import Message, OnToken, Reply, Request, Usage
from hal9.neurons.definition import NeuronDefinition, NeuronMeta
from hal9.neurons.interfaces import (
    CallContext,
    Directory,
    MemoryRetriever,
    ModelClient,
    PromptSource,
    RepositoryMapper,
    Router,
)
from hal9.promptgram import Promptgram
from hal9.settings import Settings
from hal9.signals import Signal, StepRecord, Tally, TaskPayload, new_id

__all__ = ["NeuronServices", "Progress", "Turn"]

Progress = Callable[[str, dict[str, object]], None]
_KEPT_TEXT = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronServices:
    """What all neurons of a node share."""

    settings: Callable[[], Settings]
    thinker: ModelClient
    router: Router
    recaller: MemoryRetriever
    cartographer: RepositoryMapper
    prompts: PromptSource
    clock: Clock
    directory: Directory
    journal: Journal
    snapshots: Path | None = None
    changes: Path | None = None
    hidden: tuple[Path, ...] = ()
    carry_steps: bool = False
    scheduler: str = "book"


@dataclass(slots=True, kw_only=True)
class Turn:
    """The work on one task signal."""

    house: NeuronServices
    definition: NeuronDefinition
    meta: NeuronMeta
    signal: Signal
    task: TaskPayload
    promptgram: Promptgram
    progress: Progress
    steps: list[StepRecord] = field(default_factory=list)
    recalled: Recall | None = None
    _calls: int = 0

    @property
    def settings(self) -> Settings:
        """Settings in force now."""
        return self.house.settings()

    async def recall(self) -> Recall | None:
        """Look for the one memory that applies; noted in every later step."""
        self.recalled = await self.house.recaller.recall(
            self.task.objective,
            scope=self.task.scope,
            neuron=self.definition.name,
            layer=self.meta.layer,
        )
        return self.recalled

    async def think(
        self,
        messages: tuple[Message, ...],
        *,
        kind: str = "think",
        schema: dict[str, object] | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Reply:
        """Ask the mind and record the step, also when it fails.

        Raises:
            TurnFailed: budget exhausted or mind failed, with the typed reason.
        """
        self._calls += 1
        request = Request(
            messages=messages,
            schema=schema,
            temperature=self.meta.temperature if temperature is None else temperature,
            max_tokens=self.meta.max_tokens,
            seed=seed,
            timeout_seconds=min(self.meta.timeout, self.settings.minds.timeout_seconds),
        )
        call = CallContext(
            task_id=self.signal.task_id,
            call_id=f"{self.signal.id}/{self._calls}",
            neuron=self.definition.name,
            grant=self.task.grant,
        )
        started = self.house.clock.now()
        self.progress("thinking", {"call": self._calls})
        prompt = "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
        try:
            reply = await self.house.thinker.think(
                self.meta.model, request, call=call, on_token=self._tokens()
            )
        except LimitError as error:
            self.record(kind, started, outcome="failed", prompt=prompt, evidence=str(error))
            raise TurnFailed(reason="budget_exhausted", detail=str(error)) from error
        except MindError as error:
            # A call that failed may have been paid for; the task's tally says what the budget book says.
            paid = _tally(error.usage) if isinstance(error.usage, Usage) else Tally()
            self.record(kind, started, tally=paid, outcome="failed", prompt=prompt, evidence=str(error))
            raise TurnFailed(reason="mind_failed", detail=str(error)) from error
        self.record(
            kind, started, tally=_tally(reply.usage), prompt=prompt, reply=reply.text, mind=reply.mind
        )
        return reply

    def record(self, kind: str, started: float, **details: object) -> None:
        """Add a step to the record."""
        step = StepRecord.model_validate(
            {
                "id": new_id(now=self.house.clock.now()),
                "task_id": self.signal.task_id,
                "signal_id": self.signal.id,
                "neuron": self.definition.name,
                "layer": self.meta.layer,
                "kind": kind,
                "started_at": started,
                "ended_at": self.house.clock.now(),
                "promptgram_version": self.promptgram.version,
                "promptgram_hash": self.promptgram.content_hash,
                "recalled": [str(self.recalled.rule_id)] if self.recalled else [],
                **details,
            }
        )
        step = step.model_copy(update={"prompt": step.prompt[:_KEPT_TEXT], "reply": step.reply[:_KEPT_TEXT]})
        self.steps.append(step)
        self.progress(
            "step",
            {
                "kind": kind,
                "outcome": step.outcome,
                "seconds": round(step.ended_at - step.started_at, 3),
                "tokens": step.tally.prompt_tokens + step.tally.completion_tokens,
            },
        )

    def tally(self) -> Tally:
        """What this turn spent."""
        total = Tally()
        for step in self.steps:
            total = total.plus(step.tally)
        return total

    def _tokens(self) -> OnToken:
        count = 0

        def on_token(text: str) -> None:
            nonlocal count
            count += 1
            self.progress("tokens", {"count": count, "text": text})

        return on_token


def _tally(usage: Usage) -> Tally:
    return Tally(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usd=usage.usd or 0.0,
        seconds=usage.seconds,
    )
