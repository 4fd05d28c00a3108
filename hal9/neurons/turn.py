"""One neuron's turn: it asks the model, goes on where a reply was cut off, and records what was done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from hal9.clock import Clock
from hal9.errors.base import LimitError, MindError
from hal9.errors.neurons import TurnFailed
from hal9.journal import Journal
from hal9.memory import Recall
from hal9.minds.protocol import Capabilities, Message, OnToken, Reply, Request, Usage
from hal9.neurons.definitions.definition import NeuronDefinition, NeuronMeta
from hal9.neurons.interfaces import (
    CallContext,
    Directory,
    MemoryRetriever,
    ModelClient,
    PromptSource,
    RepositoryMapper,
    Router,
    WorkspaceAccess,
)
from hal9.promptgram import Promptgram, estimate_tokens
from hal9.settings import Settings
from hal9.signals import ResultPayload, Signal, StepRecord, Tally, TaskPayload, new_id
from hal9.signals.labels import PART_SIGNAL
from hal9.tools.action import ActionGate, OpenGate
from hal9.tools.spending import tally_of
from hal9.tools.toolbox import NoTools, ToolSource

__all__ = ["NeuronServices", "Progress", "Turn", "capabilities_of", "paid_for"]

Progress = Callable[[str, dict[str, object]], None]
_KEPT_TEXT = 12_000
_MOST_CONTINUATIONS = 4
_GO_ON = "Your reply was cut off. Go on exactly where it stopped; repeat nothing."


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronServices:
    """What all neurons of a node share."""

    settings: Callable[[], Settings]
    models: ModelClient
    router: Router
    memory: MemoryRetriever
    mapper: RepositoryMapper
    prompts: PromptSource
    clock: Clock
    directory: Directory
    journal: Journal
    node: str = ""
    snapshots: Path | None = None
    scratch: Path | None = None
    changes: Path | None = None
    hidden: tuple[Path, ...] = ()
    workspaces: WorkspaceAccess | None = None
    carry_steps: bool = False
    scheduler: str = "book"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    gate: ActionGate = field(default_factory=OpenGate)
    tools: ToolSource = field(default_factory=NoTools)
    purposes: Mapping[str, NeuronMeta] = field(default_factory=dict)
    """What neurons of the home say they are for, by name; of those that run elsewhere too."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """The work on one task signal."""

    services: NeuronServices
    definition: NeuronDefinition
    meta: NeuronMeta
    signal: Signal
    task: TaskPayload
    promptgram: Promptgram
    progress: Progress
    steps: list[StepRecord] = field(default_factory=list)
    recalled: Recall | None = None
    rule_files: tuple[str, ...] = ()
    time_limit: asyncio.Timeout | None = None
    place: asyncio.Semaphore | None = None
    waited: float = 0.0
    mode: str = ""
    why_mode: str = ""
    _calls: int = 0

    @property
    def settings(self) -> Settings:
        """Settings in force now."""
        return self.services.settings()

    @property
    def seconds_left(self) -> float | None:
        """Until the task's deadline, waiting for a person left out; None without a deadline."""
        deadline = self.task.grant.deadline
        return None if deadline is None else deadline + self.waited - self.services.clock.now()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """The turn's time stands still inside, and another turn may work in its place."""
        began = self.services.clock.now()
        limit = self.time_limit
        when = limit.when() if limit is not None else None
        loop = asyncio.get_running_loop()
        left = None if when is None else when - loop.time()
        if limit is not None:
            limit.reschedule(None)
        if self.place is not None:
            self.place.release()
        try:
            yield
        finally:
            if self.place is not None:
                await self.place.acquire()
            self.waited += self.services.clock.now() - began
            if limit is not None and left is not None and not limit.expired():
                limit.reschedule(loop.time() + left)

    async def recall(self) -> Recall | None:
        """Look for the rules that apply; noted in every later step."""
        scope = self.task.scope
        known = dict.fromkeys([*self.task.targets, *scope.paths])
        self.recalled = await self.services.memory.recall(
            self.task.objective,
            scope=scope.model_copy(update={"paths": [*known]}),
            neuron=self.definition.name,
            layer=self.meta.layer,
            part=PART_SIGNAL in self.task.labels,
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

        A text that was cut off at the length limit is gone on with, up to a few times.

        Raises:
            TurnFailed: budget exhausted or mind failed, with the typed reason.
        """
        request = Request(
            messages=messages,
            schema=schema,
            temperature=self.meta.temperature if temperature is None else temperature,
            max_tokens=self.meta.max_tokens,
            seed=seed,
            timeout_seconds=self.patience(),
        )
        prompt = "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
        reply = await self._recorded(kind, request, prompt)
        text = reply.text
        for _ in range(_MOST_CONTINUATIONS):
            if reply.stop_reason != "length" or schema is not None or not reply.text.strip():
                break
            more = (*messages, Message("assistant", text), Message("user", _GO_ON))
            if self._too_long(more):
                break
            reply = await self._recorded(kind, replace(request, messages=more), _GO_ON)
            text += reply.text
        return replace(reply, text=text)

    async def asked(self, request: Request) -> Reply:
        """Make one call just as it is, and record it as a thought.

        Raises:
            TurnFailed: budget exhausted or mind failed, with the typed reason.
        """
        prompt = "\n\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
        return await self._recorded("think", request, prompt)

    async def _recorded(self, kind: str, request: Request, prompt: str) -> Reply:
        started = self.services.clock.now()
        try:
            reply = await self.call(request)
        except TurnFailed as error:
            paid = paid_for(error)
            self.record(kind, started, tally=paid, outcome="failed", prompt=prompt, evidence=error.detail)
            raise
        self.record(
            kind, started, tally=tally_of(reply.usage), prompt=prompt, reply=reply.text, mind=reply.mind
        )
        return reply

    async def call(self, request: Request, *, call_id: str = "") -> Reply:
        """Ask the mind within the budgets; recording is the caller's.

        Args:
            request: what is asked.
            call_id: stable name of the call within this turn; by default they are counted.

        Raises:
            TurnFailed: budget exhausted or mind failed, with the typed reason.
        """
        self._calls += 1
        context = CallContext(
            task_id=self.signal.task_id,
            call_id=f"{self.signal.id}/{call_id or self._calls}",
            neuron=self.definition.name,
            grant=self.task.grant,
        )
        if self.services.prompts.compares(self.definition.name):
            # The prompt that most tasks have is warm more often than the candidate's, and with a warm cache
            # a model answers differently: while they are compared, both are computed anew.
            request = replace(request, reuse_prompt=False)
        self.progress("thinking", {"call": self._calls})
        try:
            return await self.services.models.think(
                self.meta.model, request, call=context, on_token=self._tokens()
            )
        except LimitError as error:
            raise TurnFailed(reason="budget_exhausted", detail=str(error)) from error
        except MindError as error:
            raise TurnFailed(reason="mind_failed", detail=str(error)) from error

    def patience(self) -> float:
        """The longest single call, in seconds."""
        return min(self.meta.timeout, self.settings.minds.timeout_seconds)

    def _too_long(self, messages: tuple[Message, ...]) -> bool:
        """Whether a further reply would not fit the model's window."""
        size = sum(estimate_tokens(message.content) for message in messages) * 5 // 4
        return size + self.meta.max_tokens > self.services.models.window(self.meta.model)

    def record(self, kind: str, started: float, **details: object) -> StepRecord:
        """Add a step to the record; the first thought of a turn also says how the turn works, and why."""
        if kind in ("think", "split") and self.mode:
            details = {"mode": self.mode, "evidence": self.why_mode, **details}
            self.why_mode = ""
        step = StepRecord.model_validate(
            {
                "id": new_id(now=self.services.clock.now()),
                "task_id": self.signal.task_id,
                "signal_id": self.signal.id,
                "traceparent": self.signal.traceparent,
                "neuron": self.definition.name,
                "layer": self.meta.layer,
                "kind": kind,
                "started_at": started,
                "ended_at": self.services.clock.now(),
                "promptgram_version": self.promptgram.version,
                "promptgram_hash": self.promptgram.content_hash,
                "recalled": self._told_of(),
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
                **({"tool": step.tool} if step.tool else {}),
            },
        )
        return step

    def with_steps(self, result: ResultPayload) -> str:
        """A result as it is kept beside the files it stands for: with the record of what was done for it."""
        return result.model_copy(update={"steps": self.steps}).model_dump_json()

    def taken_up(self, kept: str) -> ResultPayload:
        """The result that `with_steps` kept, when this process did not live to record it."""
        result = ResultPayload.model_validate_json(kept)
        self.steps[:] = result.steps
        return result.model_copy(update={"steps": []})

    def _told_of(self) -> list[str]:
        """Numbers of the rules in the prompt, and the files of rules."""
        numbers = [str(one) for one in self.recalled.rule_ids] if self.recalled else []
        return [*numbers, *self.rule_files]

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


async def capabilities_of(turn: Turn) -> Capabilities:
    """What the turn's mind can do by itself.

    Raises:
        TurnFailed: it cannot be opened; names the remedy.
    """
    try:
        return await turn.services.models.capabilities(turn.meta.model)
    except MindError as error:
        raise TurnFailed(reason="mind_failed", detail=str(error)) from error


def paid_for(error: TurnFailed) -> Tally:
    """What a call that failed has cost all the same; the task's tally says what the budget book says."""
    usage = getattr(error.__cause__, "usage", None)
    return tally_of(usage) if isinstance(usage, Usage) else Tally()
